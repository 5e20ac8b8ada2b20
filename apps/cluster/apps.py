"""Django's entry for this app."""

from django.apps import AppConfig


class ClusterConfig(AppConfig):
    name = "apps.cluster"

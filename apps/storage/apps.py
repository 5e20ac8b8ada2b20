"""Django's entry for this app."""

from django.apps import AppConfig


class StorageConfig(AppConfig):
    name = "apps.storage"

"""Django's entry for this app."""

from django.apps import AppConfig


class ModelRegistryConfig(AppConfig):
    name = "apps.model_registry"

"""The storage app."""

from django.apps import AppConfig


class StorageConfig(AppConfig):
    """Artifacts, sets of files, and uploads."""

    name = "apps.storage"

"""The datasets app."""

from django.apps import AppConfig


class DatasetsConfig(AppConfig):
    """Tells the storage which versions still need their files."""

    name = "apps.datasets"

    def ready(self) -> None:
        """Wire the retention rule."""
        from apps.datasets.models import DatasetVersion
        from apps.datasets.selectors import keeps_files
        from apps.storage import references

        references.count_only(DatasetVersion, keeps_files)

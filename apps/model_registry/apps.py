"""The model registry app."""

from django.apps import AppConfig


class ModelRegistryConfig(AppConfig):
    """Tells the apps below what the registry still needs of theirs."""

    name = "apps.model_registry"

    def ready(self) -> None:
        """Wire the retention of files and the protection of datasets."""
        from apps.datasets import references as dataset_references
        from apps.model_registry.models import ModelVersion
        from apps.model_registry.selectors import keeps_files, versions_made_of
        from apps.storage import references as file_references

        file_references.count_only(ModelVersion, keeps_files)
        dataset_references.refuse_deletion_while(versions_made_of)

"""How models and their versions travel."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.core.serializers import InputSerializer
from apps.model_registry.models import Model, ModelVersion
from apps.model_registry.selectors import NAME_PATTERN
from apps.storage.selectors import file_refs
from apps.storage.serializers import FileEntriesField, FileEntrySerializer

_MAX_DESCRIPTION = 10_000
_MAX_CARD = 200_000
_METRICS_SCHEMA = {
    "type": "object",
    "additionalProperties": {"type": ["number", "string"]},
    "description": "Final figures; NaN and infinities are strings.",
}
_CONFIG_SCHEMA = {
    "type": "object",
    "additionalProperties": {},
    "description": "The spec of the job that made it; empty when it was imported.",
}


class ModelVersionSummarySerializer(serializers.ModelSerializer[ModelVersion]):
    """A version as lists show it."""

    name = serializers.CharField(source="__str__", read_only=True, help_text="`<model>_v<N>`.")
    model = serializers.UUIDField(source="model_id", read_only=True)
    model_name = serializers.CharField(source="model.name", read_only=True)
    project = serializers.UUIDField(source="model.project_id", read_only=True)
    project_name = serializers.CharField(source="model.project.name", read_only=True)
    workspace = serializers.UUIDField(source="workspace_id", read_only=True)
    parent = serializers.SerializerMethodField(  # type: ignore[assignment]  # fields themselves have a parent
        help_text="Name of the version it was made from."
    )
    dataset_version = serializers.SerializerMethodField(help_text="Name of the dataset version it was trained on.")
    dataset = serializers.SerializerMethodField(help_text="Id of the dataset it was trained on.")
    metrics = serializers.SerializerMethodField()
    digest = serializers.CharField(source="file_set.digest", read_only=True)
    num_files = serializers.IntegerField(source="file_set.num_files", read_only=True)
    size_bytes = serializers.IntegerField(source="file_set.size_bytes", read_only=True)
    created_by = serializers.CharField(source="created_by.username", read_only=True, allow_null=True, default=None)

    class Meta:
        model = ModelVersion
        fields = (
            "id",
            "name",
            "number",
            "model",
            "model_name",
            "project",
            "project_name",
            "workspace",
            "stage",
            "num_parameters",
            "metrics",
            "parent",
            "dataset",
            "dataset_version",
            "code_revision",
            "digest",
            "num_files",
            "size_bytes",
            "created_by",
            "created_at",
        )
        read_only_fields = fields

    def get_parent(self, version: ModelVersion) -> str | None:
        """Return the parent's name."""
        return str(version.parent) if version.parent else None

    def get_dataset_version(self, version: ModelVersion) -> str | None:
        """Return the dataset version's name."""
        return str(version.dataset_version) if version.dataset_version else None

    @extend_schema_field({"type": ["string", "null"], "format": "uuid"})
    def get_dataset(self, version: ModelVersion) -> str | None:
        """Return the dataset's id."""
        return str(version.dataset_version.dataset_id) if version.dataset_version else None

    @extend_schema_field(_METRICS_SCHEMA)
    def get_metrics(self, version: ModelVersion) -> Any:
        """Return the metrics as they are stored."""
        return version.metrics


class ModelVersionSerializer(ModelVersionSummarySerializer):
    """A version with its card, spec and files."""

    config = serializers.SerializerMethodField()
    files = serializers.SerializerMethodField()

    class Meta(ModelVersionSummarySerializer.Meta):
        fields = (*ModelVersionSummarySerializer.Meta.fields, "card", "config", "files")  # type: ignore[assignment]
        read_only_fields = fields  # type: ignore[assignment]

    @extend_schema_field(_CONFIG_SCHEMA)
    def get_config(self, version: ModelVersion) -> Any:
        """Return the spec that made it."""
        return version.config

    @extend_schema_field(FileEntrySerializer(many=True))
    def get_files(self, version: ModelVersion) -> Any:
        """Return the files by path."""
        return [file.model_dump() for file in file_refs(version.file_set)]


class ModelSerializer(serializers.ModelSerializer[Model]):
    """A model and its latest version."""

    project = serializers.UUIDField(source="project_id", read_only=True)
    project_name = serializers.CharField(source="project.name", read_only=True)
    workspace = serializers.UUIDField(source="workspace_id", read_only=True)
    created_by = serializers.CharField(source="created_by.username", read_only=True, allow_null=True, default=None)
    latest_version = serializers.SerializerMethodField()
    num_versions = serializers.IntegerField(read_only=True)

    class Meta:
        model = Model
        fields = (
            "id",
            "project",
            "project_name",
            "workspace",
            "name",
            "description",
            "latest_version",
            "num_versions",
            "created_by",
            "created_at",
            "updated_at",
        )
        read_only_fields = fields

    @extend_schema_field(ModelVersionSummarySerializer(allow_null=True))
    def get_latest_version(self, model: Model) -> Any:
        """Return the newest version, if there is one."""
        found: list[ModelVersion] = model.latest_versions  # type: ignore[attr-defined]  # selectors.visible_models
        return ModelVersionSummarySerializer(found[0]).data if found else None


class CreateModelSerializer(InputSerializer):
    """A new model, without versions."""

    project = serializers.UUIDField()
    name = serializers.RegexField(
        NAME_PATTERN, max_length=63, help_text="Lower-case letters, digits, dots, dashes, underscores."
    )
    description = serializers.CharField(max_length=_MAX_DESCRIPTION, allow_blank=True, required=False)


class ChangeModelSerializer(InputSerializer):
    """What can be changed."""

    description = serializers.CharField(max_length=_MAX_DESCRIPTION, allow_blank=True)


class ImportVersionSerializer(InputSerializer):
    """Finalised uploads that make a model directory: config.json and safetensors at least."""

    files = FileEntriesField()


class ChangeModelVersionSerializer(InputSerializer):
    """What can be changed."""

    card = serializers.CharField(max_length=_MAX_CARD, allow_blank=True, trim_whitespace=False, help_text="Markdown.")

"""How datasets travel."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.core.serializers import InputSerializer
from apps.datasets.models import Dataset, DatasetFormat, DatasetVersion
from apps.datasets.selectors import NAME_PATTERN
from apps.storage.serializers import FileEntriesField, FileEntrySerializer

_MAX_DESCRIPTION = 10_000


class LengthBucketSerializer(serializers.Serializer[Any]):
    """How many documents have between so and so many characters, both included."""

    min_characters = serializers.IntegerField()
    max_characters = serializers.IntegerField()
    documents = serializers.IntegerField()


class DatasetStatisticsSerializer(serializers.Serializer[Any]):
    """What a version holds; blank documents are counted apart."""

    files = serializers.IntegerField()
    bytes = serializers.IntegerField()
    documents = serializers.IntegerField()
    empty_documents = serializers.IntegerField()
    characters = serializers.IntegerField()
    longest_characters = serializers.IntegerField()
    mean_characters = serializers.FloatField()
    length_histogram = LengthBucketSerializer(many=True)


class DatasetVersionSerializer(serializers.ModelSerializer[DatasetVersion]):
    """One immutable state of a dataset."""

    dataset = serializers.UUIDField(source="dataset_id", read_only=True)
    dataset_name = serializers.CharField(source="dataset.name", read_only=True)
    name = serializers.CharField(source="__str__", read_only=True, help_text="What a job's spec may say: `name@3`.")
    digest = serializers.CharField(source="file_set.digest", read_only=True)
    num_files = serializers.IntegerField(source="file_set.num_files", read_only=True)
    size_bytes = serializers.IntegerField(source="file_set.size_bytes", read_only=True)
    statistics = DatasetStatisticsSerializer(read_only=True, allow_null=True)
    created_by = serializers.CharField(source="created_by.username", read_only=True, allow_null=True, default=None)

    class Meta:
        model = DatasetVersion
        fields = (
            "id",
            "dataset",
            "dataset_name",
            "number",
            "name",
            "state",
            "error",
            "progress",
            "statistics",
            "digest",
            "num_files",
            "size_bytes",
            "created_by",
            "created_at",
        )
        read_only_fields = fields


class DatasetSerializer(serializers.ModelSerializer[Dataset]):
    """A dataset and its latest version."""

    project = serializers.UUIDField(source="project_id", read_only=True)
    project_name = serializers.CharField(source="project.name", read_only=True)
    workspace = serializers.UUIDField(source="workspace_id", read_only=True)
    created_by = serializers.CharField(source="created_by.username", read_only=True, allow_null=True, default=None)
    latest_version = serializers.SerializerMethodField()
    num_versions = serializers.SerializerMethodField()

    class Meta:
        model = Dataset
        fields = (
            "id",
            "project",
            "project_name",
            "workspace",
            "name",
            "description",
            "format",
            "latest_version",
            "num_versions",
            "created_by",
            "created_at",
            "updated_at",
        )
        read_only_fields = fields

    @extend_schema_field(DatasetVersionSerializer(allow_null=True))
    def get_latest_version(self, dataset: Dataset) -> Any:
        """Return the newest version, if there is one."""
        latest = _latest(dataset)
        return DatasetVersionSerializer(latest).data if latest else None

    def get_num_versions(self, dataset: Dataset) -> int:
        """Return how many versions there are: they are numbered without a gap."""
        latest = _latest(dataset)
        return latest.number if latest else 0


class CreateDatasetSerializer(InputSerializer):
    """A new dataset, empty at first."""

    project = serializers.UUIDField()
    name = serializers.RegexField(NAME_PATTERN, max_length=63, help_text="Letters, digits, dots, dashes, underscores.")
    description = serializers.CharField(max_length=_MAX_DESCRIPTION, allow_blank=True, required=False)
    format = serializers.ChoiceField(
        choices=DatasetFormat.choices, required=False, help_text="Which files it takes; they are read by their names."
    )


class ChangeDatasetSerializer(InputSerializer):
    """What can be changed."""

    description = serializers.CharField(max_length=_MAX_DESCRIPTION, allow_blank=True)


class CreateDatasetVersionSerializer(InputSerializer):
    """The content of a new version: finalised uploads, or a path on the server that an administrator allowed."""

    files = FileEntriesField(required=False)
    server_path = serializers.CharField(max_length=4096, required=False, trim_whitespace=False)

    def validate(self, attrs: Any) -> Any:
        """Require exactly one of the two."""
        if ("files" in attrs) == ("server_path" in attrs):
            raise serializers.ValidationError({"files": "Give either files or server_path."})
        return attrs


class PreviewRecordSerializer(serializers.Serializer[Any]):
    """The beginning of one document."""

    file = serializers.CharField()
    place = serializers.IntegerField(
        allow_null=True, help_text="Line or row, counted from 1; null when the file is one document."
    )
    text = serializers.CharField()
    is_truncated = serializers.BooleanField()


class PreviewSerializer(serializers.Serializer[Any]):
    """The first records."""

    records = PreviewRecordSerializer(many=True)
    error = serializers.CharField(help_text="Why no more could be read; empty when all is well.")


class FileListSerializer(serializers.Serializer[Any]):
    """The files of a version."""

    files = FileEntrySerializer(many=True)


def _latest(dataset: Dataset) -> DatasetVersion | None:
    found: list[DatasetVersion] | None = getattr(dataset, "latest_versions", None)
    if found is None:  # a dataset just made, not one of a list
        return dataset.versions.select_related("dataset", "file_set", "created_by").order_by("-number").first()
    return found[0] if found else None

"""How uploads and files travel."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from rest_framework import serializers

from apps.core.serializers import InputSerializer
from apps.storage.services import MAX_FILE_BYTES, MAX_FILES
from workers.contract.manifest import SHA256_PATTERN, FileRef

DOWNLOAD_RESPONSES: dict[Any, Any] = {
    (200, "application/octet-stream"): OpenApiTypes.BINARY,
    (206, "application/octet-stream"): OpenApiTypes.BINARY,
    (416, "application/problem+json"): {"$ref": "#/components/schemas/Problem"},
}
"""What ``file_response`` may answer, for OpenAPI."""


class CreateUploadSerializer(InputSerializer):
    """A file is announced."""

    project = serializers.UUIDField(help_text="Whose workspace the file will belong to.")
    sha256 = serializers.RegexField(SHA256_PATTERN, max_length=64, help_text="Of the whole file, in lower-case hex.")
    size_bytes = serializers.IntegerField(min_value=0, max_value=MAX_FILE_BYTES)


class UploadSerializer(serializers.Serializer[Any]):
    """Which parts have arrived."""

    upload_id = serializers.UUIDField()
    part_size_bytes = serializers.IntegerField(
        help_text="Part n begins at byte n * part_size_bytes; only the last part is shorter. An empty file has no part."
    )
    received_parts = serializers.ListField(child=serializers.IntegerField(), help_text="Numbers, counted from 0.")
    complete = serializers.BooleanField(help_text="The file is stored and verified; nothing needs sending.")


class FileEntrySerializer(InputSerializer):
    """One file of a set."""

    path = serializers.CharField(max_length=1024, trim_whitespace=False, help_text="Relative to the set, with `/`.")
    sha256 = serializers.RegexField(SHA256_PATTERN, max_length=64)
    size_bytes = serializers.IntegerField(min_value=0, max_value=MAX_FILE_BYTES)


class FileEntriesField(serializers.ListField):
    """The files that a new set is made of, as the contract's FileRef."""

    child = FileEntrySerializer()

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(min_length=1, max_length=MAX_FILES, **kwargs)

    def to_internal_value(self, data: Any) -> list[FileRef]:
        """Return what was validated as contract models."""
        return [FileRef.model_validate(item) for item in super().to_internal_value(data)]

"""How projects travel."""

from rest_framework import serializers

from apps.core.serializers import InputSerializer
from apps.projects.models import Project

_MAX_RETENTION_DAYS = 3650


class ProjectSerializer(serializers.ModelSerializer[Project]):
    """A project."""

    workspace = serializers.UUIDField(source="workspace_id", read_only=True)
    workspace_name = serializers.CharField(source="workspace.name", read_only=True)

    class Meta:
        model = Project
        fields = (
            "id",
            "workspace",
            "workspace_name",
            "name",
            "description",
            "retention_days",
            "created_at",
            "updated_at",
        )
        read_only_fields = fields


class CreateProjectSerializer(InputSerializer):
    """A new project."""

    workspace = serializers.UUIDField()
    name = serializers.CharField(max_length=80)
    description = serializers.CharField(max_length=10_000, allow_blank=True, required=False)
    retention_days = serializers.IntegerField(min_value=0, max_value=_MAX_RETENTION_DAYS, required=False)


class ChangeProjectSerializer(InputSerializer):
    """What to change; absent fields stay."""

    name = serializers.CharField(max_length=80, required=False)
    description = serializers.CharField(max_length=10_000, allow_blank=True, required=False)
    retention_days = serializers.IntegerField(min_value=0, max_value=_MAX_RETENTION_DAYS, required=False)

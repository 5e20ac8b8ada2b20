"""Filters of the dataset lists."""

from django_filters import rest_framework as filters

from apps.datasets.models import Dataset, DatasetVersion, VersionState


class DatasetFilter(filters.FilterSet):
    """By project, workspace, and part of the name."""

    project = filters.UUIDFilter(field_name="project_id")
    workspace = filters.UUIDFilter(field_name="workspace_id")
    name = filters.CharFilter(field_name="name", lookup_expr="icontains")

    class Meta:
        model = Dataset
        fields = ("project", "workspace", "name")


class DatasetVersionFilter(filters.FilterSet):
    """By state."""

    state = filters.ChoiceFilter(choices=VersionState.choices)

    class Meta:
        model = DatasetVersion
        fields = ("state",)

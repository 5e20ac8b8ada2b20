"""Filters of the registry's lists."""

from django_filters import rest_framework as filters

from apps.model_registry.models import Model, ModelVersion, Stage


class ModelFilter(filters.FilterSet):
    """By project, workspace, and part of the name."""

    project = filters.UUIDFilter(field_name="project_id")
    workspace = filters.UUIDFilter(field_name="workspace_id")
    name = filters.CharFilter(field_name="name", lookup_expr="icontains")

    class Meta:
        model = Model
        fields = ("project", "workspace", "name")


class ModelVersionFilter(filters.FilterSet):
    """By model, its name, project, workspace, dataset version, and stage."""

    model = filters.UUIDFilter(field_name="model_id")
    model_name = filters.CharFilter(field_name="model__name")
    project = filters.UUIDFilter(field_name="model__project_id")
    workspace = filters.UUIDFilter(field_name="workspace_id")
    dataset_version = filters.UUIDFilter(field_name="dataset_version_id")
    stage = filters.ChoiceFilter(choices=Stage.choices)

    class Meta:
        model = ModelVersion
        fields = ("model", "model_name", "project", "workspace", "dataset_version", "stage")

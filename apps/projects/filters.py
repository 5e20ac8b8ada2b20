"""Filters of the project list."""

from django_filters import rest_framework as filters

from apps.projects.models import Project


class ProjectFilter(filters.FilterSet):
    """By workspace, and by part of the name."""

    workspace = filters.UUIDFilter(field_name="workspace_id")
    name = filters.CharFilter(field_name="name", lookup_expr="icontains")

    class Meta:
        model = Project
        fields = ("workspace", "name")

"""The projects app."""

from django.apps import AppConfig


class ProjectsConfig(AppConfig):
    """Pieces of work within a workspace."""

    name = "apps.projects"

"""Which projects a user may see."""

from django.db.models import QuerySet

from apps.accounts.selectors import AnyUser, in_visible_workspaces
from apps.projects.models import Project


def visible_projects(user: AnyUser) -> QuerySet[Project]:
    """Select the projects of the user's workspaces that are not deleted."""
    return in_visible_workspaces(Project.objects.filter(deleted_at=None), user).select_related("workspace")

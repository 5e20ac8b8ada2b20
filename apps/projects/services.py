"""Every change of projects."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import models, transaction
from django.utils import timezone

from apps.accounts.models import Role, User, Workspace
from apps.accounts.selectors import require_role
from apps.core import events
from apps.core.errors import Conflict, NameTaken, NotFound
from apps.projects.models import Project
from apps.projects.selectors import visible_projects

_CHANGEABLE = ("name", "description", "retention_days")


def writable_project(*, actor: User, project_id: UUID) -> Project:
    """Return a project in which ``actor`` may make things.

    Raises:
        NotFound: the actor does not see it (HTTP 404).
        Forbidden: the actor is a viewer (HTTP 403).
    """
    project = visible_projects(actor).filter(pk=project_id).first()
    if project is None:
        raise NotFound("There is no such project.", errors=())
    require_role(actor, project.workspace_id, Role.EDITOR)
    return project


@transaction.atomic
def create_project(
    *, actor: User, workspace: Workspace, name: str, description: str = "", retention_days: int = 30
) -> Project:
    """Make a project.

    Raises:
        Forbidden: the actor is a viewer.
        NameTaken: the name is taken in this workspace.
    """
    require_role(actor, workspace, Role.EDITOR)
    _refuse_taken_name(workspace.pk, name)
    project = Project.objects.create(
        workspace=workspace, name=name, description=description, retention_days=retention_days, created_by=actor
    )
    events.record(project, action="project.create", actor=actor, after={"name": name})
    return project


@transaction.atomic
def change_project(*, project: Project, actor: User, **changes: Any) -> Project:
    """Change name, description or retention.

    Raises:
        NameTaken: the name is taken in this workspace.
    """
    if changes.get("name", project.name) != project.name:
        _refuse_taken_name(project.workspace_id, changes["name"])
    wanted = {name: changes[name] for name in _CHANGEABLE if name in changes}
    before = {name: getattr(project, name) for name in wanted}
    for name, value in wanted.items():
        setattr(project, name, value)
    project.save(update_fields=[*wanted, "updated_at"])
    events.record(project, action="project.change", actor=actor, before=before, after=wanted)
    return project


@transaction.atomic
def delete_project(*, project: Project, actor: User) -> None:
    """Hide a project and free its name; it is collected after its retention.

    Raises:
        Conflict: datasets, models or jobs in it are not deleted.
    """
    Project.objects.select_for_update().get(pk=project.pk)  # nothing is made in it meanwhile
    if held := _what_holds(project):
        raise Conflict(
            f"The project still holds {', '.join(held)}.", code="referenced", remedy="Delete what it holds first."
        )
    project.deleted_at = timezone.now()
    project.save(update_fields=["deleted_at", "updated_at"])
    events.record(project, action="project.delete", actor=actor, before={"name": project.name})


def collect_deleted_projects() -> int:
    """Remove projects whose retention is over and that nothing refers to; return how many."""
    count = 0
    for project in Project.objects.filter(deleted_at__isnull=False):
        assert project.deleted_at is not None
        is_over = project.deleted_at + timedelta(days=project.retention_days) < timezone.now()
        if is_over and not any(_rows(relation, project).exists() for relation in _relations()):
            project.delete()
            count += 1
    return count


@transaction.atomic
def ensure_project(*, workspace: Workspace, name: str, owner: User) -> Project:
    """Make sure that a project exists."""
    project, _ = Project.objects.get_or_create(
        workspace=workspace, name=name, deleted_at=None, defaults={"created_by": owner}
    )
    return project


def _refuse_taken_name(workspace_id: UUID, name: str) -> None:
    if Project.objects.filter(workspace_id=workspace_id, name=name, deleted_at=None).exists():
        raise NameTaken("project", name)


def _relations() -> list[models.ManyToOneRel]:
    """List what may point at a project; the apps above this one are not known here by name."""
    return [relation for relation in Project._meta.related_objects if isinstance(relation, models.ManyToOneRel)]


def _rows(relation: models.ManyToOneRel, project: Project) -> models.QuerySet[Any]:
    return relation.related_model._base_manager.filter(**{relation.field.name: project})


def _what_holds(project: Project) -> list[str]:
    """Name the kinds of live things in a project."""
    held = []
    for relation in _relations():
        rows = _rows(relation, project)
        if any(field.name == "deleted_at" for field in relation.related_model._meta.get_fields()):
            rows = rows.filter(deleted_at=None)
        if rows.exists():
            held.append(str(relation.related_model._meta.verbose_name_plural))
    return held

"""The append-only record."""

import pytest
from django.db import IntegrityError, transaction

from apps.accounts.models import User, Workspace
from apps.core import events
from apps.core.models import Event
from apps.projects.models import Project


def test_event_names_object_tenant_and_actor(project: Project, editor: User) -> None:
    by_user = events.record(project, action="a", actor=editor, before={"x": 1}, after=[2], reason="why", seq=5)
    assert (by_user.object_type, by_user.object_id) == ("projects.project", project.pk)
    assert (by_user.workspace_id, by_user.actor_name, by_user.seq) == (project.workspace_id, editor.username, 5)
    assert events.record(project, action="a", actor="node:n1").actor_name == "node:n1"
    assert events.record(project, action="a").actor_name == "system"


def test_workspace_belongs_to_itself(workspace: Workspace) -> None:
    assert events.record(workspace, action="a").workspace_id == workspace.pk


def test_object_without_a_tenant_has_none(editor: User) -> None:
    assert events.record(editor, action="a").workspace_id is None


@pytest.mark.parametrize("change", ["update", "delete"])
def test_database_refuses_to_change_history(project: Project, change: str) -> None:
    events.record(project, action="a")
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        Event.objects.update(action="b") if change == "update" else Event.objects.all().delete()
    assert Event.objects.get(object_id=project.pk).action == "a"

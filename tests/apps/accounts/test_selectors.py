"""Rights: roles, scopes, visibility."""

import pytest
from django.contrib.auth.models import AnonymousUser

from apps.accounts.models import Role, Scope, User, Workspace
from apps.accounts.selectors import require_role, role_includes, scope_includes, visible_workspaces
from apps.core.errors import Forbidden, NotFound


def test_invisible_is_not_found_and_too_little_is_forbidden(
    workspace: Workspace, viewer: User, editor: User, outsider: User, superuser: User
) -> None:
    assert require_role(editor, workspace, Role.EDITOR) == Role.EDITOR
    assert require_role(superuser, workspace.pk, Role.OWNER) == Role.OWNER
    with pytest.raises(Forbidden):
        require_role(viewer, workspace, Role.EDITOR)
    with pytest.raises(NotFound):
        require_role(outsider, workspace, Role.VIEWER)
    with pytest.raises(NotFound):
        require_role(AnonymousUser(), workspace, Role.VIEWER)


def test_visibility_follows_membership(workspace: Workspace, viewer: User, outsider: User, superuser: User) -> None:
    assert list(visible_workspaces(viewer)) == [workspace]
    assert workspace not in visible_workspaces(outsider)
    assert workspace in visible_workspaces(superuser)
    assert not visible_workspaces(AnonymousUser()).exists()
    viewer.is_active = False
    assert not visible_workspaces(viewer).exists()


def test_each_role_and_scope_includes_the_lesser() -> None:
    assert role_includes(Role.OWNER, Role.VIEWER)
    assert not role_includes(Role.VIEWER, Role.EDITOR)
    assert scope_includes(["admin"], Scope.READ)
    assert not scope_includes(["read"], Scope.WRITE)
    assert not scope_includes([], Scope.READ)

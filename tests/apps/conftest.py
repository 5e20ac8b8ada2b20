"""Fixtures of the API tests: one workspace seen from every side."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from django.db import transaction
from pytest_django import DjangoDbBlocker
from rest_framework.test import APIClient

from apps.accounts.models import Role, User, Workspace
from apps.accounts.services import create_token
from apps.projects.models import Project
from tests.apps.factories import MembershipFactory, ProjectFactory, UserFactory, WorkspaceFactory

if TYPE_CHECKING:
    from tests.apps.scene import Scene


@pytest.fixture
def workspace(db: None) -> Workspace:
    """Return a workspace."""
    return WorkspaceFactory.create()


@pytest.fixture
def project(workspace: Workspace) -> Project:
    """Return a project in the workspace."""
    return ProjectFactory.create(workspace=workspace)


@pytest.fixture
def owner(workspace: Workspace) -> User:
    """Return an owner of the workspace."""
    return MembershipFactory.create(workspace=workspace, role=Role.OWNER).user


@pytest.fixture
def editor(workspace: Workspace) -> User:
    """Return an editor of the workspace."""
    return MembershipFactory.create(workspace=workspace, role=Role.EDITOR).user


@pytest.fixture
def viewer(workspace: Workspace) -> User:
    """Return a viewer of the workspace."""
    return MembershipFactory.create(workspace=workspace, role=Role.VIEWER).user


@pytest.fixture
def outsider(db: None) -> User:
    """Return a member of another workspace only."""
    return MembershipFactory.create(role=Role.OWNER).user


@pytest.fixture
def superuser(db: None) -> User:
    """Return an administrator of the installation who is a member of nothing."""
    return UserFactory.create(is_superuser=True, is_staff=True)


@pytest.fixture
def client_for() -> Callable[[User | None], APIClient]:
    """Return a function that makes an API client signed in as a user; None is anonymous."""

    def make(user: User | None) -> APIClient:
        client = APIClient()
        if user is not None:
            client.force_login(user)
        return client

    return make


@pytest.fixture
def client_with_token() -> Callable[..., APIClient]:
    """Return a function that makes an API client with a token of a user."""

    def make(user: User, *scopes: str) -> APIClient:
        secret = create_token(actor=user, name="test", scopes=list(scopes) or None).secret
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
        return client

    return make


@pytest.fixture
def api(client_for: Callable[[User | None], APIClient], editor: User) -> APIClient:
    """Return a client signed in as the workspace's editor."""
    return client_for(editor)


@pytest.fixture(scope="module")
def shared_scene(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> "Iterator[Scene]":
    """Make one of everything once; each test's own transaction lies within this one and is rolled back."""
    from tests.apps.scene import build_scene  # it reaches into every app: not for tests that do without

    with django_db_blocker.unblock(), transaction.atomic():
        yield build_scene()
        transaction.set_rollback(True)


@pytest.fixture
def scene(shared_scene: "Scene", db: None) -> "Scene":
    """Return one of everything."""
    return shared_scene

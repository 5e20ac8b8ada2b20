"""A real server with a user, a project and a node, and a client that talks to it over HTTP."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django.live_server_helper import LiveServer

from apps.accounts.models import Role, User
from coxswain.client import Client
from coxswain.client.session import create_token
from tests.apps.factories import MembershipFactory, ProjectFactory
from tests.apps.jobs.simulation import FakeAgent, control_plane_up_for

PASSWORD = "password"  # what the factory gives every user


@pytest.fixture
def user(live_server: LiveServer) -> User:
    """An editor of one project, on a cluster of one node with two slots."""
    membership = MembershipFactory.create(role=Role.EDITOR)
    ProjectFactory.create(workspace=membership.workspace, name="research")
    control_plane_up_for(3600)
    FakeAgent(name="n1", slots=2, pool="default").join()
    return membership.user


@pytest.fixture
def token(live_server: LiveServer, user: User) -> str:
    """A token made as `cox login` makes it."""
    return create_token(live_server.url, username=user.get_username(), password=PASSWORD, name="test")


@pytest.fixture
def client(live_server: LiveServer, token: str) -> Iterator[Client]:
    """A client of that user."""
    with Client(live_server.url, token) as client:
        yield client


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the caller's stored login and environment out of the tests."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("COX_URL", raising=False)
    monkeypatch.delenv("COX_TOKEN", raising=False)
    return tmp_path

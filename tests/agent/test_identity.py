"""Joining, remembering, joining again."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from tests.agent.stub_server import ControlPlane
from workers.agent.api import GaveUp, NodeApi, Retry
from workers.agent.devices import discover_devices
from workers.agent.identity import CannotJoin, Identity
from workers.agent.settings import AgentSettings


def obtain(settings: AgentSettings, stop: threading.Event | None = None) -> str:
    """Start as a new process would; the token it then speaks with."""
    settings.data_dir.mkdir(exist_ok=True)
    api = NodeApi(settings.server_url)
    devices = discover_devices("cpu", settings.slots)
    identity = Identity(settings, devices=devices, address="127.0.0.1")
    return identity.obtain(api, Retry(0.01, 0.05, stop or threading.Event())).node_token


def test_node_joins_once_and_remembers(plane: ControlPlane, settings: AgentSettings) -> None:
    token = obtain(settings)
    assert token == plane.node_token
    assert (settings.data_dir / "node.json").stat().st_mode & 0o777 == 0o600
    assert obtain(replace(settings, join_token_file=None)) == token
    assert len(plane.joins) == 1
    assert (plane.joins[0].name, plane.joins[0].pool, len(plane.joins[0].devices)) == ("node-a", "default", 4)


def test_node_without_any_token_says_what_it_needs(settings: AgentSettings) -> None:
    with pytest.raises(CannotJoin, match="--join-token-file"):
        obtain(replace(settings, join_token_file=None))
    with pytest.raises(CannotJoin, match="cannot read"):
        obtain(replace(settings, join_token_file=Path("/nowhere")))


def test_wrong_join_token_is_told_at_once(settings: AgentSettings) -> None:
    assert settings.join_token_file is not None
    settings.join_token_file.write_text("wrong")
    with pytest.raises(CannotJoin, match="refused"):
        obtain(settings)


def test_node_that_changed_joins_again_when_it_can(plane: ControlPlane, settings: AgentSettings) -> None:
    first = obtain(settings)
    assert obtain(replace(settings, slots=2, join_token_file=None)) == first  # no way to tell the server
    second = obtain(replace(settings, slots=2))
    assert second == plane.node_token != first
    assert len(plane.joins[-1].devices) == 2


def test_unreadable_identity_is_replaced(plane: ControlPlane, settings: AgentSettings) -> None:
    settings.data_dir.mkdir()
    (settings.data_dir / "node.json").write_text("{")
    assert obtain(settings) == plane.node_token


@pytest.mark.faults
def test_join_waits_for_a_server_that_is_down(plane: ControlPlane, settings: AgentSettings) -> None:
    plane.is_down = True
    threading.Timer(0.3, setattr, (plane, "is_down", False)).start()
    assert obtain(settings) == plane.node_token
    plane.is_down = True
    (settings.data_dir / "node.json").unlink()
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    with pytest.raises(GaveUp):
        obtain(settings, stop)


def test_name_whose_lease_still_runs_is_waited_for(plane: ControlPlane, settings: AgentSettings) -> None:
    plane.joins_with_name_taken = 2
    assert obtain(settings) == plane.node_token
    assert len(plane.joins) == 3


def test_other_refusals_of_the_server_are_told_with_its_remedy(plane: ControlPlane, settings: AgentSettings) -> None:
    plane.joins_with_name_taken = 1000
    stop = threading.Event()
    stop.set()  # nobody waits
    with pytest.raises(CannotJoin, match="name_taken"):
        obtain(settings, stop)

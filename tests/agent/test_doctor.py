"""The doctor finds what is wrong with a node, says the remedy, and finds nothing where nothing is."""

import dataclasses
import socket
import threading
from pathlib import Path

import pytest

from tests.agent.stub_server import ControlPlane
from workers.agent.api import NodeApi, Retry
from workers.agent.devices import discover_devices
from workers.agent.doctor.findings import Finding, Status
from workers.agent.doctor.machine import check_address, check_collectives, check_devices, check_disk, check_limits
from workers.agent.doctor.server import check_identity, check_server
from workers.agent.identity import Identity
from workers.agent.settings import AgentSettings

_NOT_HERE = "198.51.100.7"  # RFC 5737: nobody's address


def statuses(findings: list[Finding]) -> dict[str, Status]:
    """What was found by check; whatever is wrong has a remedy."""
    assert all(found.fix for found in findings if found.status in {Status.FAILED, Status.WARNING})
    return {found.check: found.status for found in findings}


def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_server_that_does_not_answer_is_told(plane: ControlPlane) -> None:
    assert statuses(check_server(f"http://127.0.0.1:{closed_port()}")) == {"server": Status.FAILED}
    assert statuses(check_server("no address")) == {"server": Status.FAILED}
    (other,) = check_server(plane.url)  # a server that knows no /healthz is none of ours
    assert other.status is Status.FAILED
    assert "/healthz answers 40" in other.message


def test_identity_and_broker_are_those_of_the_node(
    plane: ControlPlane, settings: AgentSettings, tmp_path: Path
) -> None:
    settings.data_dir.mkdir()
    token_file = settings.join_token_file
    assert statuses(check_identity(plane.url, settings.data_dir, None))["identity"] is Status.FAILED
    assert statuses(check_identity(plane.url, settings.data_dir, token_file))["identity"] is Status.OK
    assert statuses(check_identity(plane.url, settings.data_dir, tmp_path / "absent"))["identity"] is Status.FAILED

    api = NodeApi(settings.server_url)
    reply = Identity(settings, devices=discover_devices("cpu", 1), address="127.0.0.1").join(
        api, Retry(0.1, 0.1, threading.Event())
    )
    broker = f"redis://:hunter2@127.0.0.1:{closed_port()}/1"
    stored = settings.data_dir / "node.json"
    stored.write_text(stored.read_text().replace(reply.broker_url, broker))
    joined = check_identity(plane.url, settings.data_dir, None)
    assert statuses(joined) == {"identity": Status.OK, "broker": Status.FAILED}
    assert "hunter2" not in str(joined)
    assert statuses(check_identity("http://127.0.0.1:1", settings.data_dir, None))["identity"] is Status.FAILED

    stored.write_text(stored.read_text().replace(reply.node_token, "node_invented"))
    assert statuses(check_identity(plane.url, settings.data_dir, None))["identity"] is Status.FAILED


def test_machine_is_looked_over(tmp_path: Path) -> None:
    assert check_disk(tmp_path / "not" / "yet").status in {Status.OK, Status.WARNING}
    assert check_disk(Path("/proc/node")).status is Status.FAILED
    assert statuses(check_limits()).keys() == {"open files", "shared memory"}
    assert check_address("http://127.0.0.1:1", _NOT_HERE)[0].status is Status.FAILED
    found, address = check_address("http://127.0.0.1:1", None)
    assert (found.status, address) == (Status.OK, "127.0.0.1")
    about, devices = check_devices("cpu", 3)
    assert (about.status, len(devices)) == (Status.OK, 3)
    if discover_devices("auto", None)[0].kind == "cpu":
        assert check_devices("cuda", None)[0].status is Status.FAILED


def test_two_ranks_sum_and_a_rank_that_cannot_start_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    devices = discover_devices("cpu", 2)
    found = check_collectives(devices, "127.0.0.1")
    assert found.status is Status.OK, found
    assert "gloo" in found.message
    monkeypatch.setenv("PYTHONHOME", "/absent")  # no interpreter starts with it
    broken = check_collectives(devices, "127.0.0.1")
    assert broken.status is Status.FAILED
    assert "encodings" in broken.message
    assert dataclasses.asdict(broken)["fix"]

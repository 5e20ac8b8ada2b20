"""What a heartbeat says, and what silence leads to."""

from collections.abc import Callable
from dataclasses import replace

import psutil
import pytest

from tests.agent.conftest import make_order, wait_for
from tests.agent.stub_server import ControlPlane
from workers.agent.node import Node
from workers.agent.settings import AgentSettings
from workers.contract.node_api import Outcome, RunningReport
from workers.contract.run import FailureKind


def test_heartbeat_tells_how_busy_the_node_is(plane: ControlPlane, node: Node) -> None:
    wait_for(lambda: plane.heartbeats and plane.heartbeats[-1].forkserver_ready)
    beat = plane.heartbeats[-1]
    assert beat.contract_version == 1
    assert beat.memory_used_bytes
    assert beat.disk_free_bytes
    assert beat.cpu_pct is not None
    assert beat.allocations == ()


def test_heartbeat_lists_an_allocation_until_its_exit_is_told(plane: ControlPlane, node: Node) -> None:
    stored = plane.add(make_order([["checkpoint", 1, 60_000], ["finish"]]))
    wait_for(lambda: stored.exit)
    wait_for(lambda: not plane.heartbeats[-1].allocations)
    seen = [status.state for beat in plane.heartbeats for status in beat.allocations]
    # Files are still on their way when the ranks have ended: to the server the allocation runs until its exit report.
    assert set(seen) <= {"claimed", "running"}


def test_allocation_whose_attempt_is_over_has_ended(plane: ControlPlane, node: Node) -> None:
    stored = plane.add(make_order([["repeat", 40, "z" * 40_000], ["sleep", 60]], slots=1))
    wait_for(lambda: stored.is_running)
    plane.lost_acknowledgements["logs"] = 40  # its last words take a while
    stored.is_stale = True
    wait_for(lambda: any(status.state == "ended" for beat in plane.heartbeats for status in beat.allocations))


@pytest.mark.faults
def test_refused_node_token_is_renewed_and_nothing_is_lost(plane: ControlPlane, node: Node) -> None:
    stored = plane.add(make_order([["metrics", 40, 0.02], ["finish"]]))
    wait_for(lambda: stored.points.get((0, "loss")))
    plane.node_token = "revoked"
    wait_for(lambda: stored.exit)
    assert len(plane.joins) == 2
    assert [step for step, _ in stored.points[0, "loss"]] == list(range(1, 41))


@pytest.mark.faults
def test_refused_token_without_a_way_to_join_keeps_ranks_until_the_orphan_timeout(
    plane: ControlPlane, start_node: Callable[..., Node], settings: AgentSettings
) -> None:
    plane.orphan_timeout_s = 1.0
    assert settings.join_token_file is not None
    start_node(settings)
    stored = plane.add(make_order([["sleep", 60]]))
    wait_for(lambda: stored.is_running)
    report = stored.of_type("running")[0]
    assert isinstance(report, RunningReport)
    settings.join_token_file.unlink()
    token, plane.node_token = plane.node_token, "revoked"
    assert all(psutil.pid_exists(pid) for pid in report.pids)
    wait_for(lambda: not any(psutil.pid_exists(pid) for pid in report.pids))
    plane.node_token = token
    wait_for(lambda: stored.exit)
    assert stored.exit is not None
    assert (stored.exit.outcome, stored.exit.failure_kind) == (Outcome.FAILED, FailureKind.RETRYABLE)
    assert stored.exit.reason.startswith("no contact with the control plane for")


@pytest.mark.faults
def test_server_that_is_down_when_the_node_starts_with_a_stored_token(
    plane: ControlPlane, start_node: Callable[..., Node], settings: AgentSettings
) -> None:
    start_node(settings).stop()
    plane.is_down = True
    start_node(replace(settings, join_token_file=None))
    plane.is_down = False
    stored = plane.add(make_order([["finish"]]))
    wait_for(lambda: stored.exit)
    assert len(plane.joins) == 1

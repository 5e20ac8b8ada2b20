"""What an agent finds when it starts again: kill -9 of the process, orphans, strangers."""

import os
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from tests.agent.conftest import make_order, wait_for
from tests.agent.processes import AgentProcess
from tests.agent.stub_server import ControlPlane, Stored
from workers.agent.processes import (
    ProcessRecord,
    is_alive,
    kill_orphans,
    read_boot_id,
    read_start_ticks,
    wait_until_gone,
)
from workers.contract.node_api import ExitReport, Outcome
from workers.contract.run import FailureKind


def exit_of(stored: Stored) -> ExitReport:
    wait_for(lambda: stored.exit)
    assert stored.exit is not None
    return stored.exit


def allocation_dirs(agent: AgentProcess) -> list[Path]:
    return list((agent.data_dir / "allocations").iterdir())


def are_dead(processes: list[psutil.Process]) -> bool:
    return not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)


@pytest.mark.faults
def test_killed_agent_takes_its_ranks_along_and_its_next_life_accounts_for_them(
    plane: ControlPlane, agent: AgentProcess
) -> None:
    agent.start()
    steps: list[list[object]] = [
        ["metrics", 5, 0.01],
        ["print", "said"],
        ["checkpoint", 5, 2000],
        ["metrics", 1000, 0.02],
    ]
    stored = plane.add(make_order(steps))
    wait_for(lambda: len(stored.points.get((1, "loss"), [])) > 10)
    family = agent.descendants()
    assert len(family) == 3  # the fork server and two ranks
    agent.kill()
    wait_for(lambda: are_dead(family), timeout_s=5)
    written = [len(path.read_text().splitlines()) for path in agent.data_dir.glob("allocations/*/output/events/*")]
    agent.start()
    report = exit_of(stored)
    assert (report.outcome, report.failure_kind) == (Outcome.FAILED, FailureKind.RETRYABLE)
    assert report.reason == "the agent restarted"
    for rank in (0, 1):
        steps_seen = [step for step, _ in stored.points[rank, "loss"]]
        assert steps_seen == list(range(1, len(steps_seen) + 1))
        assert stored.marks[rank] in {*written, *(count - 1 for count in written)}  # the last line may be torn
        assert stored.logs[f"{rank}.stdout"] == b"said\n"
    assert [report.type for report in stored.reports if report.type == "checkpoint"] == ["checkpoint"]
    assert stored.ended_logs >= {"0.stdout", "0.stderr", "1.stdout", "1.stderr"}
    wait_for(lambda: not allocation_dirs(agent))
    assert len(plane.joins) == 1  # the node token was kept
    assert agent.stop() == 0


@pytest.mark.faults
def test_batches_are_cut_again_at_the_servers_mark(plane: ControlPlane, agent: AgentProcess) -> None:
    agent.start()
    stored = plane.add(make_order([["metrics", 20, 0.01], ["print", "0123456789"], ["sleep", 60]]))
    wait_for(lambda: len(stored.points.get((0, "loss"), [])) == 20 and len(stored.points.get((1, "loss"), [])) == 20)
    wait_for(lambda: len(stored.logs.get("1.stdout", b"")) == 11)
    agent.kill()
    # What the agent remembers and what the server has differ in both directions.
    with plane.lock:
        marks, points = stored.marks[1], len(stored.points[1, "loss"])
        stored.points[1, "loss"] = stored.points[1, "loss"][:10]
        stored.marks[1] = 10
        stored.logs["1.stdout"] = b"0123"
    agent.start()
    exit_of(stored)
    assert stored.marks[1] == marks
    assert len(stored.points[1, "loss"]) == points
    assert stored.logs["1.stdout"] == b"0123456789\n"
    assert stored.logs["0.stdout"] == b"0123456789\n"
    assert agent.stop() == 0


@pytest.mark.faults
def test_run_that_finished_while_nobody_could_tell_still_succeeds(plane: ControlPlane, agent: AgentProcess) -> None:
    agent.start()
    stored = plane.add(make_order([["metrics", 3, 0.05], ["model", 3000], ["finish"]]))
    wait_for(lambda: stored.points.get((0, "loss")))
    plane.is_down = True
    wait_for(
        lambda: all(b'"finished"' in path.read_bytes() for path in agent.data_dir.glob("allocations/*/output/events/*"))
    )
    agent.kill()
    plane.is_down = False
    agent.start()
    assert exit_of(stored).outcome is Outcome.SUCCEEDED
    assert [report.type for report in stored.reports if report.type in {"model", "exit"}] == ["model", "exit"]
    assert len(stored.points[0, "loss"]) == 3
    assert agent.stop() == 0


@pytest.mark.faults
def test_attempt_that_ended_meanwhile_keeps_its_last_words_and_is_forgotten(
    plane: ControlPlane, agent: AgentProcess
) -> None:
    agent.start()
    stored = plane.add(make_order([["print", "early"], ["metrics", 1000, 0.02]]))
    wait_for(lambda: stored.is_running)
    plane.is_down = True
    time.sleep(0.5)
    agent.kill()
    plane.is_down = False
    stored.is_stale = True
    agent.start()
    wait_for(lambda: stored.ended_logs >= {"0.stdout", "1.stdout"})
    wait_for(lambda: not allocation_dirs(agent))
    assert stored.exit is None
    assert len(stored.points[0, "loss"]) > 10
    assert agent.stop() == 0


@pytest.mark.faults
def test_agent_that_is_stopped_while_the_server_is_down_tells_it_in_its_next_life(
    plane: ControlPlane, agent: AgentProcess
) -> None:
    agent.start()
    stored = plane.add(make_order([["print", "kept"], ["metrics", 1000, 0.02]]))
    wait_for(lambda: stored.is_running)
    plane.is_down = True
    assert agent.stop() == 0
    assert len(allocation_dirs(agent)) == 1
    plane.is_down = False
    agent.start()
    assert exit_of(stored).failure_kind is FailureKind.RETRYABLE
    assert stored.logs["0.stdout"] == b"kept\n"
    assert agent.stop() == 0


def test_second_agent_in_one_data_directory_is_refused(plane: ControlPlane, agent: AgentProcess) -> None:
    agent.start()
    wait_for(lambda: plane.heartbeats)
    second = AgentProcess(plane.url, agent.data_dir.parent)
    second.start()
    assert second.wait() == 64
    assert "another agent works" in agent.log()
    assert agent.stop() == 0


@pytest.fixture
def session() -> "subprocess.Popen[bytes]":
    return subprocess.Popen(["sh", "-c", "sleep 60 & wait"], start_new_session=True)


def record_of(process: "subprocess.Popen[bytes]") -> ProcessRecord:
    start_ticks = read_start_ticks(process.pid)
    assert start_ticks is not None
    return ProcessRecord(rank=0, pid=process.pid, start_ticks=start_ticks)


@pytest.mark.faults
def test_orphans_are_killed_with_their_children(session: "subprocess.Popen[bytes]") -> None:
    wait_for(lambda: psutil.Process(session.pid).children())
    child = psutil.Process(session.pid).children()[0]
    record = record_of(session)
    assert is_alive(record)
    assert set(kill_orphans((record,), boot_id=read_boot_id())) == {session.pid, child.pid}
    assert session.wait(5) == -9
    assert wait_until_gone(record.pid, timeout_s=5)
    wait_for(lambda: are_dead([child]))


@pytest.mark.faults
def test_children_of_a_dead_leader_are_killed(session: "subprocess.Popen[bytes]") -> None:
    wait_for(lambda: psutil.Process(session.pid).children())
    child = psutil.Process(session.pid).children()[0]
    record = record_of(session)
    session.kill()
    session.wait(5)
    assert kill_orphans((record,), boot_id=read_boot_id()) == [child.pid]


def test_stranger_with_a_reused_pid_is_left_alone(session: "subprocess.Popen[bytes]") -> None:
    record = record_of(session)
    stranger = record.model_copy(update={"start_ticks": record.start_ticks - 1})
    assert not is_alive(stranger)
    assert kill_orphans((stranger,), boot_id=read_boot_id()) == []
    assert kill_orphans((record,), boot_id="another-boot") == []
    assert session.poll() is None
    os.killpg(session.pid, 9)
    session.wait(5)

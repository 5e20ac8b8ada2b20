"""One allocation end to end: real fork server, real ranks, real HTTP."""

import json
import os
import pwd
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.agent.conftest import make_order, wait_for
from tests.agent.stub_server import ControlPlane, Stored
from workers.agent.node import Node
from workers.agent.settings import AgentSettings
from workers.contract.manifest import FileRef, set_digest
from workers.contract.node_api import (
    CheckpointReport,
    ExitReport,
    InputRef,
    LogStream,
    Outcome,
    RunningReport,
    WishKind,
)
from workers.contract.run import FailureKind


def exit_of(stored: Stored, *, timeout_s: float = 20.0) -> ExitReport:
    """Wait for the exit report."""
    wait_for(lambda: stored.exit, timeout_s=timeout_s)
    assert stored.exit is not None
    return stored.exit


def pids_of(stored: Stored) -> tuple[int, ...]:
    """Wait until the ranks run."""
    wait_for(lambda: stored.of_type("running"))
    report = stored.of_type("running")[0]
    assert isinstance(report, RunningReport)
    assert report.warm
    return report.pids


def are_gone(pids: tuple[int, ...]) -> bool:
    return not any(psutil.pid_exists(pid) for pid in pids)


def kinds(stored: Stored) -> list[str]:
    """Types of reports, without the many of progress."""
    return [report.type for report in stored.reports if report.type not in {"progress", "phase"}]


def test_offer_in_heartbeat_is_claimed_launched_and_accounted_for(
    plane: ControlPlane, node: Node, settings: AgentSettings
) -> None:
    steps: list[list[object]] = [
        ["phase", "train"],
        ["metrics", 5, 0.01],
        ["print", "hello"],
        ["checkpoint", 5, 3500],
        ["model", 10],
        ["output", 2500],
    ]
    stored = plane.add(make_order([*steps, ["finish"]]))
    report = exit_of(stored)
    assert (report.outcome, report.exit_codes) == (Outcome.SUCCEEDED, (0, 0))
    assert kinds(stored) == ["running", "checkpoint", "model", "output", "exit"]
    for rank in (0, 1):
        assert [step for step, _ in stored.points[rank, "loss"]] == [1, 2, 3, 4, 5]
        assert {value for _, value in stored.points[rank, "odd"]} == {"NaN"}
        assert stored.logs[f"{rank}.stdout"] == b"hello\n"
    assert stored.ended_logs == {"0.stdout", "0.stderr", "1.stdout", "1.stderr", "-1.stdout"}
    assert b"started 2 ranks warm" in stored.logs["-1.stdout"]
    assert stored.claims == 1
    wait_for(lambda: not list(settings.allocations_dir.iterdir()))


def test_last_progress_arrives_before_the_exit(plane: ControlPlane, node: Node) -> None:
    stored = plane.add(make_order([["metrics", 30, 0.005], ["finish"]]))
    exit_of(stored)
    assert stored.reports[-1].type == "exit"
    progress = stored.of_type("progress")
    assert json.loads(progress[-1].model_dump_json())["step"] == 30
    assert len(progress) < 5


def test_point_arrives_soon_after_it_is_written(plane: ControlPlane, node: Node) -> None:
    stored = plane.add(make_order([["metrics", 5, 0.3], ["finish"]], slots=1))
    exit_of(stored)
    delays = [arrived - written / 1e6 for written, arrived in stored.delays]
    assert sorted(delays)[len(delays) // 2] < 0.2


@pytest.mark.faults
def test_killed_rank_ends_the_gang_at_once(plane: ControlPlane, node: Node) -> None:
    stored = plane.add(make_order([["metrics", 2, 0.01], ["only", 0, ["stubborn"]], ["sleep", 60]]))
    pids = pids_of(stored)
    wait_for(lambda: len(stored.points.get((1, "loss"), [])) == 2)
    os.kill(pids[1], signal.SIGKILL)
    started = time.monotonic()
    report = exit_of(stored)
    assert time.monotonic() - started < 3
    assert (report.outcome, report.failure_kind) == (Outcome.FAILED, FailureKind.RETRYABLE)
    assert report.reason == "rank 1 was killed by signal 9 (SIGKILL)"
    assert report.exit_codes == (-9, -9)
    assert are_gone(pids)


def test_users_failure_is_told_with_its_traceback(plane: ControlPlane, node: Node) -> None:
    steps: list[list[object]] = [["only", 1, ["fail", "user", "the loss is NaN at step 3"]], ["only", 0, ["sleep", 60]]]
    report = exit_of(plane.add(make_order(steps)))
    assert (report.outcome, report.failure_kind) == (Outcome.FAILED, FailureKind.USER)
    assert (report.reason, report.traceback) == ("the loss is NaN at step 3", "Traceback ...")


def test_wish_to_stop_lets_the_run_save(plane: ControlPlane, node: Node) -> None:
    stored = plane.add(make_order([["wait_stop"], ["checkpoint", 7, 100, 2, 3], ["finish", True]]))
    pids_of(stored)
    stored.wish = WishKind.STOP
    assert exit_of(stored).outcome is Outcome.STOPPED
    assert kinds(stored) == ["running", "checkpoint", "exit"]
    (saved,) = [report for report in stored.reports if isinstance(report, CheckpointReport)]
    assert (saved.part, saved.num_parts) == (2, 3)


def test_wish_to_kill_ends_stubborn_ranks(plane: ControlPlane, node: Node) -> None:
    stored = plane.add(make_order([["stubborn"], ["print", "deaf"], ["sleep", 60]]))
    pids = pids_of(stored)
    stored.wish = WishKind.KILL
    assert exit_of(stored).outcome is Outcome.KILLED
    assert are_gone(pids)


@pytest.mark.parametrize(
    ("deafness", "code"), [(["sleep", 0], -signal.SIGTERM), (["stubborn"], -signal.SIGKILL)], ids=["TERM", "KILL"]
)
def test_wish_to_stop_that_is_not_obeyed_becomes_a_kill(
    plane: ControlPlane,
    start_node: Callable[..., Node],
    settings: AgentSettings,
    deafness: list[object],
    code: int,
) -> None:
    start_node(replace(settings, timing=replace(settings.timing, stop_wish_s=0.3, stop_grace_s=0.3)))
    stored = plane.add(make_order([deafness, ["print", "deaf"], ["sleep", 60]], slots=1))
    pids = pids_of(stored)
    wait_for(lambda: stored.logs.get("0.stdout"))
    stored.wish = WishKind.STOP
    report = exit_of(stored)
    assert (report.outcome, report.exit_codes) == (Outcome.KILLED, (code,))
    assert report.reason.startswith("The ranks did not end within 0.3 s of being asked to stop")
    assert are_gone(pids)


@pytest.mark.faults
def test_rank_that_is_stopped_by_a_signal_ends_the_attempt(
    plane: ControlPlane, start_node: Callable[..., Node], settings: AgentSettings
) -> None:
    start_node(replace(settings, timing=replace(settings.timing, look_s=0.1, rank_stopped_s=0.5)))
    stored = plane.add(make_order([["sleep", 60]]))
    pids = pids_of(stored)
    os.kill(pids[1], signal.SIGSTOP)
    report = exit_of(stored)
    assert (report.outcome, report.failure_kind) == (Outcome.FAILED, FailureKind.RETRYABLE)
    assert report.reason == f"rank 1 (process {pids[1]}) was stopped by a signal and did not go on within 0.5 s"
    assert are_gone(pids)


def test_wish_while_inputs_are_fetched_starts_nothing(plane: ControlPlane, node: Node) -> None:
    ref = FileRef(path="a", size_bytes=10, sha256=plane.add_blob(b"0123456789"))
    inputs = (InputRef(role="dataset", name="d", digest=set_digest([ref]), files=(ref,)),)
    plane.cut_downloads_after = [0] * 10_000
    stored = plane.add(make_order([["finish"]], inputs=inputs))
    wait_for(lambda: plane.ranges)
    stored.wish = WishKind.STOP
    assert exit_of(stored).outcome is Outcome.STOPPED
    assert kinds(stored) == ["exit"]


def test_inputs_are_where_the_run_file_says(plane: ControlPlane, node: Node) -> None:
    ref = FileRef(path="deep/a.txt", size_bytes=5, sha256=plane.add_blob(b"words"))
    inputs = (InputRef(role="dataset", name="d", digest=set_digest([ref]), files=(ref,)),)
    stored = plane.add(make_order([["cat", "dataset_dir"], ["finish"]], slots=1, inputs=inputs))
    assert exit_of(stored).outcome is Outcome.SUCCEEDED
    assert stored.logs["0.stdout"] == b"deep/a.txt words\n"


def test_unsafe_input_ends_the_attempt_with_its_path(plane: ControlPlane, node: Node) -> None:
    ref = FileRef(path="../../evil", size_bytes=5, sha256=plane.add_blob(b"words"))
    inputs = (InputRef(role="dataset", name="d", digest="0" * 64, files=(ref,)),)
    report = exit_of(plane.add(make_order([["finish"]], inputs=inputs)))
    assert (report.outcome, report.failure_kind) == (Outcome.FAILED, FailureKind.SYSTEM)
    assert "'../../evil'" in report.reason


@pytest.mark.faults
def test_stale_fence_kills_the_ranks_and_keeps_their_last_words(
    plane: ControlPlane, node: Node, settings: AgentSettings
) -> None:
    stored = plane.add(make_order([["print", "last words"], ["metrics", 1000, 0.02], ["sleep", 60]]))
    pids = pids_of(stored)
    wait_for(lambda: (1, "loss") in stored.points)
    stored.is_stale = True
    wait_for(lambda: are_gone(pids))
    wait_for(lambda: "1.stdout" in stored.ended_logs)
    assert stored.logs["1.stdout"] == b"last words\n"
    assert stored.exit is None
    wait_for(lambda: not list(settings.allocations_dir.iterdir()))


@pytest.mark.faults
def test_allocation_the_server_does_not_list_is_killed(
    plane: ControlPlane, node: Node, settings: AgentSettings
) -> None:
    stored = plane.add(make_order([["sleep", 60]]))
    pids = pids_of(stored)
    with plane.lock:
        del plane.allocations[stored.order.allocation_id]
    wait_for(lambda: are_gone(pids))
    wait_for(lambda: not list(settings.allocations_dir.iterdir()))


def test_log_bytes_arrive_as_they_are(plane: ControlPlane, node: Node) -> None:
    raw = b"10%\r20%\r\x00\x1b[31m\xe2\x82"  # a progress bar, NUL, colour and half a character
    steps: list[list[object]] = [["bytes", raw.hex()], ["sleep", 0.3], ["bytes", b"\xac no newline".hex()], ["finish"]]
    stored = plane.add(make_order(steps, slots=1))
    exit_of(stored)
    assert stored.logs["0.stdout"] == raw + b"\xac no newline"


def test_large_log_arrives_in_batches(plane: ControlPlane, node: Node) -> None:
    stored = plane.add(make_order([["repeat", 30, "y" * 49_999], ["finish"]], slots=1))
    exit_of(stored)
    assert stored.logs["0.stdout"] == (b"y" * 49_999 + b"\n") * 30
    assert max(stored.log_batches) <= 256 * 1024


@pytest.mark.faults
def test_server_that_is_down_for_a_while_gets_everything_once(plane: ControlPlane, node: Node) -> None:
    stored = plane.add(make_order([["metrics", 60, 0.02], ["print", "end"], ["checkpoint", 60, 2500], ["finish"]]))
    wait_for(lambda: stored.points.get((0, "loss")))
    plane.is_down = True
    time.sleep(1.0)
    plane.is_down = False
    assert exit_of(stored).outcome is Outcome.SUCCEEDED
    for rank in (0, 1):
        assert [step for step, _ in stored.points[rank, "loss"]] == list(range(1, 61))
        assert stored.logs[f"{rank}.stdout"] == b"end\n"
    assert kinds(stored) == ["running", "checkpoint", "exit"]


@pytest.mark.faults
def test_lost_answers_double_nothing(plane: ControlPlane, node: Node) -> None:
    plane.lost_acknowledgements.update({"claim": 1, "report": 3, "metrics": 3, "logs": 3, "heartbeat": 2})
    stored = plane.add(make_order([["metrics", 20, 0.02], ["print", "end"], ["finish"]]))
    assert exit_of(stored).outcome is Outcome.SUCCEEDED
    assert [step for step, _ in stored.points[0, "loss"]] == list(range(1, 21))
    assert stored.logs["0.stdout"] == b"end\n"
    assert kinds(stored) == ["running", "exit"]


def test_gang_waits_until_all_its_nodes_have_claimed(plane: ControlPlane, node: Node) -> None:
    stored = plane.add(make_order([["finish"]]), is_complete=False)
    wait_for(lambda: stored.claims)
    time.sleep(0.5)
    assert kinds(stored) == []
    stored.is_complete = True
    node.on_hint("news")
    assert exit_of(stored).outcome is Outcome.SUCCEEDED


def test_order_of_an_allocation_this_agent_has_forgotten_is_launched(plane: ControlPlane, node: Node) -> None:
    order = make_order([["finish"]])
    with plane.lock:
        stored = plane.add(order)
        stored.is_granted = True
    assert exit_of(stored).outcome is Outcome.SUCCEEDED
    assert stored.claims == 0


def test_checkpoint_that_its_run_deletes_is_uploaded_all_the_same(plane: ControlPlane, node: Node) -> None:
    steps: list[list[object]] = [["checkpoint", 1, 400_000], ["sleep", 0.3], ["prune", 1], ["finish"]]
    stored = plane.add(make_order(steps, slots=1))
    exit_of(stored)
    assert kinds(stored) == ["running", "checkpoint", "exit"]


def test_ranks_environment_is_clean(
    plane: ControlPlane, start_node: Callable[..., Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COX_SECRET_KEY", "secret")
    start_node()
    stored = plane.add(make_order([["env"], ["finish"]]))
    exit_of(stored)
    env = json.loads(stored.logs["1.stdout"])
    assert (env["RANK"], env["LOCAL_RANK"], env["WORLD_SIZE"], env["MASTER_ADDR"]) == ("1", "1", "2", "127.0.0.1")
    assert env["MASTER_PORT"] == str(stored.order.master_port)
    assert not [name for name in env if name.startswith(("COX_", "DATABASE", "REDIS", "DJANGO"))]


def test_ranks_run_as_the_user_they_are_given(
    plane: ControlPlane,
    start_node: Callable[..., Node],
    settings: AgentSettings,
    tmp_path: Path,
    admit_others: Callable[[Path], None],
) -> None:
    admit_others(tmp_path)
    account = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    start_node(replace(settings, rank_user=account.pw_name))
    stored = plane.add(make_order([["whoami"], ["metrics", 1, 0], ["finish"]], slots=1))
    assert exit_of(stored).outcome is Outcome.SUCCEEDED
    assert stored.logs["0.stdout"] == f"{account.pw_uid}\n".encode()


def test_cold_start_when_there_is_no_fork_server(
    plane: ControlPlane, start_node: Callable[..., Node], settings: AgentSettings
) -> None:
    start_node(replace(settings, forkserver_arguments=("--entry", "no_such_module:run", "--preload", "os:getpid")))
    stored = plane.add(make_order([["finish"]], slots=1))  # to the real runtime: a generate job without a model
    report = exit_of(stored, timeout_s=60)
    assert isinstance(stored.reports[0], RunningReport)
    assert not stored.reports[0].warm
    assert report.outcome is Outcome.FAILED
    assert report.failure_kind is FailureKind.USER
    assert b"cold" in stored.logs[f"-1.{LogStream.STDOUT}"]


def test_two_allocations_share_the_node(plane: ControlPlane, node: Node) -> None:
    both = [plane.add(make_order([["metrics", 5, 0.05], ["finish"]])) for _ in range(2)]
    for stored in both:
        assert exit_of(stored).outcome is Outcome.SUCCEEDED
    ports = {stored.order.master_port for stored in both}
    assert len(ports) == 2


def test_run_file_is_gone_with_its_allocation_and_the_cache_stays(
    plane: ControlPlane, node: Node, settings: AgentSettings
) -> None:
    exit_of(plane.add(make_order([["finish"]])))
    wait_for(lambda: not list(settings.allocations_dir.iterdir()))
    assert Path(settings.cache_dir, "runtime").is_dir()

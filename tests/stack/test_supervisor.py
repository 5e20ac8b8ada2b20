"""The supervisor on real processes: order, restarts, a clean stop, and what a killed one leaves behind."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from coxswain.stack.errors import StackError
from coxswain.stack.paths import StackPaths
from coxswain.stack.plan import Plan
from coxswain.stack.processes import ProcessSpec
from coxswain.stack.spawn import wait_until
from coxswain.stack.state import StackState, hold_lock, is_running, load_state, process_id
from coxswain.stack.supervisor import Supervisor, stop_leftovers, stop_stack

# A server that notes when it starts and stops, and starts a process of its own, as an agent does.
_SERVER = """
import signal, subprocess, sys, time
name, log = sys.argv[1:3]
def note(text):
    with open(log, "a") as stream:
        stream.write(f"{text} {name}\\n")
def stop(*_):
    note("stop")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
note("start")
child = subprocess.Popen(["sleep", "600"])
print("child", child.pid)
print("serving", flush=True)
time.sleep(600)
"""

_SUPERVISOR = """
import os, sys
from pathlib import Path
from coxswain.stack.paths import StackPaths
from coxswain.stack.state import StackState, hold_lock, process_id
from coxswain.stack.supervisor import Supervisor
sys.path.insert(0, sys.argv[2])
from test_supervisor import make_plan
paths = StackPaths(Path(sys.argv[1]))
paths.create()
with hold_lock(paths):
    state = StackState(supervisor=process_id(os.getpid()))
    Supervisor(make_plan(paths.root), paths, state, echo=False).run(lambda: print("ready", flush=True))
"""


def _spec(folder: Path, name: str, code: str = _SERVER, **options: object) -> ProcessSpec:
    command = [sys.executable, "-c", code, name, str(folder / "order")]
    given = {"ready_line": b"serving", "start_timeout_s": 20.0, **options}
    return ProcessSpec(name, lambda: command, dict(os.environ), folder, **given)  # type: ignore[arg-type]


def make_plan(folder: Path, *, setup: str = "pass") -> Plan:
    """A stack of three small servers."""
    return Plan(
        services=(_spec(folder, "base"),),
        setup=(sys.executable, "-c", setup),
        servers=(_spec(folder, "left"), _spec(folder, "right")),
        agent=None,
        env=dict(os.environ),
        url="",
    )


@pytest.fixture
def paths(stack_dir: Path) -> StackPaths:
    paths = StackPaths(stack_dir)
    paths.create()
    return paths


def _run(plan: Plan, paths: StackPaths, *, during: object = None) -> StackState:
    """Run ``plan`` in this thread; once it is ready, ``during`` runs beside it, then it is stopped by a signal."""
    state = StackState(supervisor=process_id(os.getpid()))

    def act() -> None:
        try:
            if callable(during):
                during()
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    threads: list[threading.Thread] = []

    def on_ready() -> None:
        threads.append(threading.Thread(target=act))
        threads[0].start()

    Supervisor(plan, paths, state, echo=False).run(on_ready)
    threads[0].join()
    return state


def _child(paths: StackPaths, name: str) -> int:
    for child in load_state(paths.state).children:
        if child.name == name and child.process:
            return child.process.pid
    raise AssertionError(f"{name} does not run")


def _grandchildren(paths: StackPaths) -> list[int]:
    lines = [line for path in paths.logs.glob("*.log") for line in path.read_text().splitlines()]
    return [int(line.split()[1]) for line in lines if line.startswith("child ")]


def test_children_start_in_order_and_stop_in_reverse(paths: StackPaths) -> None:
    state = _run(make_plan(paths.root), paths)
    order = (paths.root / "order").read_text().splitlines()
    assert order[0] == "start base"
    assert set(order[1:3]) == {"start left", "start right"}
    assert order[3:] == ["stop right", "stop left", "stop base"]
    assert {child.status for child in state.children} == {"stopped"}


def test_stop_leaves_no_process_behind_not_even_grandchildren(paths: StackPaths) -> None:
    _run(make_plan(paths.root), paths)
    found = _grandchildren(paths)
    assert len(found) == 3
    assert wait_until(lambda: not any(process_id(pid) for pid in found), timeout_s=5)


def test_killed_child_is_started_again(paths: StackPaths) -> None:
    def kill_left() -> None:
        before = _child(paths, "left")
        os.kill(before, signal.SIGKILL)

        def is_back() -> bool:
            left = [child for child in load_state(paths.state).children if child.name == "left"]
            return left[0].status == "ready" and left[0].restarts == 1

        assert wait_until(is_back, timeout_s=15)
        assert _child(paths, "left") != before

    _run(make_plan(paths.root), paths, during=kill_left)
    assert "ended with signal SIGKILL" in (paths.logs / "left.log").read_text()


def test_child_that_never_starts_fails_the_start_with_its_last_words_and_stops_the_rest(paths: StackPaths) -> None:
    plan = make_plan(paths.root)
    broken = _spec(paths.root, "broken", "print('no such table'); raise SystemExit(3)")
    plan = Plan(plan.services, plan.setup, (broken,), None, plan.env, "")
    with pytest.raises(StackError, match="no such table"):
        _run(plan, paths)
    assert (paths.root / "order").read_text().splitlines() == ["start base", "stop base"]


def test_failed_setup_is_shown(paths: StackPaths) -> None:
    with pytest.raises(StackError, match="cannot migrate"):
        _run(make_plan(paths.root, setup="raise SystemExit('cannot migrate')"), paths)


def test_child_that_ignores_the_stop_signal_is_killed(paths: StackPaths) -> None:
    ignore = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    code = f"{ignore}; print('serving', flush=True); time.sleep(99)"
    plan = Plan((), (sys.executable, "-c", ""), (_spec(paths.root, "deaf", code, stop_timeout_s=0.5),), None, {}, "")
    started = time.monotonic()
    _run(plan, paths)
    assert time.monotonic() - started < 10


def _start_supervisor(paths: StackPaths) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", _SUPERVISOR, str(paths.root), str(Path(__file__).parent)],
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def supervisor(paths: StackPaths) -> "Iterator[subprocess.Popen[str]]":
    process = _start_supervisor(paths)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()
    for pid in _grandchildren(paths):  # nobody is left to stop those of a killed supervisor's children
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_supervisor_killed_with_signal_9_takes_its_children_along(
    paths: StackPaths, supervisor: "subprocess.Popen[str]"
) -> None:
    children = [child.process for child in load_state(paths.state).children]
    assert len(children) == 3
    supervisor.kill()
    supervisor.wait()
    assert wait_until(lambda: not any(child and child.is_alive for child in children), timeout_s=10)
    assert not is_running(paths)
    again = _start_supervisor(paths)
    assert again.stdout is not None
    assert again.stdout.readline() == "ready\n"
    assert stop_stack(paths)
    assert again.wait() == 0
    again.stdout.close()


def test_second_supervisor_on_the_same_folder_is_refused(
    paths: StackPaths, supervisor: "subprocess.Popen[str]"
) -> None:
    assert supervisor.poll() is None
    with pytest.raises(StackError, match="already runs"), hold_lock(paths):
        pass


def test_stop_stack_answers_whether_one_was_running(paths: StackPaths, supervisor: "subprocess.Popen[str]") -> None:
    assert stop_stack(paths)
    assert supervisor.wait() == 0
    assert not stop_stack(paths)


def test_leftover_of_a_killed_supervisor_is_stopped_but_a_reused_process_id_is_not(stack_dir: Path) -> None:
    with subprocess.Popen(["sleep", "600"]) as leftover, subprocess.Popen(["sleep", "600"]) as stranger:
        left, other = process_id(leftover.pid), process_id(stranger.pid)
        assert left
        assert other
        state = {
            "supervisor": None,
            "children": [
                {"name": "web", "status": "ready", "process": vars(left), "restarts": 0},
                {"name": "agent", "status": "ready", "restarts": 0,
                 "process": {"pid": other.pid, "start_ticks": other.start_ticks - 1}},
            ],
        }  # fmt: skip
        (stack_dir / "stack.json").write_text(json.dumps(state))
        stop_leftovers(load_state(stack_dir / "stack.json"))
        assert leftover.wait(timeout=5) == -signal.SIGTERM
        assert stranger.poll() is None
        stranger.kill()


def test_damaged_state_file_does_not_stop_a_start(stack_dir: Path) -> None:
    (stack_dir / "stack.json").write_text('{"port": ')
    assert load_state(stack_dir / "stack.json") == StackState()

"""Who is found frozen, and who is not: real processes, pulse files as a rank leaves them, time by hand."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.agent.conftest import wait_for
from workers.agent.processes import read_trace
from workers.agent.settings import Timing
from workers.agent.vitals import RankVitals
from workers.contract.run import Pulse

TIMING = Timing(look_s=1.0, rank_stopped_s=5.0, rank_stalled_s=20.0)
_PTRACE_ATTACH, _PTRACE_DETACH = 16, 17


class Watched:
    """Two sleeping processes, their pulses and the clock they are looked at by."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = 0.0
        self.processes = [subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"]) for _ in "ab"]
        self.live = {rank: process.pid for rank, process in enumerate(self.processes)}
        self.vitals = RankVitals(self.path, TIMING, clock=lambda: self.now)

    def path(self, rank: int) -> Path:
        return self.folder / f"rank{rank}.pulse"

    def beat(self, rank: int, count: int, *, step: int = 7, is_due: bool = True) -> None:
        self.path(rank).write_text(Pulse(count=count, step=step, is_due=is_due).model_dump_json().ljust(96))

    def look_for(self, seconds: int, each: Callable[[int], None] = lambda second: None) -> str | None:
        """Look once a second until something is found."""
        for second in range(seconds):
            each(second)
            self.now += 1.0
            if (finding := self.vitals.look(self.live)) is not None:
                return finding
        return None


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    watched = Watched(tmp_path)
    yield watched
    for process in watched.processes:
        process.kill()
        process.wait()


def test_stopped_process_is_found_after_its_time_and_not_before(watched: Watched) -> None:
    os.kill(watched.live[1], signal.SIGSTOP)
    wait_for(lambda: read_trace(watched.live[1]).is_stopped)
    assert watched.look_for(4) is None
    os.kill(watched.live[1], signal.SIGCONT)
    wait_for(lambda: not read_trace(watched.live[1]).is_stopped)
    assert watched.look_for(4) is None, "it went on: the count begins anew"
    os.kill(watched.live[1], signal.SIGSTOP)
    wait_for(lambda: read_trace(watched.live[1]).is_stopped)
    assert watched.look_for(4) is None
    assert watched.look_for(2) == (
        f"rank 1 (process {watched.live[1]}) was stopped by a signal and did not go on within 5 s"
    )


def test_machine_that_was_suspended_blames_nobody(watched: Watched) -> None:
    os.kill(watched.live[1], signal.SIGSTOP)
    wait_for(lambda: read_trace(watched.live[1]).is_stopped)
    watched.now += 3600
    assert watched.look_for(1) is None


def test_rank_in_a_debugger_is_left_alone(watched: Watched) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(_PTRACE_ATTACH, watched.live[0], 0, 0):
        assert "CI" not in os.environ, "ptrace is not allowed here"
        pytest.skip("ptrace is not allowed here")
    try:
        os.waitpid(watched.live[0], os.WUNTRACED)
        for rank in (0, 1):
            watched.beat(rank, 10)
        assert watched.look_for(60) is None
    finally:
        libc.ptrace(_PTRACE_DETACH, watched.live[0], 0, 0)
    assert watched.look_for(60) is not None


def test_rank_with_the_fewest_beats_is_the_one_the_others_wait_for(watched: Watched) -> None:
    watched.beat(0, 41)
    watched.beat(1, 40)
    assert watched.look_for(60) == "rank 1 has not gone on with step 7 for 20 s, and its peers wait for it"


def test_ranks_that_wait_for_another_node_accuse_none_of_their_own(watched: Watched) -> None:
    for rank in (0, 1):
        watched.beat(rank, 40)
    assert watched.look_for(60) == "no rank of this node has gone on with step 7 for 20 s"


def test_work_that_may_take_any_time_is_given_it(watched: Watched) -> None:
    watched.beat(0, 40, is_due=False)  # it validates, say, while its peer is in the next step already
    watched.beat(1, 41)
    assert watched.look_for(600) is None


def test_step_that_has_always_been_slow_is_given_more_time(watched: Watched) -> None:
    def beat(second: int) -> None:
        if second % 15 == 0:
            for rank in (0, 1):
                watched.beat(rank, second // 15)

    assert watched.look_for(60, beat) is None
    assert watched.look_for(100) is None
    assert watched.look_for(60) is not None


def test_rank_without_a_pulse_is_not_judged_by_it(watched: Watched) -> None:
    watched.path(0).write_text("{")
    assert watched.look_for(600) is None

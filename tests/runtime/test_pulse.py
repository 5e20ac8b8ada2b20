"""The pulse of real ranks: several beats a step, excused where work takes its time, and telling when one is stuck."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.runtime.ranks import Launcher, Run, tiny_train_spec
from workers.agent.settings import Timing
from workers.agent.vitals import RankVitals
from workers.contract.run import Pulse
from workers.runtime.pulse import PulseWriter

pytestmark = pytest.mark.gloo


def pulse_of(output_dir: Path, rank: int) -> Pulse:
    return Pulse.model_validate_json((output_dir / "events" / f"rank{rank}.pulse").read_bytes())


def test_beat_is_due_only_from_the_second_step_after_work_that_takes_its_time(tmp_path: Path) -> None:
    with PulseWriter(tmp_path, 3) as writer:
        seen = []
        for act in (
            lambda: writer.beat(1),
            lambda: writer.excuse(0),
            lambda: writer.beat(1),
            lambda: writer.beat(2),
            lambda: writer.excuse(2),
            lambda: writer.beat(3),
            lambda: writer.beat(4),
        ):
            act()
            seen.append(pulse_of(tmp_path, 3))
    assert [pulse.is_due for pulse in seen] == [False, False, False, True, False, False, True]
    assert [pulse.count for pulse in seen] == [1, 2, 3, 4, 5, 6, 7]


def test_finished_run_beat_several_times_a_step_and_is_owed_nothing(trained: Run) -> None:
    pulses = [pulse_of(trained.output_dir, rank) for rank in (0, 1)]
    assert pulses[0] == pulses[1]
    assert pulses[0].step == 8
    assert not pulses[0].is_due
    assert pulses[0].count >= 2 * 8


def stop_behind(run: Run) -> None:
    """Stop rank 1 while its peer has done more of the step."""
    while True:
        os.kill(run.pids[1], signal.SIGSTOP)
        time.sleep(0.1)
        if pulse_of(run.output_dir, 1).count < pulse_of(run.output_dir, 0).count:
            return
        os.kill(run.pids[1], signal.SIGCONT)
        time.sleep(0.01)


def test_stuck_rank_is_told_from_its_peer_that_waits(launcher: Launcher) -> None:
    spec = tiny_train_spec(steps=1_000_000, checkpoint={"every_steps": 1_000_000}, validate_every_steps=1_000_000)
    run = launcher.start(spec, world_size=2)
    run.await_step(5)
    timing = Timing(look_s=0.05, rank_stopped_s=0, rank_stalled_s=0.5)
    vitals = RankVitals(lambda rank: run.output_dir / "events" / f"rank{rank}.pulse", timing)
    live = dict(enumerate(run.pids))
    for _ in range(20):
        time.sleep(0.02)
        assert vitals.look(live) is None
    stop_behind(run)  # found by its pulse alone here: the other sign is switched off
    finding = None
    while finding is None:
        time.sleep(0.02)
        finding = vitals.look(live)
    for pid in run.pids:
        os.kill(pid, signal.SIGKILL)
    run.wait()
    assert finding.startswith("rank 1 has not gone on with step ")
    assert finding.endswith("and its peers wait for it")

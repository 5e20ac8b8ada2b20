"""The script's side of the run files: it needs nothing, writes what the contract reads, and works by hand."""

import json
import math
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from coxswain.run import Run
from workers.contract.manifest import FileRef
from workers.contract.run import (
    EVENT_ADAPTER,
    CheckpointEvent,
    ControlFile,
    Event,
    MetricsEvent,
    PhaseEvent,
    ProgressEvent,
    ResumedEvent,
    StopMode,
)

ROOT = Path(__file__).parents[2]


def environ(folder: Path, **more: str) -> dict[str, str]:
    return {"COX_RUN_DIR": str(folder), "COX_OUTPUT": str(folder / "out"), "RANK": "0", "WORLD_SIZE": "1", **more}


def events(folder: Path, rank: int = 0) -> list[Event]:
    """What the agent reads: every line must be an event of the contract, numbered without a gap."""
    lines = (folder / "events" / f"rank{rank}.jsonl").read_bytes().splitlines()
    found = [EVENT_ADAPTER.validate_json(line) for line in lines]
    assert [event.n for event in found] == list(range(len(found)))
    return found


def make_checkpoint(folder: Path, text: str) -> Path:
    (folder / "parts").mkdir(parents=True, exist_ok=True)
    (folder / "weights.bin").write_text(text)
    (folder / "parts" / "rank0").write_text("r")
    return folder


def test_events_are_those_of_the_contract(tmp_path: Path) -> None:
    run = Run(environ(tmp_path), total_steps=10)
    run.phase("load", 2.0)
    run.log({"loss": 2.5, "odd": math.nan, "count": 3}, step=1)
    run.checkpoint(make_checkpoint(tmp_path / "last", "w1"), step=1, metrics={"val_loss": math.inf}, is_best=True)
    phase, metrics, progress, checkpoint = events(tmp_path)
    assert isinstance(phase, PhaseEvent)
    assert phase.progress == 1.0
    assert isinstance(metrics, MetricsEvent)
    assert (metrics.step, metrics.values) == (1, {"loss": 2.5, "odd": "NaN", "count": 3.0})
    assert isinstance(progress, ProgressEvent)
    assert (progress.step, progress.total_steps) == (1, 10)
    assert isinstance(checkpoint, CheckpointEvent)
    assert (checkpoint.is_best, checkpoint.metrics) == (True, {"val_loss": "Infinity"})
    published = tmp_path / checkpoint.directory
    assert {file.path for file in checkpoint.manifest.files} == {"weights.bin", "parts/rank0"}
    for file in checkpoint.manifest.files:
        assert isinstance(file, FileRef)
        assert (published / file.path).stat().st_size == file.size_bytes
    make_checkpoint(tmp_path / "last", "changed afterwards")
    assert (published / "weights.bin").read_text() == "w1"


def test_restarted_rank_goes_on_behind_its_last_whole_line(tmp_path: Path) -> None:
    first = Run(environ(tmp_path))
    for step in (1, 2, 3):
        first.log({"loss": 1.0 / step}, step=step)
    for step in (1, 2, 3):
        first.checkpoint(make_checkpoint(tmp_path / "last", f"w{step}"), step=step)
    with (tmp_path / "events" / "rank0.jsonl").open("ab") as file:
        file.write(b'{"n":6,"torn')
    second = Run(environ(tmp_path))
    assert second.resume_from is not None
    assert (second.resume_from / "weights.bin").read_text() == "w3"
    assert second.resume_step == 3
    second.log({"loss": 9.0}, step=3)
    second.log({"loss": 0.25}, step=4)
    metrics = [event for event in events(tmp_path) if isinstance(event, MetricsEvent)]
    assert [event.step for event in metrics] == [1, 2, 3, 4], "a step is reported once"
    assert [event.step for event in events(tmp_path) if isinstance(event, ResumedEvent)] == [3]
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2, "older ones are dropped"


def test_ranks_restarted_over_several_nodes_go_on_from_what_all_nodes_have(tmp_path: Path) -> None:
    given = make_checkpoint(tmp_path / "given", "from before")
    over_two = environ(tmp_path, COX_RESUME_FROM=str(given), COX_RESUME_STEP="40", WORLD_SIZE="2", LOCAL_WORLD_SIZE="1")
    Run(over_two).checkpoint(make_checkpoint(tmp_path / "last", "on this node alone"), step=60)
    assert (Run(over_two).resume_from, Run(over_two).resume_step) == (given, 40)
    assert Run(over_two | {"LOCAL_WORLD_SIZE": "2"}).resume_step == 60


def test_next_attempt_gets_the_checkpoint_it_is_given(tmp_path: Path) -> None:
    given = make_checkpoint(tmp_path / "given", "from before")
    run = Run(environ(tmp_path, COX_RESUME_FROM=str(given), COX_RESUME_STEP="40"))
    run.phase("load")
    assert (run.resume_from, run.resume_step) == (given, 40)
    assert run.resume_from == given
    kinds = [event.type for event in events(tmp_path)]
    assert kinds == ["phase", "resumed"], "told once, and only when it is used"


def test_stop_request_and_sigterm_both_mean_stop(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        run = Run(environ(tmp_path))
        assert not run.should_stop()
        (tmp_path / "control.json").write_text(ControlFile(stop=StopMode.SAVE).model_dump_json())
        assert run.should_stop()
        by_hand = Run({})
        assert not by_hand.should_stop()
        signal.signal(signal.SIGTERM, by_hand._on_signal)
        os.kill(os.getpid(), signal.SIGTERM)
        assert by_hand.should_stop()
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    ("values", "error"), [({"loss": "high"}, TypeError), ({"": 1.0}, ValueError), ({"x" * 256: 1.0}, ValueError)]
)
def test_bad_metrics_are_refused_where_they_are_made(
    tmp_path: Path, values: dict[str, float], error: type[Exception]
) -> None:
    with pytest.raises(error):
        Run(environ(tmp_path)).log(values, step=1)


def test_bad_checkpoints_are_refused(tmp_path: Path) -> None:
    run = Run(environ(tmp_path))
    (tmp_path / "empty").mkdir()
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "passwd").symlink_to("/etc/passwd")
    for directory, message in (("nowhere", "is one"), ("empty", "at least one"), ("linked", "plain file")):
        with pytest.raises(ValueError, match=message):
            run.checkpoint(tmp_path / directory, step=1)
    assert not list((tmp_path / "checkpoints").glob("step-*"))


def test_works_by_hand_with_nothing_but_the_standard_library(tmp_path: Path) -> None:
    script = textwrap.dedent("""
        import sys
        import coxswain
        run = coxswain.init(total_steps=2)
        assert run is coxswain.init() and not run.is_connected and run.resume_from is None
        for step in (1, 2):
            run.log({"loss": 1.0 / step}, step=step)
        (run.output / "result.txt").write_text("done")
        run.checkpoint(run.output, step=2)
        outside = {name.split(".")[0] for name in sys.modules} - set(sys.stdlib_module_names) - {"__main__", "coxswain"}
        assert not outside, outside
    """)
    # -S leaves every installed package out of reach
    done = subprocess.run(
        [sys.executable, "-S", "-c", script],
        env={"PYTHONPATH": str(ROOT)}, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["step 1: loss 1", "step 2: loss 0.5", "step 2: checkpoint in output"]
    assert (tmp_path / "output" / "result.txt").read_text() == "done"


@pytest.mark.gloo
def test_ranks_that_hear_the_wish_at_different_times_stop_at_the_same_step(tmp_path: Path) -> None:
    script = tmp_path / "rank.py"
    script.write_text(
        textwrap.dedent("""
        import datetime, os, sys, time
        import coxswain
        import torch
        import torch.distributed as dist
        dist.init_process_group("gloo", timeout=datetime.timedelta(seconds=60))
        run = coxswain.init()
        for step in range(1, 1000):
            if run.rank == 1 and step == 5:  # rank 1 alone hears it, in the middle
                run._signalled.set()
            dist.all_reduce(torch.ones(1))
            if run.should_stop():
                break
        run.log({"last": step}, step=step)
    """)
    )
    folder = tmp_path / "run"
    ranks = [
        subprocess.Popen(
            [sys.executable, str(script)],
            env={
                **os.environ, **environ(folder, RANK=str(rank), WORLD_SIZE="2", LOCAL_RANK=str(rank)),
                "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29517", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1",
            },
        )
        for rank in (0, 1)
    ]  # fmt: skip
    assert [rank.wait(100) for rank in ranks] == [0, 0]
    last = [json.loads((folder / "events" / f"rank{rank}.jsonl").read_text())["step"] for rank in (0, 1)]
    assert last[0] == last[1] < 20

"""Training on a real accelerator: the same promises as on the CPU."""

import math
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.runtime.ranks import Launcher, RankServer, tiny_train_spec
from workers.runtime.checkpoint import latest_checkpoint, step_of

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.accelerator.is_available(), reason="needs an accelerator"),
]


@pytest.fixture(scope="module")
def server() -> Iterator[RankServer]:
    """A warm fork server: proves that preloading leaves the device untouched, or its ranks could not use it."""
    server = RankServer()
    yield server
    server.close()


@pytest.fixture
def launcher(server: RankServer, tmp_path: Path) -> Launcher:
    """Starts ranks on a corpus of one file."""
    corpus = tmp_path / "corpus.txt"
    corpus.write_text(Path(socket.__file__).read_text() * 3)
    return Launcher(server, tmp_path, corpus, tmp_path / "cache")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_loss_falls_and_two_runs_agree(launcher: Launcher, precision: str) -> None:
    spec = tiny_train_spec(precision=precision, steps=30)
    first, second = (launcher.run(spec) for _ in range(2))
    assert first.codes == [0], first.stderr()
    loss = first.series("loss")
    assert loss[30] < loss[1] - 0.3
    assert second.series("loss") == loss
    assert all(math.isfinite(value) for value in loss.values())


def test_resume_is_exact(launcher: Launcher) -> None:
    spec = tiny_train_spec(precision="bf16", steps=20, checkpoint={"every_steps": 5})
    unbroken = launcher.run(spec)
    broken = launcher.start(spec)
    broken.await_step(12)
    broken.await_checkpoint()
    broken.kill(0)
    broken.wait()
    checkpoint = latest_checkpoint(broken.output_dir)
    assert checkpoint is not None
    resumed = launcher.run(spec, resume_from=str(checkpoint))
    assert resumed.codes == [0], resumed.stderr()
    expected = unbroken.series("loss")
    after = resumed.series("loss")
    assert after == {step: expected[step] for step in expected if step > step_of(checkpoint)}


def test_device_metrics_are_reported(launcher: Launcher) -> None:
    run = launcher.start(tiny_train_spec(steps=1_000_000, report_every_steps=50))
    while not run.series("gpu0/util_pct"):
        run.await_step(50)
    run.kill(0)
    run.wait()
    assert run.series("gpu0/memory_used_gib")
    values: dict[str, Any] = {key: run.series(key) for key in ("memory_gib", "forward_time_s", "step_time_s")}
    for series in values.values():
        assert all(value > 0 for value in series.values())
    for step, total in values["step_time_s"].items():
        assert values["forward_time_s"][step] < total

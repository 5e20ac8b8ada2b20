"""How a run fails: who must act is told, the last checkpoint stays, the exit code is not 0."""

import json
import resource
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.runtime.ranks import Launcher, Run, tiny_train_spec
from workers.contract.run import ControlFile, FailureEvent, FailureKind, FinishedEvent, StopMode
from workers.runtime.checkpoint import latest_checkpoint, published_checkpoints, step_of
from workers.runtime.files import find_damage

pytestmark = pytest.mark.gloo


def _failure(run: Run, rank: int = 0) -> FailureEvent:
    failure = run.events(rank)[-1]
    assert isinstance(failure, FailureEvent), failure
    return failure


def test_loss_that_is_not_finite_names_the_step_and_the_last_good_checkpoint(launcher: Launcher) -> None:
    # Without second-moment memory, the moments of tokens that are not seen again are divided by nothing.
    spec = tiny_train_spec(
        optimizer={"kind": "adamw", "learning_rate": 1.0, "beta2": 0.0, "eps": 1e-30, "max_grad_norm": 0},
        checkpoint={"every_steps": 1, "keep_last": 2},
    )
    run = launcher.run(spec, world_size=2)
    assert run.codes == [65, 65]
    for rank in (0, 1):
        failure = _failure(run, rank)
        assert failure.kind is FailureKind.USER
        assert "not finite at step" in failure.message
    saved = published_checkpoints(run.output_dir)
    assert saved
    assert f"the last good checkpoint is {saved[-1].name}" in _failure(run).message
    assert f"not finite at step {step_of(saved[-1]) + 1};" in _failure(run).message
    assert all(find_damage(path) is None for path in saved)


def test_weights_that_are_not_finite_are_told_at_the_first_step(
    trained: Run, launcher: Launcher, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in (trained.output_dir / "model").iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    weights = load_file(broken / "model.safetensors")
    weights["model.norm.weight"] = torch.full_like(weights["model.norm.weight"], float("nan"))
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    spec = tiny_train_spec(model={"source": "pretrained", "model": "x"}, tokenizer={"source": "model"})
    failure = _failure(launcher.run(spec, model_dir=str(broken)))
    assert failure.kind is FailureKind.USER
    assert "not finite at step 1; there is no checkpoint before it" in failure.message


@pytest.mark.parametrize("victim", [0, 1])
def test_lost_peer_makes_the_others_end_at_once_as_retryable(launcher: Launcher, victim: int) -> None:
    run = launcher.start(tiny_train_spec(steps=100_000, checkpoint={"every_steps": 100_000}), world_size=2)
    run.await_step(5)
    run.kill(victim)
    began = time.monotonic()
    run.wait()
    assert time.monotonic() - began < 10
    assert run.codes[victim] == -signal.SIGKILL
    assert run.codes[1 - victim] == 75
    failure = _failure(run, 1 - victim)
    assert failure.kind is FailureKind.RETRYABLE
    assert failure.message.startswith("lost contact with another rank")


def test_disk_that_is_full_is_a_system_failure_and_keeps_the_checkpoint_before(launcher: Launcher) -> None:
    spec = tiny_train_spec(steps=5000, checkpoint={"every_steps": 50}, validate_every_steps=5000)
    run = launcher.start(spec, world_size=2)
    run.await_checkpoint()
    # The kernel refuses writes beyond this size as it refuses them on a full disk: by an error of write().
    resource.prlimit(run.pids[0], resource.RLIMIT_FSIZE, (400_000, 400_000))
    run.wait()
    failure = _failure(run)
    assert failure.kind is FailureKind.SYSTEM
    assert "could not be written" in failure.message
    assert run.codes == [70, 75]
    intact = latest_checkpoint(run.output_dir)
    assert intact is not None
    assert f"the last complete one is {intact.name}" in failure.message
    assert [path.name for path in intact.parent.iterdir() if path.name.startswith(".tmp")] == []


def test_stop_before_the_first_step_saves_nothing(launcher: Launcher, tmp_path: Path) -> None:
    output = tmp_path / "early"
    output.mkdir()
    (output / "control.json").write_text(ControlFile(stop=StopMode.SAVE).model_dump_json())
    run = launcher.run(tiny_train_spec(), world_size=2, output_dir=str(output))
    assert run.codes == [0, 0], run.stderr()
    for rank in (0, 1):
        end = run.events(rank)[-1]
        assert isinstance(end, FinishedEvent)
        assert end.stopped


def _bad_model(tmp_path: Path, files: dict[str, str]) -> str:
    directory = tmp_path / "model"
    directory.mkdir()
    for name, text in files.items():
        (directory / name).write_text(text)
    return str(directory)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "it has no config.json"),
        ({"config.json": "{}"}, "names no model_type"),
        ({"config.json": "not JSON"}, "cannot be loaded"),
        ({"config.json": json.dumps({"model_type": "llama"})}, "cannot be loaded"),
        (
            {
                "config.json": json.dumps({"model_type": "own", "auto_map": {"AutoModelForCausalLM": "own.Own"}}),
                "own.py": "raise SystemExit('code of a model was run')",
            },
            "cannot be loaded",
        ),
    ],
)
def test_directory_that_is_no_model_is_the_users_to_fix(
    launcher: Launcher, tmp_path: Path, files: dict[str, str], message: str
) -> None:
    spec = tiny_train_spec(model={"source": "pretrained", "model": "x"})
    run = launcher.run(spec, model_dir=_bad_model(tmp_path, files))
    failure = _failure(run)
    assert failure.kind is FailureKind.USER
    assert message in failure.message
    assert "code of a model was run" not in run.stdout() + run.stderr()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no usable text"),
        (b"\xff\xfe\x00bad", "undecodable byte at offset 0"),
        (b"too short", "too few for one sample"),
    ],
)
def test_data_that_cannot_be_used_fails_on_all_ranks_with_one_reason(
    launcher: Launcher, tmp_path: Path, data: bytes, message: str
) -> None:
    (tmp_path / "data.txt").write_bytes(data)
    run = launcher.run(tiny_train_spec(), world_size=2, dataset_dir=str(tmp_path / "data.txt"))
    assert run.codes == [65, 65]
    for rank in (0, 1):
        assert _failure(run, rank).kind is FailureKind.USER
        assert message in _failure(run, rank).message


def test_bug_is_a_system_failure_with_its_traceback(launcher: Launcher, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    run = launcher.run(tiny_train_spec(steps=1), cache_dir=str(tmp_path / "file" / "cache"))
    failure = _failure(run)
    assert run.codes == [70]
    assert failure.kind is FailureKind.SYSTEM
    assert "Traceback" in failure.traceback
    assert "Traceback" in run.stderr()


def test_context_longer_than_the_model_is_refused(trained: Run, launcher: Launcher) -> None:
    spec: dict[str, Any] = tiny_train_spec(model={"source": "pretrained", "model": "x"}, tokenizer={"source": "model"})
    spec["data"] = spec["data"] | {"context_length": 64}
    failure = _failure(launcher.run(spec, model_dir=str(trained.output_dir / "model")))
    assert "64 exceeds the model's 32 positions" in failure.message

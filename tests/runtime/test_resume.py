"""A resumed run continues bit for bit where the unbroken one was."""

import shutil
import signal
from pathlib import Path

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from tests.runtime.ranks import Launcher, Run, tiny_train_spec
from workers.contract.run import ControlFile, FailureEvent, FailureKind, FinishedEvent, ResumedEvent, StopMode
from workers.runtime.checkpoint import latest_checkpoint, published_checkpoints, read_progress, step_of

pytestmark = pytest.mark.gloo

_STEPS = 24


def _spec(**changes: object) -> dict[str, object]:
    spec = tiny_train_spec(
        steps=_STEPS, checkpoint={"every_steps": 5, "keep_last": 3, "keep_best": False}, validate_every_steps=12
    )
    # Few samples: the run crosses epochs, and every kill is in the middle of one.
    spec["data"] = spec["data"] | {"context_length": 256}
    return spec | changes


@pytest.fixture(scope="module", params=[(1, 1), (2, 1), (2, 3), (3, 1)], ids=["1 rank", "2", "2, accumulated", "3"])
def shape(request: pytest.FixtureRequest) -> tuple[int, int]:
    """World size and gradient accumulation."""
    world_size, accumulation = request.param
    return world_size, accumulation


def _check_continuation(broken: Run, resumed: Run, unbroken: Run) -> None:
    event = next(event for event in resumed.events() if isinstance(event, ResumedEvent))
    for key in ("loss", "grad_norm", "learning_rate", "val_loss", "tokens"):
        expected = unbroken.series(key)
        after = resumed.series(key)
        assert sorted(after) == [step for step in sorted(expected) if step > event.step], key
        assert after == {step: expected[step] for step in after}, key
        assert broken.series(key) == {step: expected[step] for step in broken.series(key)}, key


def test_losses_after_kill_and_resume_equal_the_unbroken_ones(launcher: Launcher, shape: tuple[int, int]) -> None:
    world_size, accumulation = shape
    spec = _spec(gradient_accumulation=accumulation)
    unbroken = launcher.run(spec, world_size)
    assert unbroken.codes == [0] * world_size, unbroken.stderr()
    for kill_after in (7, 12, 22):
        broken = launcher.start(spec, world_size)
        broken.await_step(kill_after)
        broken.await_checkpoint()
        for rank in range(world_size):
            broken.kill(rank)
        broken.wait()
        checkpoint = latest_checkpoint(broken.output_dir)
        assert checkpoint is not None
        resumed = launcher.run(spec, world_size, resume_from=str(checkpoint))
        assert resumed.codes == [0] * world_size, resumed.stderr()
        _check_continuation(broken, resumed, unbroken)


@pytest.mark.parametrize("how", ["control file", "SIGTERM to rank 0", "SIGTERM to rank 1"])
def test_stop_saves_at_the_same_step_on_all_ranks_and_resumes_exactly(launcher: Launcher, how: str) -> None:
    spec = _spec(steps=400, validate_every_steps=400)
    broken = launcher.start(spec, world_size=2)
    broken.await_step(8)
    if how == "control file":
        (broken.output_dir / "control.json").write_text(ControlFile(stop=StopMode.SAVE).model_dump_json())
    else:
        broken.kill(int(how[-1]), signal.SIGTERM)
    broken.wait()
    assert broken.codes == [0, 0], broken.stderr()
    ends = [broken.events(rank)[-1] for rank in (0, 1)]
    assert all(isinstance(end, FinishedEvent) and end.stopped for end in ends)
    steps = {end.step for end in ends if isinstance(end, FinishedEvent)}
    assert len(steps) == 1
    (stopped_at,) = steps
    assert 8 <= stopped_at < 400
    assert step_of(published_checkpoints(broken.output_dir)[-1]) == stopped_at
    assert not (broken.output_dir / "model").exists()
    if how == "control file":
        resumed = launcher.start(spec, 2, resume_from=str(latest_checkpoint(broken.output_dir)))
        resumed.await_step(stopped_at + 5)
        resumed.kill(0, signal.SIGTERM)
        unbroken = launcher.start(spec, 2)
        unbroken.await_step(stopped_at + 5)
        unbroken.kill(0, signal.SIGTERM)
        after = resumed.wait().series("loss")
        expected = unbroken.wait().series("loss")
        assert {step: after[step] for step in range(stopped_at + 1, stopped_at + 6)} == {
            step: expected[step] for step in range(stopped_at + 1, stopped_at + 6)
        }


def test_world_size_may_change_on_resume(launcher: Launcher) -> None:
    spec = _spec()
    first = launcher.start(spec, 2)
    first.await_step(12)
    first.kill(0, signal.SIGTERM)
    first.wait()
    checkpoint = latest_checkpoint(first.output_dir)
    assert checkpoint is not None
    position = read_progress(checkpoint, verify_hashes=True).position
    for world_size in (1, 3):
        resumed = launcher.run(spec, world_size, resume_from=str(checkpoint))
        assert resumed.codes == [0] * world_size, resumed.stderr()
        last = latest_checkpoint(resumed.output_dir)
        assert last is not None
        left = _STEPS - step_of(checkpoint)
        assert read_progress(last, verify_hashes=False).position == position + left * 4 * world_size


def test_dropout_is_resumed_exactly_too(trained: Run, launcher: Launcher, tmp_path: Path) -> None:
    model_dir = tmp_path / "gpt2"
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=384, n_positions=256, n_embd=32, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0)
    GPT2LMHeadModel(config).save_pretrained(model_dir)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(trained.output_dir / "model" / name, model_dir / name)
    spec = _spec(model={"source": "pretrained", "model": "x"}, tokenizer={"source": "model"})
    unbroken = launcher.run(spec, 2, model_dir=str(model_dir))
    assert unbroken.codes == [0, 0], unbroken.stderr()
    broken = launcher.start(spec, 2, model_dir=str(model_dir))
    broken.await_step(12)
    broken.await_checkpoint()
    broken.kill(1)
    broken.wait()
    checkpoint = str(latest_checkpoint(broken.output_dir))
    resumed = launcher.run(spec, 2, model_dir=str(model_dir), resume_from=checkpoint)
    _check_continuation(broken, resumed, unbroken)
    assert unbroken.series("loss_local", 0) != unbroken.series("loss_local", 1)


def test_resume_of_a_finished_run_only_publishes_the_model(trained: Run, launcher: Launcher) -> None:
    checkpoint = latest_checkpoint(trained.output_dir)
    again = launcher.run(tiny_train_spec(), 2, resume_from=str(checkpoint))
    assert again.codes == [0, 0], again.stderr()
    assert again.series("loss") == {}
    weights = [run.output_dir / "model" / "model.safetensors" for run in (trained, again)]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_checkpoint_of_another_model_is_refused(trained: Run, launcher: Launcher) -> None:
    other = tiny_train_spec(
        model={"source": "config", "hidden_size": 48, "num_layers": 2, "num_heads": 2, "intermediate_size": 64}
    )
    run = launcher.run(other, resume_from=str(latest_checkpoint(trained.output_dir)))
    failure = run.events()[-1]
    assert isinstance(failure, FailureEvent)
    assert failure.kind is FailureKind.USER
    assert "does not fit this model" in failure.message

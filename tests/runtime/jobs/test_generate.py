"""The ``generate`` kind on a model that was just trained."""

from typing import Any

import pytest

from tests.runtime.ranks import Launcher, Run
from workers.contract.run import CompletionEvent, FailureEvent, FailureKind

pytestmark = pytest.mark.gloo


def _spec(**changes: Any) -> dict[str, Any]:
    return {"kind": "generate", "model": "x", "prompt": "def ", "max_new_tokens": 12} | changes


def _completions(run: Run) -> tuple[str, ...]:
    assert run.codes == [0], run.stderr()
    return next(event for event in run.events() if isinstance(event, CompletionEvent)).completions


def test_completions_are_emitted_and_printed(trained: Run, launcher: Launcher) -> None:
    model_dir = str(trained.output_dir / "model")
    run = launcher.run(_spec(num_samples=3), model_dir=model_dir)
    completions = _completions(run)
    assert len(set(completions)) == 3
    assert run.stdout() == "".join(f"def {text}\n" for text in completions)
    assert _completions(launcher.run(_spec(num_samples=3), model_dir=model_dir)) == completions
    assert _completions(launcher.run(_spec(num_samples=3, seed=9), model_dir=model_dir)) != completions


def test_temperature_0_takes_the_likeliest_token(trained: Run, launcher: Launcher) -> None:
    model_dir = str(trained.output_dir / "model")
    first, second = _completions(launcher.run(_spec(temperature=0, num_samples=2), model_dir=model_dir))
    assert first == second
    assert _completions(launcher.run(_spec(temperature=0, seed=9), model_dir=model_dir)) == (first,)


def test_prompt_longer_than_the_context_keeps_its_end(trained: Run, launcher: Launcher) -> None:
    model_dir = str(trained.output_dir / "model")
    run = launcher.run(_spec(prompt="x = 1\n" * 500, max_new_tokens=100), model_dir=model_dir)
    assert len(_completions(run)) == 1


def test_two_ranks_are_refused(trained: Run, launcher: Launcher) -> None:
    run = launcher.run(_spec(), world_size=2, model_dir=str(trained.output_dir / "model"))
    failure = run.events()[-1]
    assert isinstance(failure, FailureEvent)
    assert failure.kind is FailureKind.USER
    assert "one rank" in failure.message
    assert run.codes[0] == 65
    assert run.codes[1] in {65, 75}  # it may still be connecting when rank 0 leaves

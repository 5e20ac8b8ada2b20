"""The methods that communicate less or later, through the real training loop: what they send, and that they resume."""

import signal
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.ranks import Launcher, RankServer, Run, tiny_train_spec
from workers.contract.run import FinishedEvent
from workers.runtime.checkpoint import latest_checkpoint, published_checkpoints, step_of

pytestmark = pytest.mark.gloo

_STEPS = 12
_LOCAL = {"kind": "local_sgd", "period": 5}
_METHODS: dict[str, dict[str, Any]] = {
    "fp16": {"kind": "fp16"},
    "bf16": {"kind": "bf16"},
    "powersgd": {"kind": "powersgd", "rank": 2, "start_step": 2},
    "topk": {"kind": "topk", "ratio": 0.1},
    "local_sgd": _LOCAL,
    "post_local_sgd": _LOCAL | {"warmup_steps": 2},
    "hierarchical": {"kind": "hierarchical", "period": 2, "global_period": 4},
    "diloco": {"kind": "diloco", "inner_steps": 5},
    "diloco_int8": {"kind": "diloco", "inner_steps": 5, "delta_dtype": "int8"},
    "delayed": {"kind": "delayed"},
    "server": {"kind": "parameter_server", "staleness": 0},
}


def spec(communication: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """A run of which step 7 is in the middle of every round."""
    defaults: dict[str, Any] = {
        "steps": _STEPS, "validate_every_steps": _STEPS, "distribution": {"communication": communication or {}},
        "checkpoint": {"every_steps": 7, "keep_last": 5},
    }  # fmt: skip
    if communication is None:
        del defaults["distribution"]
    return tiny_train_spec(**(defaults | changes))


def weights(run: Run) -> bytes:
    """The exported weights of a run that ended well."""
    assert set(run.codes) == {0}, "\n".join(run.stderr(rank) for rank in range(len(run.codes)))
    return (run.output_dir / "model" / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def synchronous(
    rank_server: RankServer, tmp_path_factory: pytest.TempPathFactory, corpus: Path, cache_dir: Path
) -> Run:
    """Two ranks under DDP in fp32."""
    run = Launcher(rank_server, tmp_path_factory.mktemp("ddp"), corpus, cache_dir).run(spec(), 2)
    assert run.codes == [0, 0], run.stderr()
    return run


@pytest.mark.parametrize("name", _METHODS)
def test_resumed_run_equals_the_unbroken_one_and_converges_with_ddp(
    launcher: Launcher, synchronous: Run, name: str
) -> None:
    document = spec(_METHODS[name])
    unbroken = launcher.run(document, 2)
    expected = weights(unbroken)
    middle = next(path for path in published_checkpoints(unbroken.output_dir) if step_of(path) == 7)
    resumed = launcher.run(document, 2, resume_from=str(middle))
    assert weights(resumed) == expected
    for rank in (0, 1):
        whole = unbroken.series("loss_local", rank)
        assert resumed.series("loss_local", rank) == {step: whole[step] for step in range(8, _STEPS + 1)}
    assert resumed.series("val_loss")[_STEPS] == unbroken.series("val_loss")[_STEPS]
    start, ddp = synchronous.series("loss")[1], synchronous.series("val_loss")[_STEPS]
    assert unbroken.series("val_loss")[_STEPS] < start - 0.4 * (start - ddp)


def test_parity_parameter_server_without_staleness_and_local_sgd_of_one_step_start_like_ddp(
    launcher: Launcher, synchronous: Run
) -> None:
    served = launcher.run(spec({"kind": "parameter_server", "staleness": 0}), 2)
    weights(served)
    assert served.series("val_loss") == pytest.approx(synchronous.series("val_loss"), rel=1e-4)
    local = launcher.run(spec({"kind": "local_sgd", "period": 4, "warmup_steps": 4}), 2)
    weights(local)
    for step in range(1, 5):
        assert local.series("loss")[step] == pytest.approx(synchronous.series("loss")[step], rel=1e-4)
    assert sorted(local.series("loss")) == [1, 2, 3, 4, 8, 12]  # between meetings nobody knows the gang's loss


def test_gang_that_trains_alone_stops_at_one_step_and_saves(launcher: Launcher) -> None:
    run = launcher.start(spec({"kind": "local_sgd", "period": 10}, steps=5000, validate_every_steps=5000), 2)
    run.await_step(8)
    run.kill(1, signal.SIGTERM)
    run.wait()
    assert run.codes == [0, 0], run.stderr()
    ends = {end.step for rank in (0, 1) for end in run.events(rank) if isinstance(end, FinishedEvent)}
    assert len(ends) == 1
    assert ends.pop() == step_of(published_checkpoints(run.output_dir)[-1]) < 5000


def test_stale_server_runs_to_the_end_within_its_bound(launcher: Launcher) -> None:
    run = launcher.run(spec({"kind": "parameter_server", "staleness": 2}), 2)
    weights(run)
    assert all(0 <= age <= 2 for age in run.series("staleness").values())


@pytest.mark.parametrize("ranks", [1, 3])
def test_other_number_of_ranks_goes_on_from_the_mean(launcher: Launcher, ranks: int) -> None:
    first = launcher.start(spec(_LOCAL, steps=400), 2)
    first.await_step(8)
    first.kill(0, signal.SIGTERM)
    first.wait()
    checkpoint = latest_checkpoint(first.output_dir)
    assert checkpoint is not None
    steps = step_of(checkpoint) + 6
    again = launcher.run(spec(_LOCAL if ranks > 1 else None, steps=steps), ranks, resume_from=str(checkpoint))
    weights(again)
    assert again.series("loss")[steps] < first.series("loss_local")[1]


@pytest.mark.parametrize(
    ("averaging", "distribution"),
    [({"kind": "ema", "decay": 0.9}, {}), ({"kind": "swa", "start_pct": 20, "every_steps": 2}, {}),
     ({"kind": "ema", "decay": 0.9}, {"data_parallel": {"kind": "fsdp"}})],
    ids=["ema", "swa", "ema, fsdp"],
)  # fmt: skip
def test_averaged_weights_are_exported_and_resumed(
    launcher: Launcher, synchronous: Run, averaging: dict[str, Any], distribution: dict[str, Any]
) -> None:
    document = spec(distribution=distribution, optimizer={"kind": "adamw", "weight_averaging": averaging})
    unbroken = launcher.run(document, 2)
    expected = weights(unbroken)
    assert expected != weights(synchronous)
    assert unbroken.series("loss") == pytest.approx(synchronous.series("loss"), rel=2e-4)
    middle = next(path for path in published_checkpoints(unbroken.output_dir) if step_of(path) == 7)
    assert weights(launcher.run(document, 2, resume_from=str(middle))) == expected

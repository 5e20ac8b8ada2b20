"""N ranks under any strategy give the losses of one rank on the same global batches."""

from typing import Any

import pytest

from tests.runtime.ranks import Launcher, RankServer, Run, tiny_train_spec

pytestmark = pytest.mark.gloo

_STEPS = 5
_GLOBAL_BATCH = 8  # samples in an optimizer step
_TOLERANCE = 2e-4  # relative; sums are taken in another order, and Adam divides by small numbers
_SERIES = ("loss", "grad_norm", "val_loss", "tokens", "learning_rate")


def spec(distribution: dict[str, Any], *, micro_batch_size: int, **changes: Any) -> dict[str, Any]:
    """Return a spec of a model whose heads, layers and vocabulary can be split by two and by four."""
    model = {
        "source": "config", "hidden_size": 32, "num_layers": 4, "num_heads": 4, "num_kv_heads": 2,
        "intermediate_size": 64,
    }  # fmt: skip
    return tiny_train_spec(
        model=model | changes.pop("model", {}),
        steps=_STEPS,
        micro_batch_size=micro_batch_size,
        validate_every_steps=_STEPS,
        checkpoint={"every_steps": 1000},
        distribution=distribution,
        **changes,
    )


@pytest.fixture(scope="module")
def reference(rank_server: RankServer, tmp_path_factory: pytest.TempPathFactory, corpus: Any, cache_dir: Any) -> Run:
    """One rank."""
    launcher = Launcher(rank_server, tmp_path_factory.mktemp("reference"), corpus, cache_dir)
    run = launcher.run(spec({}, micro_batch_size=_GLOBAL_BATCH))
    assert run.codes == [0], run.stderr()
    return run


def check_parity(run: Run, reference: Run, *, tolerance: float = _TOLERANCE) -> None:
    """Compare what both have reported, and the models they have made."""
    assert set(run.codes) == {0}, "\n".join(run.stderr(rank) for rank in range(len(run.codes)))
    for key in _SERIES:
        assert run.series(key) == pytest.approx(reference.series(key), rel=tolerance), key


_FSDP = {"kind": "fsdp"}
_STRATEGIES: dict[str, tuple[int, int, dict[str, Any]]] = {
    # ranks, micro-batch, distribution
    "ddp": (2, 4, {}),
    "zero1": (2, 4, {"data_parallel": {"kind": "zero1"}}),
    "fsdp": (2, 4, {"data_parallel": _FSDP}),
    "fsdp_not_resharded": (2, 4, {"data_parallel": _FSDP | {"reshard_after_forward": False}}),
    "fsdp_offloaded": (2, 4, {"data_parallel": _FSDP | {"cpu_offload": True}}),
    "hsdp": (4, 2, {"mesh": {"dp_replicate": 2, "dp_shard": 2}, "data_parallel": _FSDP}),
    "tp": (2, 8, {"mesh": {"tp": 2}}),
    "tp_sequence": (2, 8, {"mesh": {"tp": 2}, "tensor_parallel": {"sequence_parallel": True}}),
    "tp_sequence_loss": (
        2, 8, {"mesh": {"tp": 2}, "tensor_parallel": {"sequence_parallel": True, "loss_parallel": True}},
    ),
    "pp_gpipe": (2, 8, {"mesh": {"pp": 2}, "pipeline": {"schedule": "gpipe"}}),
    "pp_1f1b": (2, 8, {"mesh": {"pp": 2}, "pipeline": {"schedule": "1f1b", "micro_batches": 4}}),
    "pp_interleaved": (2, 8, {"mesh": {"pp": 2}, "pipeline": {"schedule": "interleaved_1f1b"}}),
    "pp_zero_bubble": (2, 8, {"mesh": {"pp": 2}, "pipeline": {"schedule": "zero_bubble"}}),
    "ddp_tp": (4, 4, {"mesh": {"tp": 2}}),
    "fsdp_tp": (4, 4, {"mesh": {"tp": 2}, "data_parallel": _FSDP}),
    "fsdp_pp": (4, 4, {"mesh": {"pp": 2}, "data_parallel": _FSDP}),
    "tp_pp": (4, 8, {"mesh": {"tp": 2, "pp": 2}}),
    "zero1_pp": (4, 4, {"mesh": {"pp": 2}, "data_parallel": {"kind": "zero1"}}),
}  # fmt: skip


@pytest.mark.parametrize("name", _STRATEGIES)
def test_parity_with_one_rank(launcher: Launcher, reference: Run, name: str) -> None:
    ranks, micro_batch_size, distribution = _STRATEGIES[name]
    run = launcher.run(spec(distribution, micro_batch_size=micro_batch_size), ranks)
    check_parity(run, reference)

"""A run goes on under another strategy and world size, with the same weights, moments and order of samples."""

from typing import Any

import pytest
import torch
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load

from tests.runtime.ranks import Launcher, Run, tiny_train_spec
from workers.runtime.checkpoint import latest_checkpoint, read_progress

pytestmark = [pytest.mark.gloo, pytest.mark.filterwarnings("ignore:torch.distributed is disabled")]

# ranks, micro-batch, distribution: all draw the same global batches of 8 samples
_CHAIN: tuple[tuple[int, int, dict[str, Any]], ...] = (
    (2, 4, {}),
    (2, 4, {"data_parallel": {"kind": "fsdp"}}),
    (2, 8, {"mesh": {"tp": 2}}),
    (1, 8, {}),
    (2, 8, {"mesh": {"pp": 2}}),
)


def _spec(steps: int, micro_batch_size: int, distribution: dict[str, Any]) -> dict[str, Any]:
    return tiny_train_spec(
        steps=steps, schedule={"kind": "cosine", "warmup_steps": 100}, micro_batch_size=micro_batch_size,
        validate_every_steps=1000, checkpoint={"every_steps": 1000}, distribution=distribution,
    )  # fmt: skip


def _tensors(run: Run) -> dict[str, torch.Tensor]:
    """Read the weights and moments of a run's last checkpoint."""
    checkpoint = latest_checkpoint(run.output_dir)
    assert checkpoint is not None, run.stderr()
    stored = FileSystemReader(checkpoint).read_metadata().state_dict_metadata
    tensors = {
        name: torch.zeros(each.size)
        for name, each in stored.items()
        if isinstance(each, TensorStorageMetadata) and not name.startswith("rng.")
    }
    load(dict(tensors), storage_reader=FileSystemReader(checkpoint), no_dist=True)
    return tensors


def _weights(run: Run) -> bytes:
    assert set(run.codes) == {0}, run.stderr()
    return (run.output_dir / "model" / "model.safetensors").read_bytes()


def test_weights_are_identical_bit_for_bit_under_another_strategy(launcher: Launcher) -> None:
    made = launcher.run(_spec(3, 4, {"data_parallel": {"kind": "fsdp"}}), 2)
    checkpoint = str(latest_checkpoint(made.output_dir))
    for ranks, micro_batch_size, distribution in _CHAIN:
        loaded = launcher.run(_spec(3, micro_batch_size, distribution), ranks, resume_from=checkpoint)
        assert _weights(loaded) == _weights(made)


def test_training_goes_on_alike_under_another_strategy(launcher: Launcher) -> None:
    first = launcher.run(_spec(3, *_CHAIN[0][1:]), _CHAIN[0][0])
    expected = _tensors(first)
    checkpoint = latest_checkpoint(first.output_dir)
    unbroken = launcher.run(_spec(5, *_CHAIN[0][1:]), _CHAIN[0][0])
    for ranks, micro_batch_size, distribution in _CHAIN[1:]:
        resumed = launcher.run(_spec(5, micro_batch_size, distribution), ranks, resume_from=str(checkpoint))
        assert resumed.codes == [0] * ranks, resumed.stderr()
        assert resumed.series("loss")[4] == pytest.approx(unbroken.series("loss")[4], rel=1e-5)
        assert resumed.series("loss")[5] == pytest.approx(unbroken.series("loss")[5], rel=1e-4)
        last = latest_checkpoint(resumed.output_dir)
        assert last is not None
        assert read_progress(last, verify_hashes=True).position == 5 * 8
        assert _tensors(resumed).keys() == expected.keys()

"""The order in which samples are drawn."""

from pathlib import Path

import pytest
import torch

from workers.runtime.data.sampler import Sampler, spread
from workers.runtime.data.shards import ShardWriter, TokenStream


@pytest.fixture
def stream(tmp_path: Path) -> TokenStream:
    """Tokens 0, 1, 2, ... so that a sample names its place."""
    writer = ShardWriter(tmp_path / "s", 2**16, shard_tokens=50)
    writer.append(range(205))
    writer.close()
    return TokenStream.open(tmp_path / "s")


def _firsts(sampler: Sampler, position: int, count: int) -> list[int]:
    return sampler.draw(position, count).inputs_BC[:, 0].tolist()


def test_targets_are_the_next_tokens(stream: TokenStream) -> None:
    batch = Sampler(stream, context_length=10, seed=1).draw(0, 4)
    assert batch.inputs_BC.shape == batch.targets_BC.shape == (4, 10)
    assert torch.equal(batch.targets_BC, batch.inputs_BC + 1)
    assert batch.inputs_BC.dtype is torch.int64


def test_every_epoch_draws_each_sample_once_in_another_order(stream: TokenStream) -> None:
    sampler = Sampler(stream, context_length=10, seed=1)
    assert sampler.num_samples == 20
    epochs = [_firsts(sampler, 20 * epoch, 20) for epoch in range(3)]
    assert all(sorted(epoch) == list(range(0, 200, 10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_order_depends_on_the_seed_and_the_position_alone(stream: TokenStream) -> None:
    straight = _firsts(Sampler(stream, context_length=10, seed=1), 0, 60)
    late = Sampler(stream, context_length=10, seed=1)
    assert _firsts(late, 35, 10) == straight[35:45]
    assert _firsts(late, 3, 5) == straight[3:8]
    assert _firsts(Sampler(stream, context_length=10, seed=2), 0, 60) != straight


def test_stream_shorter_than_a_window_has_no_samples(stream: TokenStream) -> None:
    assert Sampler(stream, context_length=205, seed=1).num_samples == 0
    assert Sampler(stream, context_length=204, seed=1).num_samples == 1


def test_spread_covers_the_stream_evenly() -> None:
    assert spread(3, 10) == [0, 1, 2]
    assert spread(100, 4) == [0, 25, 50, 75]
    assert spread(0, 4) == []

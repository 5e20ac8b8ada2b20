"""Token streams on disk."""

from pathlib import Path

import numpy as np
import pytest

from workers.runtime.data.shards import ShardWriter, TokenStream


@pytest.mark.parametrize(("vocab_size", "dtype"), [(2**16, "uint16"), (2**16 + 1, "uint32")])
def test_stream_reads_back_across_shards(tmp_path: Path, vocab_size: int, dtype: str) -> None:
    tokens = np.random.default_rng(0).integers(0, vocab_size, 1000)
    tokens[0] = vocab_size - 1
    writer = ShardWriter(tmp_path / "s", vocab_size, shard_tokens=64)
    for start in range(0, 1000, 37):
        writer.append(tokens[start : start + 37].tolist())
    writer.close()
    stream = TokenStream.open(tmp_path / "s")
    assert stream.num_tokens == 1000
    assert {shard.dtype.name for shard in stream.shards} == {dtype}
    for start, length in ((0, 1000), (0, 1), (63, 2), (64, 64), (100, 300), (999, 1)):
        assert stream.read(start, length).tolist() == tokens[start : start + length].tolist()


def test_empty_stream_has_no_tokens(tmp_path: Path) -> None:
    ShardWriter(tmp_path / "s", 100).close()
    assert TokenStream.open(tmp_path / "s").num_tokens == 0

"""Token streams on disk: memory-mapped shards of uint16 (or uint32 for large vocabularies).

A stream is one long row of tokens, each document closed by the end-of-text token, cut into shard files.
A sample is a window into it, so shards do not depend on the context length. A directory of shards is
published whole, under a name made of everything its content depends on.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

SHARD_TOKENS = 1 << 28
_META_NAME = "stream.json"

TokenArray = npt.NDArray[np.uint16] | npt.NDArray[np.uint32]


class ShardWriter:
    """Appends tokens to the shards of one stream."""

    def __init__(self, directory: Path, vocab_size: int, shard_tokens: int = SHARD_TOKENS) -> None:
        directory.mkdir(parents=True)
        self._directory = directory
        self._dtype = np.dtype(np.uint16 if vocab_size <= 2**16 else np.uint32)
        self._shard_tokens = shard_tokens
        self._sizes: list[int] = []
        self._room = 0
        self._file = (directory / _META_NAME).open("wb")  # replaced by the first shard; never read open

    def append(self, ids: Iterable[int]) -> None:
        """Append tokens, beginning a new shard where one is full."""
        tokens = np.asarray(list(ids), dtype=self._dtype)
        while tokens.size:
            if self._room == 0:
                self._begin_shard()
            part, tokens = tokens[: self._room], tokens[self._room :]
            self._file.write(part.tobytes())
            self._sizes[-1] += part.size
            self._room -= part.size

    def close(self) -> None:
        """Write the stream's description; without it the stream does not exist."""
        self._file.close()
        description = {"dtype": self._dtype.name, "shards": self._sizes}
        (self._directory / _META_NAME).write_text(json.dumps(description), encoding="ascii")

    def _begin_shard(self) -> None:
        self._file.close()
        self._file = (self._directory / shard_name(len(self._sizes))).open("wb")
        self._sizes.append(0)
        self._room = self._shard_tokens


def shard_name(index: int) -> str:
    """File name of a shard."""
    return f"{index:05d}.bin"


@dataclass(frozen=True)
class TokenStream:
    """A stream opened for reading; costs address space, not memory."""

    shards: tuple[TokenArray, ...]
    starts: npt.NDArray[np.int64]
    """Position of each shard's first token, and the stream's length at the end."""

    @classmethod
    def open(cls, directory: Path) -> "TokenStream":
        """Map the shards of a published stream."""
        meta = json.loads((directory / _META_NAME).read_text(encoding="ascii"))
        shards = tuple(
            np.memmap(directory / shard_name(index), dtype=meta["dtype"], mode="r", shape=(size,))
            for index, size in enumerate(meta["shards"])
        )
        return cls(shards, np.cumsum([0, *meta["shards"]], dtype=np.int64))

    @property
    def num_tokens(self) -> int:
        """Length of the stream."""
        return int(self.starts[-1])

    def read(self, start: int, length: int) -> npt.NDArray[np.int64]:
        """Return ``length`` tokens from position ``start``, across shards where need be."""
        return np.concatenate(list(self._parts(start, start + length))).astype(np.int64)

    def _parts(self, start: int, stop: int) -> Iterator[TokenArray]:
        index = int(np.searchsorted(self.starts, start, side="right")) - 1
        while start < stop:
            first = int(self.starts[index])
            end = min(stop, int(self.starts[index + 1]))
            yield self.shards[index][start - first : end - first]
            start, index = end, index + 1

"""The bytes of stored metrics: columns of points, delta-coded, byte-shuffled, and compressed by zstd.

A point is (step int64, time int64 microseconds, value float64). Steps and times are stored as differences to the point
before, in wrapping 64-bit arithmetic, so any order and the extremes of int64 survive. Values are stored as their bits:
negative zero, infinities and every NaN payload come back as they were. The bytes of each column are transposed (all
first bytes, then all second bytes, ...), because the upper bytes of neighbours are alike and compress, the lower are noise.

    columns = steps n*8 | times n*8 | values n*8                    24 bytes a point before compression
    chunk   = zstd(columns)
    batch   = zstd(k uint32 | series ids k*8 | counts k*4 | columns of all series one after another)

A batch is what one request brought: one row for all its series, so that a report of 40 series costs one insert.
Shapes: n = points, k = series.
"""

import struct
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import zstandard
from numpy.typing import NDArray

Int64Array = NDArray[np.int64]
Float64Array = NDArray[np.float64]

_POINT_BYTES: Final = 24
_YOUNG_LEVEL: Final = 1
_MERGED_LEVEL: Final = 3
_COUNT: Final = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Points:
    """Points of one series as columns of equal length, in the order they came."""

    steps: Int64Array
    times_us: Int64Array
    values: Float64Array

    def __len__(self) -> int:
        return len(self.steps)

    def take(self, index: "NDArray[np.intp] | NDArray[np.bool_] | slice") -> "Points":
        """Return the points that ``index`` selects, in its order."""
        return Points(self.steps[index], self.times_us[index], self.values[index])


EMPTY: Final = Points(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float64))


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is kept beside a chunk, so that it can be skipped unread.

    ``minimum`` and ``maximum`` skip NaN and are None when nothing else is there.
    """

    first_step: int
    last_step: int
    minimum: float | None
    maximum: float | None


def concat(parts: Sequence[Points]) -> Points:
    """Join points in the given order."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return EMPTY
    return Points(
        np.concatenate([part.steps for part in parts]),
        np.concatenate([part.times_us for part in parts]),
        np.concatenate([part.values for part in parts]),
    )


def bounds(points: Points) -> Bounds:
    """Return the smallest and largest step and value of at least one point."""
    numbers = points.values[~np.isnan(points.values)]
    low, high = (float(numbers.min()), float(numbers.max())) if len(numbers) else (None, None)
    return Bounds(int(points.steps.min()), int(points.steps.max()), low, high)


def encode_chunk(points: Points) -> bytes:
    """Compress the points of one series for keeping."""
    return _compressor(_MERGED_LEVEL).compress(_pack(points))


def decode_chunk(data: bytes) -> Points:
    """Restore what ``encode_chunk`` was given, bit for bit."""
    return _unpack(_decompressor().decompress(data), 0)


@dataclass(frozen=True, slots=True)
class Batch:
    """Points of several series: ``points`` holds ``counts[i]`` of ``series_ids[i]``, then those of the next."""

    series_ids: Int64Array
    counts: NDArray[np.uint32]
    points: Points

    def split(self) -> list[tuple[int, Points]]:
        """Return each series' points; a series may occur twice."""
        ends = np.cumsum(self.counts, dtype=np.int64).tolist()
        starts = [0, *ends[:-1]]
        return [
            (series_id, self.points.take(slice(start, end)))
            for series_id, start, end in zip(self.series_ids.tolist(), starts, ends, strict=True)
        ]

    def of_series(self, wanted: frozenset[int]) -> list[tuple[int, Points]]:
        """Return only the series in ``wanted``."""
        return [(series_id, points) for series_id, points in self.split() if series_id in wanted]


def encode_batch(batch: Batch) -> bytes:
    """Compress one request's points, quickly: they are merged into chunks later."""
    head = _COUNT.pack(len(batch.series_ids))
    ids, counts = batch.series_ids.astype("<i8", copy=False), batch.counts.astype("<u4", copy=False)
    packed = b"".join((head, ids.tobytes(), counts.tobytes(), _pack(batch.points)))
    return _compressor(_YOUNG_LEVEL).compress(packed)


def decode_batch(data: bytes) -> Batch:
    """Restore what ``encode_batch`` was given, bit for bit."""
    raw = _decompressor().decompress(data)
    (num_series,) = _COUNT.unpack_from(raw)
    ids = np.frombuffer(raw, "<i8", num_series, _COUNT.size)
    counts = np.frombuffer(raw, "<u4", num_series, _COUNT.size + 8 * num_series)
    return Batch(ids, counts, _unpack(raw, _COUNT.size + 12 * num_series))


def _pack(points: Points) -> bytes:
    return b"".join((_shuffle(_deltas(points.steps)), _shuffle(_deltas(points.times_us)), _shuffle(points.values)))


def _unpack(raw: bytes, offset: int) -> Points:
    length = (len(raw) - offset) // _POINT_BYTES
    size = 8 * length
    steps = np.cumsum(_unshuffle(raw, offset, length).view("<i8"), dtype=np.int64)
    times_us = np.cumsum(_unshuffle(raw, offset + size, length).view("<i8"), dtype=np.int64)
    return Points(steps, times_us, _unshuffle(raw, offset + 2 * size, length).view("<f8"))


def _deltas(column: Int64Array) -> Int64Array:
    """Return the first element and the differences; integer arrays wrap around silently, and so does the sum back."""
    deltas = np.empty(len(column), "<i8")
    deltas[:1] = column[:1]
    np.subtract(column[1:], column[:-1], out=deltas[1:])
    return deltas


def _shuffle(column: Int64Array | Float64Array) -> bytes:
    little = np.ascontiguousarray(column, column.dtype.newbyteorder("<"))
    return little.view(np.uint8).reshape(-1, 8).T.tobytes()


def _unshuffle(raw: bytes, offset: int, length: int) -> NDArray[np.uint8]:
    planes = np.frombuffer(raw, np.uint8, 8 * length, offset).reshape(8, length)
    return np.ascontiguousarray(planes.T).reshape(-1)


class _ThreadState(threading.local):
    """zstd contexts are dear to make and must not be shared by threads."""

    def __init__(self) -> None:
        self.compressors = {level: zstandard.ZstdCompressor(level=level) for level in (_YOUNG_LEVEL, _MERGED_LEVEL)}
        self.decompressor = zstandard.ZstdDecompressor()


_state = _ThreadState()


def _compressor(level: int) -> zstandard.ZstdCompressor:
    return _state.compressors[level]


def _decompressor() -> zstandard.ZstdDecompressor:
    return _state.decompressor


def compress_text(data: bytes) -> bytes:
    """Compress raw log bytes."""
    return _compressor(_MERGED_LEVEL).compress(data)


def decompress_text(data: bytes) -> bytes:
    """Restore what ``compress_text`` was given."""
    return _decompressor().decompress(data)

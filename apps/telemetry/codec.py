"""The bytes of stored metrics: columns of points, delta-coded and compressed by zstd.

A point is (step int64, time int64 microseconds, value float64). Steps and times are stored as differences to the point
before, less the smallest difference, in as few bytes as hold the largest (frame of reference): evenly spaced steps cost
nothing, jittering times about two bytes. The arithmetic wraps at 64 bits, so any order and the extremes of int64
survive. Values are stored as their bits: negative zero, infinities and every NaN payload come back as they were. Values
are not transposed into byte planes: it would save a tenth of the disk and cost a third of the time to read a chart.

    integers = first int64 | smallest difference int64 | width uint8 (1, 2, 4 or 8) | (n - 1) * width
    columns  = n uint32 | steps as integers | times as integers | values n*8
    chunk    = zstd(columns)
    batch    = k uint32 | series ids k*8 | counts k*4 | zstd(columns of all series one after another)

A batch is what one request brought: one row for all its series, so that a report of 40 series costs one insert. Its
series are readable without decompressing. Shapes: n = points, k = series.
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

_YOUNG_LEVEL: Final = 1
_MERGED_LEVEL: Final = 3
_COUNT: Final = struct.Struct("<I")
_INTEGERS: Final = struct.Struct("<qqB")
_WIDTHS: Final = (1, 2, 4, 8)


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
    return _unpack(_decompressor().decompress(data))


@dataclass(frozen=True, slots=True)
class Batch:
    """Points of several series: ``points`` holds ``counts[i]`` of ``series_ids[i]``, then those of the next."""

    series_ids: Int64Array
    counts: NDArray[np.uint32]
    points: Points

    def split(self) -> list[tuple[int, Points]]:
        """Return each series' points; a series may occur twice."""
        ends = np.cumsum(self.counts, dtype=np.int64).tolist()
        starts = [0, *ends][:-1]
        return [
            (series_id, self.points.take(slice(start, end)))
            for series_id, start, end in zip(self.series_ids.tolist(), starts, ends, strict=True)
        ]


def encode_batch(batch: Batch) -> bytes:
    """Compress one request's points, quickly: they are merged into chunks later."""
    ids, counts = batch.series_ids.astype("<i8", copy=False), batch.counts.astype("<u4", copy=False)
    packed = _compressor(_YOUNG_LEVEL).compress(_pack(batch.points))
    return b"".join((_COUNT.pack(len(ids)), ids.tobytes(), counts.tobytes(), packed))


def decode_batch(data: bytes) -> Batch:
    """Restore what ``encode_batch`` was given, bit for bit."""
    ids, counts = _series_of(data)
    return Batch(ids, counts, _unpack(_decompressor().decompress(data[_COUNT.size + 12 * len(ids) :])))


def decode_series(data: bytes, wanted: frozenset[int]) -> list[tuple[int, Points]]:
    """Return the points of the ``wanted`` series of a batch; one with none of them is not decompressed."""
    ids, _ = _series_of(data)
    if wanted.isdisjoint(ids.tolist()):
        return []
    return [(series_id, points) for series_id, points in decode_batch(data).split() if series_id in wanted]


def _series_of(data: bytes) -> tuple[Int64Array, NDArray[np.uint32]]:
    (num_series,) = _COUNT.unpack_from(data)
    ids = np.frombuffer(data, "<i8", num_series, _COUNT.size)
    return ids, np.frombuffer(data, "<u4", num_series, _COUNT.size + 8 * num_series)


def _pack(points: Points) -> bytes:
    if not len(points):
        return _COUNT.pack(0)
    values = np.ascontiguousarray(points.values, "<f8").tobytes()
    return b"".join((_COUNT.pack(len(points)), _pack_integers(points.steps), _pack_integers(points.times_us), values))


def _unpack(raw: bytes) -> Points:
    (length,) = _COUNT.unpack_from(raw)
    if not length:
        return EMPTY
    steps, offset = _unpack_integers(raw, _COUNT.size, length)
    times_us, offset = _unpack_integers(raw, offset, length)
    return Points(steps, times_us, np.frombuffer(raw, "<f8", length, offset))


def _pack_integers(column: Int64Array) -> bytes:
    """Pack at least one integer; numpy's integer arrays wrap around silently, and so does the sum back."""
    deltas = np.subtract(column[1:], column[:-1])
    base = int(deltas.min()) if len(deltas) else 0
    rest = np.subtract(deltas, np.int64(base)).view(np.uint64)  # the true difference even where int64 overflows
    largest = int(rest.max()) if len(rest) else 0
    width = next(width for width in _WIDTHS if largest < 1 << (8 * width))
    return _INTEGERS.pack(int(column[0]), base, width) + rest.astype(f"<u{width}").tobytes()


def _unpack_integers(raw: bytes, offset: int, length: int) -> tuple[Int64Array, int]:
    first, base, width = _INTEGERS.unpack_from(raw, offset)
    offset += _INTEGERS.size
    column = np.empty(length, np.int64)
    column[0] = first
    rest = np.frombuffer(raw, f"<u{width}", length - 1, offset)
    np.add(rest.astype(np.uint64, copy=False).view(np.int64), np.int64(base), out=column[1:])
    return np.cumsum(column, out=column), offset + width * (length - 1)


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

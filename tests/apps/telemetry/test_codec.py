"""What was written is read back bit for bit."""

import math
import struct

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from apps.telemetry import codec
from apps.telemetry.codec import Batch, Points

# how long an example takes depends on what else the machine does
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

INT64 = st.integers(-(2**63), 2**63 - 1)
STEPS = st.one_of(INT64, st.integers(0, 3), st.sampled_from([-(2**63), 2**63 - 1, 0, -1]))
# by bits: every NaN payload, quiet and signalling, with either sign
BITS = st.one_of(
    st.integers(0, 2**64 - 1),
    st.sampled_from(
        [0x7FF0000000000001, 0xFFF8000000000000, 0x7FF8DEADBEEF0001, 0x8000000000000000, 0x7FF0000000000000]
    ),
)


@st.composite
def points(draw: st.DrawFn, min_size: int = 0, max_size: int = 60) -> Points:
    length = draw(st.integers(min_size, max_size))
    steps = draw(npst.arrays(np.int64, length, elements=STEPS))
    times_us = draw(npst.arrays(np.int64, length, elements=STEPS))
    bits = draw(st.lists(BITS, min_size=length, max_size=length))
    return Points(steps, times_us, np.array(bits, np.uint64).view(np.float64))


def assert_same(left: Points, right: Points) -> None:
    assert left.steps.tolist() == right.steps.tolist()
    assert left.times_us.tolist() == right.times_us.tolist()
    assert left.values.view(np.uint64).tolist() == right.values.view(np.uint64).tolist()


@PATIENT
@given(points())
def test_chunk_round_trip(original: Points) -> None:
    assert_same(codec.decode_chunk(codec.encode_chunk(original)), original)


@PATIENT
@given(st.lists(st.tuples(st.integers(1, 2**40), points(min_size=1, max_size=8)), max_size=8))
def test_batch_round_trip(parts: list[tuple[int, Points]]) -> None:
    batch = Batch(
        np.array([series_id for series_id, _ in parts], np.int64),
        np.array([len(one) for _, one in parts], np.uint32),
        codec.concat([one for _, one in parts]),
    )
    data = codec.encode_batch(batch)
    found = codec.decode_batch(data).split()
    assert [series_id for series_id, _ in found] == [series_id for series_id, _ in parts]
    for (_, left), (_, right) in zip(found, parts, strict=True):
        assert_same(left, right)
    wanted = frozenset(series_id for series_id, _ in parts[:1])
    assert {series_id for series_id, _ in codec.decode_series(data, wanted)} == wanted


@PATIENT
@given(points(min_size=1))
def test_bounds_are_those_of_the_numbers(original: Points) -> None:
    limits = codec.bounds(original)
    numbers = [value for value in original.values.tolist() if not math.isnan(value)]
    assert (limits.first_step, limits.last_step) == (min(original.steps.tolist()), max(original.steps.tolist()))
    assert limits.minimum == (min(numbers) if numbers else None)
    assert limits.maximum == (max(numbers) if numbers else None)


def test_full_span_of_int64_survives() -> None:
    ends = np.array([-(2**63), 2**63 - 1, -(2**63), 0, 2**63 - 1], np.int64)
    original = Points(ends, ends[::-1].copy(), np.zeros(5))
    assert_same(codec.decode_chunk(codec.encode_chunk(original)), original)


def test_reporting_run_costs_few_bytes() -> None:
    count = 4096
    noise = np.random.default_rng(1)
    steps = np.arange(count) * 10
    times_us = 1_700_000_000_000_000 + 250_000 * np.arange(count) + noise.integers(0, 5000, count)
    data = codec.encode_chunk(Points(steps, times_us, noise.normal(2.0, 0.1, count)))
    assert len(data) / count < 11


def test_layout_is_fixed() -> None:
    """The bytes are on disks: a change of them needs a migration, not a new golden value."""
    original = Points(np.array([1, 3, 2]), np.array([10, 10, 500]), np.array([1.5, -0.0, np.inf]))
    raw = (
        struct.pack("<I", 3) + struct.pack("<qqBBB", 1, -1, 1, 3, 0) + struct.pack("<qqBHH", 10, 0, 2, 0, 490)
        + struct.pack("<ddd", 1.5, -0.0, np.inf)
    )  # fmt: skip
    assert codec.decompress_text(codec.encode_chunk(original)) == raw


@PATIENT
@given(st.binary(max_size=300))
def test_log_round_trip(data: bytes) -> None:
    assert codec.decompress_text(codec.compress_text(data)) == data

"""Down-sampling loses no extreme, and a resumed run is one curve."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.telemetry.codec import EMPTY, Points
from apps.telemetry.sampling import AttemptPoints, chain, down_sample, in_step_order, joined

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
VALUES = st.one_of(st.floats(-1e6, 1e6), st.sampled_from([float("nan"), float("inf"), float("-inf")]))
STEPS = st.one_of(st.integers(0, 50), st.sampled_from([-(2**63), 2**63 - 1]))


def points_of(pairs: list[tuple[int, float]]) -> Points:
    steps = np.array([step for step, _ in pairs], np.int64)
    return Points(steps, np.arange(len(pairs), dtype=np.int64), np.array([value for _, value in pairs], np.float64))


@PATIENT
@given(st.lists(st.tuples(STEPS, VALUES), max_size=300), st.integers(8, 60))
def test_extremes_ends_and_gaps_survive(pairs: list[tuple[int, float]], max_points: int) -> None:
    whole = in_step_order(points_of(pairs))
    sampled = down_sample(whole, max_points)
    assert len(sampled) <= max_points
    assert bool(np.all(sampled.steps[1:] >= sampled.steps[:-1]))
    assert set(sampled.times_us.tolist()) <= set(whole.times_us.tolist())  # real points, none made up
    if len(whole):
        assert (sampled.steps[0], sampled.steps[-1]) == (whole.steps[0], whole.steps[-1])
        assert bool(np.isnan(sampled.values).any()) == bool(np.isnan(whole.values).any())
        numbers = whole.values[~np.isnan(whole.values)]
        if len(numbers):
            assert numbers.min() == np.nanmin(sampled.values)
            assert numbers.max() == np.nanmax(sampled.values)


@PATIENT
@given(st.lists(st.tuples(STEPS, VALUES), max_size=50))
def test_few_points_are_left_alone(pairs: list[tuple[int, float]]) -> None:
    whole = in_step_order(points_of(pairs))
    assert down_sample(whole, 50) is whole


def test_points_of_one_step_stay_in_the_order_they_came() -> None:
    ordered = in_step_order(points_of([(2, 1.0), (1, 2.0), (2, 3.0), (1, 4.0)]))
    assert ordered.values.tolist() == [2.0, 4.0, 1.0, 3.0]


def line(*steps: int) -> Points:
    return points_of([(step, float(step)) for step in steps])


@pytest.mark.parametrize(
    ("attempts", "kept"),
    [
        ([(None, [1, 2, 3])], [[1, 2, 3]]),
        ([(None, [1, 2, 3, 4]), (2, [3, 4, 5])], [[1, 2], [3, 4, 5]]),
        ([(None, [1, 2, 3, 4]), (3, [4, 5, 6]), (2, [3])], [[1, 2], [], [3]]),
        ([(None, [1, 2, 3]), (None, [1, 2])], [[], [1, 2]]),  # began anew
        ([(None, [1, 2, 3]), (None, [])], [[1, 2, 3], []]),  # has done nothing yet
        ([(None, [1, 2, 3]), (2, [])], [[1, 2], []]),  # goes on from 2, has not reported yet
        ([(None, [3, 1, 2]), (2**63 - 1, [])], [[1, 2, 3], []]),
        ([(None, [-(2**63), 0]), (None, [-(2**63)])], [[], [-(2**63)]]),
    ],
)
def test_each_attempt_is_cut_where_the_next_went_on(
    attempts: list[tuple[int | None, list[int]]], kept: list[list[int]]
) -> None:
    parts = [AttemptPoints(number, resumed, line(*steps)) for number, (resumed, steps) in enumerate(attempts, 1)]
    legs = chain(parts)
    assert [leg.points.steps.tolist() for leg in legs] == kept
    for leg, part in zip(legs, parts, strict=True):
        assert sorted([*leg.points.steps.tolist(), *leg.cut.steps.tolist()]) == sorted(part.points.steps.tolist())
    steps = joined(legs).steps.tolist()
    assert steps == sorted(set(steps))


def test_no_attempts_give_an_empty_curve() -> None:
    assert joined(chain([])) is EMPTY

"""From many points to as many as a chart has pixels, and from several attempts to one curve.

Down-sampling keeps, of each of equally wide step ranges, the smallest and the largest value at their own steps, the
way of the M4 aggregation (Jugel et al., VLDB 2014) less its first and last: no spike is lost, and no point is made up.
NaN is a gap: it never wins over a number, and one NaN per range stays so that the gap is seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from apps.telemetry.codec import EMPTY, Points, concat

MIN_POINTS: Final = 8
_LAST_STEP: Final = 2**63 - 1


def in_step_order(points: Points) -> Points:
    """Sort by step; points of one step stay in the order they came."""
    if len(points) < 2 or bool(np.all(points.steps[1:] >= points.steps[:-1])):
        return points
    return points.take(np.argsort(points.steps, kind="stable"))


def down_sample(points: Points, max_points: int) -> Points:
    """Return at most ``max_points`` (at least 8) of ``points``, which are in step order."""
    if len(points) <= max_points:
        return points
    # the ends are kept besides; a range gives its minimum, its maximum and perhaps a gap
    is_gap = np.isnan(points.values)
    has_gaps = bool(is_gap.any())
    num_ranges = max(1, (max(max_points, MIN_POINTS) - 2) // (3 if has_gaps else 2))
    edges = _range_edges(points.steps, num_ranges)
    keep = [0, len(points) - 1]
    low = np.where(is_gap, np.inf, points.values) if has_gaps else points.values
    high = np.where(is_gap, -np.inf, points.values) if has_gaps else points.values
    for start, stop in pairwise(edges):
        if start < stop:
            keep.append(start + int(low[start:stop].argmin()))
            keep.append(start + int(high[start:stop].argmax()))
            if has_gaps and bool(is_gap[start:stop].any()):
                keep.append(start + int(is_gap[start:stop].argmax()))
    return points.take(np.unique(np.array(keep, np.intp)))


def _range_edges(steps: NDArray[np.int64], num_ranges: int) -> list[int]:
    """Cut the index range where the steps cross equal fractions of their span."""
    first, last = int(steps[0]), int(steps[-1])
    # Python integers: the span of int64 extremes does not fit int64
    borders = [first + (last - first) * i // num_ranges for i in range(1, num_ranges)]
    inner = np.searchsorted(steps, np.array(borders, np.int64), side="left").tolist()
    return [0, *inner, len(steps)]


@dataclass(frozen=True, slots=True)
class Leg:
    """What one attempt contributes to a curve, in step order, and what a later attempt made void."""

    attempt: int
    points: Points
    cut: Points = EMPTY


@dataclass(frozen=True, slots=True)
class AttemptPoints:
    """Points of one attempt. It went on after ``resumed_step``, which is None when it began anew."""

    attempt: int
    resumed_step: int | None
    points: Points


def chain(attempts: Sequence[AttemptPoints]) -> list[Leg]:
    """Cut each attempt (in order of their numbers) at the step the next one resumed from.

    An attempt that began anew takes the place of everything from its own first point on. One without points and
    without a checkpoint to resume from cuts nothing.
    """
    legs: list[Leg] = []
    void_from = _LAST_STEP + 1  # the first step that no longer counts
    for one in reversed(attempts):
        points = in_step_order(one.points)
        kept = len(points) if void_from > _LAST_STEP else int(np.searchsorted(points.steps, void_from, side="left"))
        legs.append(Leg(one.attempt, points.take(slice(0, kept)), points.take(slice(kept, None))))
        if one.resumed_step is not None:
            void_from = min(void_from, one.resumed_step + 1)
        elif len(points):
            void_from = min(void_from, int(points.steps[0]))
    legs.reverse()
    return legs


def joined(legs: Sequence[Leg]) -> Points:
    """Return one curve in step order."""
    return in_step_order(concat([leg.points for leg in legs if len(leg.points)]))

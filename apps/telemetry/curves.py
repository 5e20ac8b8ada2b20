"""Reading curves: the points of some series of one job, as one consistent picture.

One statement reads the stream's head, the chunks and the young batches, so that its snapshot is one moment: what
compaction moves meanwhile is seen once, and the sequence number says exactly which live messages are in the answer.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

import psycopg
from django.db import connection
from psycopg.types.numeric import Int8

from apps.jobs.models import Attempt
from apps.telemetry.codec import Points, concat, decode_chunk, decode_series
from apps.telemetry.sampling import AttemptPoints, Leg, chain, down_sample, joined

_READ = """
WITH wanted AS (
  SELECT id, attempt_id, rank, key FROM telemetry_series
  WHERE job_id = %(job)s AND rank = ANY(%(ranks)s) AND key = ANY(%(keys)s)
)
SELECT 0 AS kind, last_seq AS place, 0 AS rank, NULL::uuid AS attempt, NULL::text AS key, NULL::bytea AS data, 0::bigint
FROM jobs_stream WHERE job_id = %(job)s
UNION ALL SELECT 1, id, rank, attempt_id, key, NULL, 0 FROM wanted
UNION ALL SELECT 2, chunk.id, 0, NULL, NULL, chunk.data, chunk.series_id
FROM telemetry_chunk chunk JOIN wanted ON wanted.id = chunk.series_id
WHERE chunk.last_step >= %(first)s AND chunk.first_step <= %(last)s
UNION ALL SELECT 3, seq, rank, attempt_id, NULL, data, 0
FROM telemetry_metricbatch WHERE job_id = %(job)s AND rank = ANY(%(ranks)s)
"""

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


@dataclass(frozen=True, slots=True)
class StepRange:
    """Steps from ``first`` to ``last``, both included."""

    first: int = INT64_MIN
    last: int = INT64_MAX

    @property
    def is_everything(self) -> bool:
        """Say whether it limits nothing."""
        return self.first == INT64_MIN and self.last == INT64_MAX


@dataclass(frozen=True, slots=True)
class Curve:
    """One key of one rank, over all attempts: ``points`` are sampled from ``num_points`` ones, in step order."""

    key: str
    rank: int
    num_points: int
    points: Points
    attempts: tuple[tuple[int, int], ...]
    """(attempt number, index of its first sampled point)."""
    cut: tuple[Leg, ...] = ()
    """What later attempts made void, sampled too; its points are under ``cut``."""


@dataclass(frozen=True, slots=True)
class Curves:
    """Curves as they were at one moment: every live message up to ``seq`` is in them."""

    seq: int
    curves: tuple[Curve, ...]


@dataclass(slots=True)
class _Found:
    seq: int = 0
    series: dict[tuple[UUID, int, str], int] = field(default_factory=dict)
    points: dict[int, list[Points]] = field(default_factory=lambda: defaultdict(list))


def read_curves(
    *,
    job_id: UUID,
    keys: Sequence[str],
    ranks: Sequence[int],
    max_points: int,
    steps: StepRange | None = None,
    with_cut: bool = False,
) -> Curves:
    """Read every combination of ``keys`` and ``ranks``, each reduced to at most ``max_points`` points.

    A key that the job never reported gives an empty curve.
    """
    steps = steps or StepRange()
    attempts = list(Attempt.objects.filter(job_id=job_id).order_by("number").only("id", "number", "resumed_step"))
    found = _read(job_id, keys, ranks, steps)
    curves = []
    for key in keys:
        for rank in ranks:
            parts = []
            for attempt in attempts:
                series_id = found.series.get((attempt.pk, rank, key))
                points = concat(found.points[series_id]) if series_id in found.points else concat([])
                parts.append(AttemptPoints(attempt.number, attempt.resumed_step, _within(points, steps)))
            curves.append(_curve(key, rank, chain(parts), max_points, with_cut=with_cut))
    return Curves(found.seq, tuple(curves))


def _curve(key: str, rank: int, legs: Sequence[Leg], max_points: int, *, with_cut: bool) -> Curve:
    whole = joined(legs)
    sampled = down_sample(whole, max_points)
    starts = [
        (leg.attempt, int(sampled.steps.searchsorted(leg.points.steps[0], side="left")))
        for leg in legs
        if len(leg.points)
    ]
    cut = [Leg(leg.attempt, leg.points, down_sample(leg.cut, max_points)) for leg in legs if len(leg.cut)]
    return Curve(key, rank, len(whole), sampled, tuple(starts), tuple(cut) if with_cut else ())


def _within(points: Points, steps: StepRange) -> Points:
    if steps.is_everything or not len(points):
        return points
    return points.take((points.steps >= steps.first) & (points.steps <= steps.last))


def _read(job_id: UUID, keys: Sequence[str], ranks: Sequence[int], steps: StepRange) -> _Found:
    arguments = {
        "job": job_id, "keys": list(keys), "ranks": list(ranks), "first": Int8(steps.first), "last": Int8(steps.last),
    }  # fmt: skip
    connection.ensure_connection()
    # The binary protocol: as text, every byte of a chunk would travel as two and be parsed. Django's own cursors bind
    # on the client's side, which knows text alone.
    with psycopg.Cursor(connection.connection) as cursor:
        cursor.execute(_READ, arguments, binary=True)
        rows = cursor.fetchall()
    rows.sort(key=lambda row: row[:2])  # chunks before batches, each in the order they came
    found = _Found()
    wanted_of: dict[tuple[UUID, int], set[int]] = defaultdict(set)
    for kind, place, rank, attempt_id, key, data, series_id in rows:
        if kind == 0:
            found.seq = place
        elif kind == 1:
            found.series[attempt_id, rank, key] = place
            wanted_of[attempt_id, rank].add(place)
        elif kind == 2:
            found.points[series_id].append(decode_chunk(data))
        elif wanted := wanted_of.get((attempt_id, rank)):
            for one, points in decode_series(data, frozenset(wanted)):
                found.points[one].append(points)
    return found

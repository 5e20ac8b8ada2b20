"""Taking in what nodes send: metrics and log bytes, each exactly once.

A batch is the range [start, stop) of one rank's file. One statement, which is one transaction, moves the mark from
``start`` to ``stop``, takes the next number of the job's stream and writes the row; if the mark is elsewhere it does
nothing at all. The stream's row is locked only within this statement, until its commit, so commit order is sequence
order. The token is checked in the same statement: a revoked one is refused from that moment on.

This runs on the event loop with connections of its own (see ``pool``): a node's report costs one round trip.
"""

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import numpy as np
import orjson
from psycopg.types.numeric import Int4, Int8
from rest_framework.exceptions import NotAuthenticated

from apps.core.errors import Conflict, InvalidInput, NotFound
from apps.telemetry import wire
from apps.telemetry.codec import Batch, Points, compress_text, encode_batch
from apps.telemetry.pool import Connection, get_pool
from apps.telemetry.publisher import publish_soon

LATEST_KEYS: Final = frozenset({
    "loss", "val_loss", "val_perplexity", "learning_rate", "grad_norm", "tokens_per_s", "step_time_s", "mfu_pct",
    "memory_gib",
})  # fmt: skip
"""Metrics of rank 0 whose newest value job lists show."""


class MarkMismatch(Conflict):
    """The batch does not begin where the server's mark stands: cut it again there."""

    code = "mark_mismatch"
    title = "The batch does not begin at the mark"
    remedy = "Send again from `mark` on."

    def __init__(self, *, mark: int, attempt_over: bool) -> None:
        super().__init__(f"The mark stands at {mark}.", extra={"mark": mark, "attempt_over": attempt_over})


@dataclass(frozen=True, slots=True)
class Place:
    """Where an allocation's telemetry belongs. None of it ever changes, so it is remembered."""

    allocation_id: UUID
    node_id: UUID
    attempt_id: UUID
    attempt_number: int
    job_id: UUID
    workspace_id: UUID


@dataclass(frozen=True, slots=True)
class Accepted:
    """A batch is stored (or was already), and the mark stands at ``mark``."""

    mark: int
    attempt_over: bool


_PLACE: Final = """
SELECT al.node_id, al.attempt_id, at.number, at.job_id, job.workspace_id
FROM jobs_allocation al JOIN jobs_attempt at ON at.id = al.attempt_id JOIN jobs_job job ON job.id = at.job_id
JOIN cluster_nodetoken token ON token.node_id = al.node_id
WHERE al.id = %(allocation)s AND token.digest = %(digest)s AND token.revoked_at IS NULL
"""
_TOKEN: Final = "SELECT 1 FROM cluster_nodetoken WHERE digest = %(digest)s AND revoked_at IS NULL"  # noqa: S105

# Refuses a range that does not begin at the mark; a missing mark stands at 0. Locks the mark's row, so that the same
# batch sent twice at once is taken once.
_MOVE_MARK: Final = """
WITH allowed AS (
  SELECT 1 FROM cluster_nodetoken, jobs_stream
  WHERE digest = %(digest)s AND node_id = %(node)s AND revoked_at IS NULL AND job_id = %(job)s
), mark AS (
  INSERT INTO telemetry_ingestmark AS m (attempt_id, rank, stream, at, num_lines, is_ended)
  SELECT %(attempt)s, %(rank)s, %(stream)s::varchar, %(stop)s, %(lines)s, %(ended)s FROM allowed
  WHERE %(start)s = 0 OR EXISTS (
    SELECT 1 FROM telemetry_ingestmark
    WHERE attempt_id = %(attempt)s AND rank = %(rank)s AND stream = %(stream)s::varchar)
  ON CONFLICT (attempt_id, rank, stream) DO UPDATE
  SET at = excluded.at, num_lines = m.num_lines + excluded.num_lines, is_ended = m.is_ended OR excluded.is_ended
  WHERE m.at = %(start)s
  RETURNING m.num_lines
)"""
_OVER: Final = "(SELECT state = 'ended' FROM jobs_attempt WHERE id = %(attempt)s)"

_STORE_BATCH: Final = f"""{_MOVE_MARK}, head AS (
  UPDATE jobs_stream SET last_seq = last_seq + 1, latest = latest || %(latest)s::jsonb FROM mark
  WHERE job_id = %(job)s RETURNING last_seq
), stored AS (
  INSERT INTO telemetry_metricbatch (job_id, seq, attempt_id, rank, num_points, data)
  SELECT %(job)s, last_seq, %(attempt)s, %(rank)s, %(num_points)s, %(data)s FROM head RETURNING seq
)
SELECT seq, {_OVER} FROM stored"""  # noqa: S608 - literals of this module

_STORE_LOG: Final = f"""{_MOVE_MARK}, head AS (
  UPDATE jobs_stream SET last_seq = last_seq + 1 FROM mark WHERE job_id = %(job)s RETURNING last_seq, mark.num_lines
), stored AS (
  INSERT INTO telemetry_logchunk
    (job_id, seq, attempt_id, rank, stream, start, stop, first_line, num_lines, data)
  SELECT %(job)s, last_seq, %(attempt)s, %(rank)s, %(stream)s::varchar, %(start)s, %(stop)s,
         num_lines - %(lines)s, %(lines)s, %(data)s
  FROM head RETURNING seq
)
SELECT seq, {_OVER} FROM stored"""  # noqa: S608

_MOVE_ONLY: Final = f"""{_MOVE_MARK} SELECT 0, {_OVER} FROM mark"""  # noqa: S608

_STANDING: Final = f"""
SELECT coalesce((SELECT at FROM telemetry_ingestmark
                 WHERE attempt_id = %(attempt)s AND rank = %(rank)s AND stream = %(stream)s::varchar), 0),
       EXISTS (SELECT 1 FROM cluster_nodetoken
               WHERE digest = %(digest)s AND node_id = %(node)s AND revoked_at IS NULL), {_OVER}"""  # noqa: S608

_FIND_SERIES: Final = """
SELECT id, key FROM telemetry_series WHERE attempt_id = %(attempt)s AND rank = %(rank)s AND key = ANY(%(keys)s)"""
_ADD_SERIES: Final = """
INSERT INTO telemetry_series (workspace_id, job_id, attempt_id, rank, key)
SELECT %(workspace)s, %(job)s, %(attempt)s, %(rank)s, new.key
FROM unnest(%(keys)s::text[]) AS new (key) JOIN cluster_nodetoken token ON true
WHERE token.digest = %(digest)s AND token.node_id = %(node)s AND token.revoked_at IS NULL
ORDER BY new.key ON CONFLICT DO NOTHING"""

_NO_LINES: Final = Int8(0)
_MAX_PLACES: Final = 4096
_MAX_CURVES: Final = 4096
_places: dict[UUID, Place] = {}
_series_ids: dict[tuple[UUID, int], dict[str, int]] = {}


async def store_metrics(*, allocation_id: UUID, token_digest: str, body: bytes) -> Accepted:
    """Store one batch of metrics; readable when this returns.

    Raises:
        NotAuthenticated: the token is unknown or revoked (HTTP 401).
        NotFound: the allocation is not this node's (HTTP 404).
        InvalidInput: HTTP 400.
        MarkMismatch: the batch begins elsewhere than at the mark (HTTP 409).
    """
    batch = wire.decode_wire_batch(body)
    points = wire.columns_of(batch.series)
    series = [one for one in batch.series if one.steps]
    pool = await get_pool()
    async with pool.connection() as connection:
        place = await _find_place(connection, allocation_id, token_digest)
        arguments = _mark_arguments(
            place, token_digest, rank=batch.rank, stream="metrics", start=batch.start, stop=batch.stop
        )
        if not series:
            return await _execute(connection, _MOVE_ONLY, arguments, item=None, place=place)
        ids = await _find_series(connection, place, arguments, {one.key for one in series})
        arguments |= _batch_columns(series, ids, points)
        arguments["latest"] = _latest(series) if batch.rank == 0 else "{}"
        item = _metrics_item(place, batch.rank, series)
        return await _execute(connection, _STORE_BATCH, arguments, item=item, place=place, weight=len(points))


async def store_log(
    *,
    allocation_id: UUID,
    token_digest: str,
    rank: int,
    stream: str,
    start: int,
    stop: int,
    is_ended: bool,
    body: bytes,
) -> Accepted:
    """Store the bytes [start, stop) of one captured stream; ``is_ended`` says that nothing follows them.

    Raises:
        NotAuthenticated, NotFound, InvalidInput, MarkMismatch: as ``store_metrics``.
    """
    wire.check_range(start, stop)
    if len(body) != stop - start:
        raise InvalidInput(f"The range holds {stop - start} bytes, the body {len(body)}.", field="stop")
    pool = await get_pool()
    async with pool.connection() as connection:
        place = await _find_place(connection, allocation_id, token_digest)
        arguments = _mark_arguments(place, token_digest, rank=rank, stream=stream, start=start, stop=stop)
        arguments["ended"] = is_ended
        if not body:
            return await _execute(connection, _MOVE_ONLY, arguments, item=None, place=place)
        arguments["lines"] = Int8(body.count(b"\n"))
        arguments["data"] = compress_text(body)
        item = {
            "kind": "logs", "attempt": place.attempt_number, "rank": rank, "stream": stream, "start": start,
            "stop": stop, "text": body.decode(errors="replace"),
        }  # fmt: skip
        return await _execute(connection, _STORE_LOG, arguments, item=item, place=place, weight=len(body) // 64 + 1)


async def _execute(
    connection: Connection,
    statement: str,
    arguments: dict[str, Any],
    *,
    item: dict[str, Any] | None,
    place: Place,
    weight: int = 0,
) -> Accepted:
    """Run the one statement; publish when it took the batch, explain when it did not."""
    cursor = await connection.execute(statement, arguments)
    row = await cursor.fetchone()
    if row is not None:
        seq, is_over = row
        if item is not None:
            publish_soon(place.job_id, seq, item, weight=weight)
        return Accepted(mark=arguments["stop"], attempt_over=is_over)
    cursor = await connection.execute(_STANDING, arguments)
    row = await cursor.fetchone()
    assert row is not None
    mark, is_known, is_over = row
    if not is_known:
        raise await _stranger(connection, arguments["digest"])
    if arguments["stop"] <= mark:
        return Accepted(mark=mark, attempt_over=bool(is_over))
    raise MarkMismatch(mark=mark, attempt_over=bool(is_over))


async def _find_place(connection: Connection, allocation_id: UUID, token_digest: str) -> Place:
    """Return where the allocation belongs, for the node of this token alone."""
    if (known := _places.get(allocation_id)) is not None:
        return known  # another node's token fails in the statement, and is told apart there
    arguments = {"allocation": allocation_id, "digest": token_digest}
    row = await (await connection.execute(_PLACE, arguments)).fetchone()
    if row is None:
        raise await _stranger(connection, token_digest)
    if len(_places) >= _MAX_PLACES:
        _places.clear()
    place = _places[allocation_id] = Place(allocation_id, *row)
    return place


async def _find_series(
    connection: Connection, place: Place, arguments: dict[str, Any], keys: set[str]
) -> dict[str, int]:
    """Return the ids of one rank's series, making those that are new."""
    if len(_series_ids) > _MAX_CURVES:
        _series_ids.clear()
    known = _series_ids.setdefault((place.attempt_id, arguments["rank"]), {})
    missing = [key for key in keys if key not in known]
    if not missing:
        return known
    if any("\0" in key for key in missing):
        raise InvalidInput("A key holds a NUL character.", field="series")
    new = arguments | {"workspace": place.workspace_id, "keys": missing}
    await connection.execute(_ADD_SERIES, new)
    cursor = await connection.execute(_FIND_SERIES, new)
    known.update({key: series_id for series_id, key in await cursor.fetchall()})
    if not known.keys() >= keys:
        raise await _stranger(connection, arguments["digest"])
    return known


async def _stranger(connection: Connection, token_digest: str) -> Exception:
    """Say why a token does not reach an allocation: it is none, or another node's."""
    if await (await connection.execute(_TOKEN, {"digest": token_digest})).fetchone() is None:
        return NotAuthenticated("This node token is not known here.")
    return NotFound("There is no such allocation of this node.")


def _mark_arguments(
    place: Place, token_digest: str, *, rank: int, stream: str, start: int, stop: int
) -> dict[str, Any]:
    # integers of a fixed width: by default the width follows the value, and each combination would be prepared anew
    return {
        "digest": token_digest, "node": place.node_id, "job": place.job_id, "attempt": place.attempt_id,
        "rank": Int4(rank), "stream": stream, "start": Int8(start), "stop": Int8(stop), "lines": _NO_LINES,
        "ended": False,
    }  # fmt: skip


def _batch_columns(series: list[wire.WireSeries], ids: dict[str, int], points: Points) -> dict[str, Any]:
    series_ids = np.array([ids[one.key] for one in series], np.int64)
    counts = np.array([len(one.steps) for one in series], np.uint32)
    return {"num_points": Int4(len(points)), "data": encode_batch(Batch(series_ids, counts, points))}


def _latest(series: list[wire.WireSeries]) -> str:
    newest = {one.key: one.values[-1] for one in series if one.key in LATEST_KEYS}
    return orjson.dumps(newest).decode()


def _metrics_item(place: Place, rank: int, series: list[wire.WireSeries]) -> dict[str, Any]:
    columns = [{"key": one.key, "steps": one.steps, "values": one.values, "times_us": one.times_us} for one in series]
    return {"kind": "metrics", "attempt": place.attempt_number, "rank": rank, "series": columns}

"""Batches are taken exactly once, whoever sends them and however they are cut."""

import asyncio
from uuid import UUID

import pytest
from django.utils import timezone

from apps.cluster.models import NodeToken
from apps.jobs.models import Stream
from apps.telemetry import codec, pool
from apps.telemetry.models import IngestMark, LogChunk, MetricBatch, Series
from tests.apps.telemetry.conftest import NodeVoice, World, add_node


def head(world: World) -> int:
    return Stream.objects.get(job=world.job).last_seq


def test_batch_is_stored_and_moves_the_mark(world: World, node: NodeVoice) -> None:
    (reply,) = node.run(node.metrics(world.allocation, 0, 3))
    assert reply.status_code == 200
    assert reply.json() == {"mark": 3, "attempt_over": False}
    stored = MetricBatch.objects.get(job=world.job)
    assert (stored.seq, stored.num_points, head(world)) == (1, 3, 1)
    ((series_id, points),) = codec.decode_batch(bytes(stored.data)).split()
    assert Series.objects.get(pk=series_id).key == "loss"
    assert points.values.tolist() == [1000.0, 999.0, 998.0]


def test_batch_sent_twice_is_stored_once(world: World, node: NodeVoice) -> None:
    first, second = node.run(node.metrics(world.allocation, 0, 3), node.metrics(world.allocation, 0, 3))
    assert (first.status_code, second.status_code) == (200, 200)
    assert second.json()["mark"] == 3
    assert MetricBatch.objects.count() == 1
    assert head(world) == 1


def test_batch_cut_differently_is_refused_with_the_mark(world: World, node: NodeVoice) -> None:
    _, refused, rest = node.run(
        node.metrics(world.allocation, 0, 3), node.metrics(world.allocation, 0, 5), node.metrics(world.allocation, 3, 5)
    )
    assert refused.status_code == 409
    assert refused.headers["content-type"] == "application/problem+json"
    assert (refused.json()["code"], refused.json()["mark"]) == ("mark_mismatch", 3)
    assert rest.json()["mark"] == 5
    assert [batch.num_points for batch in MetricBatch.objects.order_by("seq")] == [3, 2]


def test_batch_out_of_order_waits_for_the_one_before(world: World, node: NodeVoice) -> None:
    early, first, again = node.run(
        node.metrics(world.allocation, 3, 5), node.metrics(world.allocation, 0, 3), node.metrics(world.allocation, 3, 5)
    )
    assert (early.status_code, early.json()["mark"]) == (409, 0)
    assert (first.status_code, again.status_code) == (200, 200)


async def test_the_same_batch_sent_at_once_is_stored_once(world: World, node: NodeVoice, ingest_pool: None) -> None:
    replies = await asyncio.gather(*(node.metrics(world.allocation, 0, 3) for _ in range(8)))
    assert {reply.status_code for reply in replies} == {200}
    assert await MetricBatch.objects.acount() == 1


async def test_numbers_are_gapless_when_ranks_report_at_once(world: World, node: NodeVoice, ingest_pool: None) -> None:
    replies = await asyncio.gather(*(node.metrics(world.allocation, 0, 2, rank=rank) for rank in range(16)))
    assert {reply.status_code for reply in replies} == {200}
    seqs = [seq async for seq in MetricBatch.objects.order_by("seq").values_list("seq", flat=True)]
    assert seqs == list(range(1, 17))


def test_events_without_metrics_move_the_mark_alone(world: World, node: NodeVoice) -> None:
    first, second = node.run(node.metrics(world.allocation, 0, 4, {}), node.metrics(world.allocation, 4, 5))
    assert (first.json()["mark"], second.json()["mark"]) == (4, 5)
    assert head(world) == 1


def test_batch_of_an_ended_attempt_is_kept_and_says_so(world: World, node: NodeVoice) -> None:
    old = world.allocation
    world.next_attempt(resumed_step=2)
    metrics, logs = node.run(node.metrics(old, 0, 3), node.log(old, 0, b"Traceback\n", stream="stderr"))
    assert metrics.json() == {"mark": 3, "attempt_over": True}
    assert logs.json() == {"mark": 10, "attempt_over": True}
    assert LogChunk.objects.get().attempt_id == old.attempt_id


def test_other_nodes_allocation_is_not_found(world: World, node: NodeVoice) -> None:
    _, secret = add_node("n2")
    other = NodeVoice(secret)
    before, _, known, new_key = node.run(
        other.metrics(world.allocation, 0, 1),
        node.metrics(world.allocation, 0, 1),
        other.metrics(world.allocation, 1, 2),
        other.metrics(world.allocation, 1, 2, {"planted": [(1, 1.0)]}),
    )
    assert [before.status_code, known.status_code, new_key.status_code] == [404, 404, 404]
    assert not Series.objects.filter(key="planted").exists()


def test_unknown_token_and_allocation(world: World, node: NodeVoice, nowhere_id: UUID) -> None:
    unknown, none, nowhere = node.run(
        NodeVoice("coxn_wrong").metrics(world.allocation, 0, 1),
        node.post(f"{world.allocation.pk}/metrics", headers={"authorization": ""}),
        node.post(f"{nowhere_id}/metrics", json={"rank": 0, "start": 0, "stop": 1, "series": []}),
    )
    assert [unknown.status_code, none.status_code, nowhere.status_code] == [401, 401, 404]


async def test_revoked_token_is_refused_at_once(world: World, node: NodeVoice, ingest_pool: None) -> None:
    assert (await node.metrics(world.allocation, 0, 1)).status_code == 200
    await NodeToken.objects.filter(node=world.node).aupdate(revoked_at=timezone.now())
    assert (await node.metrics(world.allocation, 1, 2)).status_code == 401
    assert (await IngestMark.objects.aget()).at == 1


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"\xff",
        b'{"rank": -1, "start": 0, "stop": 1, "series": []}',
        b'{"rank": 0, "start": 2, "stop": 1, "series": []}',
        b'{"rank": 0, "start": 0, "stop": 1, "series": [], "extra": 1}',
        b'{"rank": 0, "start": 0, "stop": 99999999999999999999, "series": []}',
        b'{"rank":0,"start":0,"stop":1,"series":[{"key":"","steps":[],"times_us":[],"values":[]}]}',
        b'{"rank":0,"start":0,"stop":1,"series":[{"key":"a","steps":[1],"times_us":[1],"values":[]}]}',
        b'{"rank":0,"start":0,"stop":1,"series":[{"key":"a","steps":[9223372036854775808],"times_us":[1],"values":[1]}]}',
        b'{"rank":0,"start":0,"stop":1,"series":[{"key":"a","steps":["1"],"times_us":[1],"values":[1]}]}',
        b'{"rank":0,"start":0,"stop":1,"series":[{"key":"a","steps":[1.5],"times_us":[1],"values":[1]}]}',
        b'{"rank":0,"start":0,"stop":1,"series":[{"key":"a","steps":[1],"times_us":[1],"values":["nan"]}]}',
        b'{"rank":0,"start":0,"stop":1,"series":[{"key":"a\\u0000","steps":[1],"times_us":[1],"values":[1]}]}',
        b'{"rank":0,"start":0,"stop":1,"series":[{"key":"\\ud800","steps":[1],"times_us":[1],"values":[1]}]}',
        b"[" * 100_000,
    ],
)
def test_malformed_batch_is_refused_and_leaves_nothing(world: World, node: NodeVoice, body: bytes) -> None:
    (reply,) = node.run(node.post(f"{world.allocation.pk}/metrics", content=body))
    assert reply.status_code == 400
    assert reply.json()["code"] == "invalid"
    assert not MetricBatch.objects.exists()
    assert not IngestMark.objects.exists()


def test_too_large_body_is_refused(world: World, node: NodeVoice) -> None:
    (reply,) = node.run(node.post(f"{world.allocation.pk}/logs", content=b"x" * (16 * 1024 * 1024 + 1)))
    assert reply.status_code == 413


def test_non_finite_values_are_kept(world: World, node: NodeVoice) -> None:
    node.run(node.metrics(world.allocation, 0, 3, {"loss": [(1, "NaN"), (2, "Infinity"), (3, "-Infinity")]}))
    batch = codec.decode_batch(bytes(MetricBatch.objects.get().data))
    assert [repr(value) for value in batch.points.values.tolist()] == ["nan", "inf", "-inf"]
    assert Stream.objects.get(job=world.job).latest == {"loss": "-Infinity"}


def test_log_bytes_are_stored_with_lines_and_end(world: World, node: NodeVoice) -> None:
    one, two, end, again = node.run(
        node.log(world.allocation, 0, b"a\nb\n"),
        node.log(world.allocation, 4, b"c\n\x00\xff"),
        node.log(world.allocation, 8, b"", ended=True),
        node.log(world.allocation, 4, b"c\n\x00\xff", ended=True),
    )
    assert [reply.json()["mark"] for reply in (one, two, end, again)] == [4, 8, 8, 8]
    chunks = LogChunk.objects.order_by("start")
    assert [(chunk.start, chunk.stop, chunk.first_line, chunk.num_lines) for chunk in chunks] == [
        (0, 4, 0, 2),
        (4, 8, 2, 1),
    ]
    mark = IngestMark.objects.get()
    assert (mark.at, mark.num_lines, mark.is_ended) == (8, 3, True)


@pytest.mark.parametrize(
    "query",
    [
        {"rank": 0, "stream": "stdout", "start": 0, "stop": 3},
        {"rank": "x", "stream": "stdout", "start": 0, "stop": 2},
        {"rank": 0, "stream": "stdin", "start": 0, "stop": 2},
        {"rank": 0, "stream": "stdout", "start": -1, "stop": 1},
        {"rank": 0, "stream": "stdout", "start": 0, "stop": 10**20},
        {"rank": 0, "stream": "stdout"},
    ],
)
def test_malformed_log_request_is_refused(world: World, node: NodeVoice, query: dict[str, object]) -> None:
    (reply,) = node.run(node.post(f"{world.allocation.pk}/logs", params=query, content=b"ab"))
    assert reply.status_code == 400
    assert not LogChunk.objects.exists()


async def test_pool_follows_the_test_database(world: World, ingest_pool: None) -> None:
    async with (await pool.get_pool()).connection() as connection:
        row = await (await connection.execute("SELECT current_database()")).fetchone()
    assert row is not None
    assert str(row[0]).startswith("test_")

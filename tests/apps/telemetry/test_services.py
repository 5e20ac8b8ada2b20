"""Compaction moves points and log bytes without changing what anybody reads."""

from typing import Any

import pytest
from django.db import connection

from apps.jobs.models import Job, Stream
from apps.jobs.state import JobState
from apps.telemetry import services
from apps.telemetry.models import Chunk, LogChunk, MetricBatch, Series
from tests.apps.telemetry.conftest import NodeVoice, World
from tests.apps.telemetry.test_views import get


@pytest.fixture
def small_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "MAX_MESSAGES", 5)
    monkeypatch.setattr(services, "CHUNK_POINTS", 8)
    monkeypatch.setattr(services, "MIN_WORTHWHILE", 3)


def everything(world: World) -> dict[str, Any]:
    return {
        "series": get(world, "metrics"),
        "loss": get(world, "metrics/points", key="loss"),
        "log": get(world, "logs", rank=0),
        "tail": get(world, "logs/tail", rank=0, lines=3),
    }


def finish(world: World) -> None:
    Job.objects.filter(pk=world.job.pk).update(state=JobState.SUCCEEDED)


@pytest.mark.usefixtures("small_window")
def test_reading_is_the_same_before_and_after(world: World, node: NodeVoice) -> None:
    shuffled: dict[str, list[Any]] = {"loss": [(5, 1.0), (3, "NaN"), (3, 2.0), (-4, "-Infinity")], "lr": [(1, -0.0)]}
    node.run(
        *(node.metrics(world.allocation, n, n + 1, {"loss": [(n, float(n))], "lr": [(n, 0.1)]}) for n in range(20)),
        node.metrics(world.allocation, 20, 21, shuffled),
        *(node.log(world.allocation, 2 * n, b"%d\n" % n) for n in range(10)),
    )
    before = everything(world)
    moved = services.compact_job(job_id=world.job.pk)
    assert moved.num_batches == 21
    assert MetricBatch.objects.count() == 0
    assert Stream.objects.get().floor_seq == 26
    assert everything(world) == before
    finish(world)
    services.compact_job(job_id=world.job.pk)
    assert everything(world) == before
    assert LogChunk.objects.count() == 1
    assert sorted(Chunk.objects.filter(series__key="loss").values_list("num_points", flat=True)) == [8, 8, 8]


@pytest.mark.usefixtures("small_window")
def test_replay_window_of_a_living_job_stays(world: World, node: NodeVoice) -> None:
    node.run(*(node.metrics(world.allocation, n, n + 1) for n in range(12)))
    services.compact_job(job_id=world.job.pk)
    assert [batch.seq for batch in MetricBatch.objects.order_by("seq")] == [8, 9, 10, 11, 12]
    assert Stream.objects.get().floor_seq == 7
    replayed = get(world, "stream", after=7)
    assert [step for message in replayed["messages"] for step in message["data"]["series"][0]["steps"]] == [
        7,
        8,
        9,
        10,
        11,
    ]
    assert get(world, "stream", after=6)["messages"] == [{"type": "snapshot", "seq": 12}]


@pytest.mark.usefixtures("small_window")
def test_later_batches_fill_up_the_last_chunk(world: World, node: NodeVoice) -> None:
    finish(world)
    for n in range(0, 12, 3):
        node.run(node.metrics(world.allocation, n, n + 3))
        services.compact_job(job_id=world.job.pk)
    assert [chunk.num_points for chunk in Chunk.objects.order_by("pk")] == [8, 4]
    row = Series.objects.get()
    assert (row.num_points, row.first_step, row.last_step, row.last, row.summary_seq) == (12, 0, 11, 989.0, 4)
    assert get(world, "metrics/points", key="loss")["steps"] == list(range(12))


@pytest.mark.usefixtures("small_window")
def test_only_jobs_with_enough_to_merge_are_asked_for(world: World, node: NodeVoice) -> None:
    node.run(*(node.metrics(world.allocation, n, n + 1) for n in range(7)))
    assert services.request_compaction() == 0
    node.run(node.metrics(world.allocation, 7, 8))
    assert services.request_compaction() == 1
    services.compact_job(job_id=world.job.pk)
    assert services.request_compaction() == 0
    finish(world)
    assert services.request_compaction() == 1
    services.compact_job(job_id=world.job.pk)
    assert services.request_compaction() == 0


def test_one_compaction_of_a_job_at_a_time(world: World, node: NodeVoice) -> None:
    finish(world)
    node.run(node.metrics(world.allocation, 0, 3))
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [services._LOCK_CLASS, str(world.job.pk)])
            assert services.compact_job(job_id=world.job.pk).num_batches == 0
            cursor.execute("ROLLBACK")
    finally:
        other.close()
    assert services.compact_job(job_id=world.job.pk).num_batches == 1

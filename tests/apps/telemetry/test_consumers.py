"""Sockets: in order, without a gap or a repeat, for those who may see, and no longer than they may."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from django.contrib.sessions.models import Session
from django.db import transaction
from django.utils import timezone

from apps.accounts.models import ApiToken, Membership, User, Workspace
from apps.core import events
from apps.core.live import job_topic
from apps.jobs import stream
from apps.jobs.models import Job, Stream
from apps.jobs.services import advance_job
from apps.jobs.state import JobState
from apps.projects.models import Project
from apps.telemetry import consumers, feeds, lists
from tests.apps.telemetry.conftest import NodeVoice, World, add_job
from tests.apps.telemetry.sockets import Tab

pytestmark = pytest.mark.usefixtures("ingest_pool", "quiet_layer")


@pytest.fixture
async def quiet_layer() -> AsyncIterator[None]:
    yield
    layer = get_channel_layer()
    assert layer is not None
    await layer.flush()


@pytest.fixture
async def tab(world: World) -> AsyncIterator[Tab]:
    tab = await sync_to_async(Tab.of_user)(world)
    assert await tab.open()
    yield tab
    await tab.close()


def topic_of(world: World) -> str:
    return job_topic(world.job.pk)


async def test_point_is_on_the_page_within_a_second(world: World, node: NodeVoice, tab: Tab) -> None:
    assert (await tab.subscribe(topic_of(world)))["seq"] == 0
    begun = time.monotonic()
    assert (await node.metrics(world.allocation, 0, 1, {"loss": [(1, 2.5)]})).status_code == 200
    frame = await tab.next(lambda frame: frame["type"] == "message")
    assert time.monotonic() - begun < 1.0
    assert frame["data"] == {
        "kind": "metrics", "attempt": 1, "rank": 0, "seq": 1,
        "series": [{"key": "loss", "steps": [1], "values": [2.5], "times_us": [1_000_000]}],
    }  # fmt: skip


async def test_late_subscriber_is_told_everything_once_in_order(world: World, node: NodeVoice, tab: Tab) -> None:
    for n in range(20):
        await node.metrics(world.allocation, n, n + 1)
    await node.log(world.allocation, 0, b"hello \xff\n")
    await tab.subscribe(topic_of(world), after=5)
    for n in range(20, 30):
        await node.metrics(world.allocation, n, n + 1)
    await tab.until(31, topic_of(world))
    assert [step for step, _ in tab.points()] == list(range(5, 30))
    assert [item["text"] for item in tab.items("logs")] == ["hello \N{REPLACEMENT CHARACTER}\n"]


async def test_subscribing_while_a_rank_reports_misses_nothing(world: World, node: NodeVoice, tab: Tab) -> None:
    async def report() -> None:
        for n in range(60):
            await node.metrics(world.allocation, n, n + 1)

    reporting = asyncio.create_task(report())
    await asyncio.sleep(0.1)
    await tab.subscribe(topic_of(world), after=0)
    await reporting
    await tab.until(60, topic_of(world))
    assert [step for step, _ in tab.points()] == list(range(60))


async def test_burst_is_coalesced(world: World, node: NodeVoice, tab: Tab) -> None:
    await tab.subscribe(topic_of(world))
    begun = time.monotonic()
    for n in range(100):
        await node.metrics(world.allocation, n, n + 1)
    await tab.until(100, topic_of(world))
    took_s = time.monotonic() - begun
    messages = [frame for frame in tab.frames if frame["type"] == "message"]
    assert len(messages) <= took_s / consumers.UPDATE_INTERVAL_S + 2
    assert len(tab.points()) == 100


async def test_interleaved_transactions_are_seen_in_order(world: World, tab: Tab) -> None:
    """Writers take numbers at once and commit in another order than they began; messages may overtake."""
    await tab.subscribe(topic_of(world))

    def write(delay_s: float, name: str) -> None:
        with transaction.atomic():
            job = Job.objects.get(pk=world.job.pk)
            time.sleep(delay_s)
            seq = stream.next_seq(job.pk)
            events.record(job, action=name, seq=seq)
            time.sleep(delay_s)
            item = {"kind": "event", "event": {"action": name, "seq": seq}}
            # the slower writer publishes late: its message comes after the one that was committed later
            transaction.on_commit(lambda: time.sleep(0.05 if delay_s else 0.0))
            stream.publish(job_id=job.pk, seq=seq, items=[item])

    run = sync_to_async(write, thread_sensitive=False)
    await asyncio.gather(*(run(0.02 * (n % 3), f"e{n}") for n in range(12)))
    await tab.until(12, topic_of(world))
    told = [item["seq"] for item in tab.items("event")]
    assert told == list(range(1, 13))
    assert await sync_to_async(lambda: Stream.objects.get(job=world.job).last_seq)() == 12


async def test_lost_messages_are_read_from_the_database(
    world: World, node: NodeVoice, tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "HEADS_INTERVAL_S", 0.3)
    monkeypatch.setattr("apps.telemetry.publisher.get_channel_layer", lambda: None)  # every hint is lost
    await tab.subscribe(topic_of(world))
    for n in range(3):
        await node.metrics(world.allocation, n, n + 1)
    await tab.until(3, topic_of(world))
    assert [step for step, _ in tab.points()] == [0, 1, 2]


async def test_heads_are_announced(world: World, node: NodeVoice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "HEADS_INTERVAL_S", 0.2)
    tab = await sync_to_async(Tab.of_user)(world)
    await tab.open()
    assert (await tab.next())["heads"] == {}
    await node.metrics(world.allocation, 0, 1)
    await tab.subscribe(topic_of(world))
    frame = await tab.next(lambda frame: frame["type"] == "head" and frame["heads"])
    assert frame["heads"] == {topic_of(world): 1}
    await tab.close()


@pytest.mark.parametrize("standing", [(1500, 0, 100), (50, 20, 10), (5, 0, 9)])
async def test_who_is_too_far_behind_reads_the_page_afresh(
    world: World, node: NodeVoice, tab: Tab, standing: tuple[int, int, int]
) -> None:
    head, floor, after = standing
    await Stream.objects.filter(job=world.job).aupdate(last_seq=head, floor_seq=floor)
    await tab.subscribe(topic_of(world), after=after)
    frame = await tab.next(lambda frame: frame["type"] == "snapshot")
    assert frame == {"type": "snapshot", "topic": topic_of(world), "seq": head}
    await node.metrics(world.allocation, 0, 1)
    await tab.until(head + 1, topic_of(world))


async def test_bulk_import_reaches_the_page_without_flooding_the_layer(world: World, node: NodeVoice, tab: Tab) -> None:
    await tab.subscribe(topic_of(world))
    for n in range(8):
        await node.metrics(world.allocation, n, n + 1, {"loss": [(1000 * n + i, 1.0) for i in range(1000)]})
    await tab.until(8, topic_of(world))
    assert [step for step, _ in tab.points()] == list(range(8000))


async def test_events_and_job_are_replayed(world: World, tab: Tab) -> None:
    def write() -> None:
        with transaction.atomic():
            job = Job.objects.get(pk=world.job.pk)
            seq = stream.next_seq(job.pk)
            events.record(job, action="state", after="running", seq=seq)
        with transaction.atomic():
            stream.next_seq(world.job.pk)  # progress: leaves nothing but the job's own row

    await sync_to_async(write)()
    await tab.subscribe(topic_of(world), after=0)
    await tab.until(2, topic_of(world))
    assert [item["event"]["action"] for item in tab.items("event")] == ["state"]
    assert [item["job"]["id"] for item in tab.items("job")] == [str(world.job.pk)]


async def test_job_list_hears_of_visible_workspaces_only(world: World, tab: Tab) -> None:
    elsewhere = await sync_to_async(job_elsewhere)()
    assert (await tab.subscribe("jobs"))["type"] == "subscribed"
    await tab.next(lambda frame: frame["type"] == "message")  # what changed a moment ago
    for job in (elsewhere, world.job):
        await sync_to_async(advance_job)(job_id=job.pk, to=JobState.CANCELLING, fence=None)
    frame = await tab.next(lambda frame: frame["type"] == "message")
    assert (frame["topic"], frame["seq"]) == ("jobs", None)
    assert (frame["data"]["job"]["id"], frame["data"]["job"]["state"]) == (str(world.job.pk), "cancelling")
    assert not [item for item in tab.items("job") if item["job"]["id"] == str(elsewhere.pk)]


async def test_job_list_catches_up_with_what_the_channel_layer_lost(
    world: World, tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after an outage of Redis: the messages are gone for good, and nobody reloads the page."""
    monkeypatch.setattr(feeds, "HEADS_INTERVAL_S", 0.2)
    monkeypatch.setattr("apps.core.live.get_channel_layer", lambda: None)
    await tab.subscribe("jobs")
    for state in (JobState.CANCELLING, JobState.CANCELLED):
        await sync_to_async(advance_job)(job_id=world.job.pk, to=state, fence=None)
        await tab.next(lambda frame, state=state: frame["type"] == "message" and frame["data"]["job"]["state"] == state)
    assert {frame["topic"] for frame in tab.frames if frame["type"] == "message"} == {"jobs"}


async def test_job_list_is_read_afresh_when_too_much_was_missed(
    world: World, tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "MAX_CHANGED", 2)
    for number in (2, 3):
        await sync_to_async(add_job)(world.project, world.user, number=number)
    await tab.subscribe("jobs")
    assert await tab.next() == {"type": "snapshot", "topic": "jobs", "seq": None}


def job_elsewhere() -> Job:
    workspace = Workspace.objects.create(name="another")
    owner = User.objects.create_user("bob", password="x")
    return add_job(Project.objects.create(workspace=workspace, name="p"), owner)


async def test_stranger_hears_nothing(world: World, node: NodeVoice) -> None:
    tab = await sync_to_async(Tab.of_user)(world, world.stranger)
    await tab.open()
    assert (await tab.subscribe(topic_of(world)))["code"] == "not_found"
    await node.metrics(world.allocation, 0, 1)
    assert await tab.communicator.receive_nothing(timeout=0.4)
    await tab.close()


async def test_nobody_is_closed_out(world: World) -> None:
    tab = Tab([(b"host", b"testserver")])
    await tab.open()
    assert await tab.closed() == consumers.NOT_SIGNED_IN


async def test_other_sites_page_is_denied(world: World) -> None:
    tab = await sync_to_async(Tab.of_user)(world)
    tab = Tab([header for header in tab.headers if header[0] != b"origin"] + [
        (b"origin", b"https://evil.example")
    ])  # fmt: skip
    assert not await tab.open()


async def test_program_opens_with_a_token(world: World, node: NodeVoice) -> None:
    tab = Tab.of_token(await sync_to_async(world.api_token)())
    assert await tab.open()
    assert (await tab.subscribe(topic_of(world)))["type"] == "subscribed"
    await node.metrics(world.allocation, 0, 1)
    await tab.until(1, topic_of(world))
    await tab.close()
    assert not await Tab.of_token("cox_wrong").open()


async def test_revoked_token_closes_the_socket(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "RECHECK_INTERVAL_S", 0.2)
    tab = Tab.of_token(await sync_to_async(world.api_token)())
    await tab.open()
    await tab.subscribe(topic_of(world))
    await ApiToken.objects.aupdate(revoked_at=timezone.now())
    assert await tab.closed() == consumers.NOT_SIGNED_IN


async def test_ended_session_closes_the_socket(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "RECHECK_INTERVAL_S", 0.2)
    tab = await sync_to_async(Tab.of_user)(world)
    await tab.open()
    await Session.objects.all().adelete()
    assert await tab.closed() == consumers.NOT_SIGNED_IN


@pytest.mark.parametrize("topic", ["job", "jobs"])
async def test_lost_membership_closes_the_socket(world: World, topic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "RECHECK_INTERVAL_S", 0.2)
    tab = await sync_to_async(Tab.of_user)(world)
    await tab.open()
    await tab.subscribe(topic_of(world) if topic == "job" else topic)
    await Membership.objects.all().adelete()
    assert await tab.closed() == consumers.RIGHT_WITHDRAWN


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "1", '{"type": "subscribe"}', '{"type": "x", "topic": "jobs"}', '{"type": "subscribe", "topic": 1}',
     '{"type": "subscribe", "topic": "job:x", "after": -1}', "x" * 10_000],
)  # fmt: skip
async def test_malformed_message_is_answered_and_survived(world: World, tab: Tab, text: str) -> None:
    await tab.say_text(text)
    assert (await tab.next())["code"] == "invalid"
    assert (await tab.subscribe("job:nonsense"))["code"] == "not_found"
    assert (await tab.subscribe(topic_of(world)))["type"] == "subscribed"


async def test_two_tabs_share_one_reader_and_resume_apart(world: World, node: NodeVoice, tab: Tab) -> None:
    other = await sync_to_async(Tab.of_user)(world)
    await other.open()
    await tab.subscribe(topic_of(world))
    await node.metrics(world.allocation, 0, 1)
    await tab.until(1, topic_of(world))
    await other.subscribe(topic_of(world), after=0)
    await other.until(1, topic_of(world))
    assert len(feeds.get_hub().feeds) == 1
    await tab.say({"type": "unsubscribe", "topic": topic_of(world)})
    await node.metrics(world.allocation, 1, 2)
    await other.until(2, topic_of(world))
    assert [step for step, _ in tab.points()] == [0]
    await other.close()
    assert not feeds.get_hub().feeds


async def test_jobs_do_not_mix(world: World, node: NodeVoice, tab: Tab) -> None:
    second = await sync_to_async(add_job)(world.project, world.user, number=2)
    await tab.subscribe(topic_of(world))
    await tab.subscribe(job_topic(second.pk))
    await node.metrics(world.allocation, 0, 1)
    await tab.until(1, topic_of(world))
    assert tab.seqs[job_topic(second.pk)] == 0


async def test_tab_that_comes_while_the_last_one_leaves_misses_nothing(
    world: World, node: NodeVoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "HEADS_INTERVAL_S", 600)  # what comes, comes by the channel
    layer = get_channel_layer()
    assert layer is not None
    discard = layer.group_discard
    is_leaving = asyncio.Event()

    async def slow_discard(group: str, channel: str) -> None:
        is_leaving.set()
        await asyncio.sleep(0.5)
        await discard(group, channel)

    monkeypatch.setattr(layer, "group_discard", slow_discard)
    early, late = [await sync_to_async(Tab.of_user)(world) for _ in range(2)]
    assert await early.open()
    assert await late.open()
    await early.subscribe(topic_of(world))
    leaving = asyncio.create_task(early.close())
    await asyncio.wait_for(is_leaving.wait(), 5)
    await late.subscribe(topic_of(world))
    await leaving
    await node.metrics(world.allocation, 0, 1)
    await late.until(1, topic_of(world))
    await late.close()

"""One reader per process and job: it hears the channel layer, fills gaps from Postgres, serves sockets from memory.

A feed joins the group before it asks for the head, so nothing falls between. It takes messages only in the order of
their numbers: one that is missing is waited for a moment (another process may be sending it) and then read from
Postgres. The heads of all followed streams are read every few seconds in one query: a lost last message, or a silent
Redis, costs that long. While messages are being lost, heads are read every second.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final
from uuid import UUID
from weakref import WeakKeyDictionary

import structlog
from channels.db import database_sync_to_async
from channels.layers import get_channel_layer

from apps.core.live import group_name, job_topic
from apps.jobs.stream import head_seqs
from apps.telemetry.coalesce import Item, unpack
from apps.telemetry.lists import Listener, ListFeed
from apps.telemetry.replay import MAX_MESSAGES, read_replay

log = structlog.get_logger(__name__)

HEADS_INTERVAL_S = 5.0
DEGRADED_INTERVAL_S = 1.0
_GAP_WAIT_S: Final = 0.15
_REDIS_TIMEOUT_S: Final = 2.0
_MAX_BUFFERED_WEIGHT: Final = 400_000

# Threads of the loop's own pool: the thread that one request is bound to may be gone when its feed reads on.
in_thread = partial(database_sync_to_async, thread_sensitive=False)

Wake = Callable[[], None]
Entry = tuple[int, list[Item]]


@dataclass(frozen=True, slots=True)
class News:
    """Items up to ``seq``. ``is_snapshot``: they can no longer be told one by one, read the page afresh."""

    seq: int
    entries: tuple[Entry, ...] = ()
    is_snapshot: bool = False


class JobFeed:
    """The recent messages (base, head] of one job's stream."""

    def __init__(self, job_id: UUID) -> None:
        self.job_id = job_id
        self.topic = job_topic(job_id)
        self.head = -1
        self.base = -1
        self.listeners: set[Wake] = set()
        self._buffer: deque[Entry] = deque()
        self._weight = 0
        self._pending: dict[int, Item | None] = {}
        self._reading = asyncio.Lock()
        self._gap_task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin at the head; the group must have been joined before."""
        async with self._reading:
            if self.head < 0:
                heads = await in_thread(head_seqs)([self.job_id])
                self.head = self.base = heads.get(self.job_id, 0)
                self._advance()

    def stop(self) -> None:
        """Forget what is under way."""
        if self._gap_task is not None:
            self._gap_task.cancel()

    def hear(self, data: Mapping[str, Any]) -> None:
        """Take what the channel layer brought: one message, or several coalesced by their sender."""
        messages = data["messages"] if "messages" in data else [(data["seq"], data["data"])]
        for seq, item in messages:
            if self.head < 0 or seq > self.head:
                self._pending[seq] = item
        if len(self._pending) > MAX_MESSAGES:  # so far ahead that reading afresh is cheaper than waiting
            self._pending.clear()
            self._pending[messages[-1][0]] = None
        if self.head >= 0:
            self._advance()

    def notice_head(self, head: int) -> bool:
        """Compare with the head read from Postgres; return whether a message seems lost."""
        if self.head < 0 or head <= self.head:
            return False
        is_lost = head not in self._pending
        self._pending.setdefault(head, None)
        self._fill_soon()
        return is_lost

    async def news(self, after: int) -> News:
        """Return what came after ``after``, from memory where it is there, else from Postgres."""
        if after == self.head:
            return News(self.head)
        if not self.base <= after <= self.head:
            async with self._reading:
                if not self.base <= after <= self.head:
                    replay = await in_thread(read_replay)(self.job_id, after=after)
                    if replay.is_gone:
                        return News(replay.head, is_snapshot=True)
                    self._replace(after, replay.head, [(seq, unpack(seq, item)) for seq, item in replay.items])
        return News(self.head, tuple(entry for entry in self._buffer if entry[0] > after))

    def _advance(self) -> None:
        """Move on over every message that is next; have the rest read if it stays away."""
        before = self.head
        while (item := self._pending.get(self.head + 1)) is not None:
            del self._pending[self.head + 1]
            self.head += 1
            self._append((self.head, unpack(self.head, item)))
        for seq in [seq for seq in self._pending if seq <= self.head]:
            del self._pending[seq]
        if self._pending:
            self._fill_soon()
        if self.head != before:
            self._wake()

    def _fill_soon(self) -> None:
        if self._gap_task is None or self._gap_task.done():
            self._gap_task = asyncio.create_task(self._fill())

    async def _fill(self) -> None:
        """Wait for what may be on its way, then read from Postgres what is not there."""
        while self._pending:
            # a message that carried no payload will not come: waiting would not help
            is_bare = self.head + 1 in self._pending
            await asyncio.sleep(0.0 if is_bare else _GAP_WAIT_S)
            try:
                await self._read_on()
            except Exception as error:  # noqa: BLE001 - the database may be away: the next head tells again
                log.warning("stream not read", topic=self.topic, error=str(error))
                await asyncio.sleep(DEGRADED_INTERVAL_S)

    async def _read_on(self) -> None:
        async with self._reading:
            if not self._pending:
                return
            replay = await in_thread(read_replay)(self.job_id, after=self.head)
            if replay.is_gone:
                self._replace(replay.head, replay.head, [])
            else:
                for seq, item in replay.items:
                    if seq > self.head:
                        self._append((seq, unpack(seq, item)))
                self.head = max(self.head, replay.head)
            # what was announced beyond the head of a committed read was never committed: a sender's mistake
            self._pending = {seq: item for seq, item in self._pending.items() if seq > self.head and item is not None}
        self._advance()
        self._wake()

    def _replace(self, base: int, head: int, entries: list[Entry]) -> None:
        self._buffer.clear()
        self._weight = 0
        self.base = base
        for entry in entries:
            self._append(entry)
        if head > self.head or base > self.head:
            self.head = head
            self._wake()

    def _append(self, entry: Entry) -> None:
        self._buffer.append(entry)
        self._weight += weight_of(entry[1])
        while len(self._buffer) > 2 * MAX_MESSAGES or (self._weight > _MAX_BUFFERED_WEIGHT and len(self._buffer) > 1):
            seq, items = self._buffer.popleft()
            self._weight -= weight_of(items)
            self.base = seq

    def _wake(self) -> None:
        for wake in list(self.listeners):
            wake()


def weight_of(items: list[Item]) -> int:
    """Return about how many numbers items hold."""
    weight = len(items)
    for item in items:
        if item["kind"] == "metrics":
            weight += sum(len(column["steps"]) for column in item["series"])
        elif item["kind"] == "logs":
            weight += len(item["text"]) // 16
    return weight


@dataclass(slots=True)
class _Followed:
    """A group of the channel layer, and who hears it."""

    hear: Callable[[Mapping[str, Any]], None]
    users: int = 0
    is_joined: bool = False


@dataclass
class Hub:
    """Everything one event loop follows on the channel layer, through one channel."""

    feeds: dict[UUID, JobFeed] = field(default_factory=dict)
    _topics: dict[str, _Followed] = field(default_factory=dict)
    lists: dict[UUID, ListFeed] = field(default_factory=dict)
    _heads_listeners: set[Callable[[dict[str, int]], None]] = field(default_factory=set)
    _channel: str | None = None
    _tasks: list["asyncio.Task[None]"] = field(default_factory=list)

    async def follow_job(self, job_id: UUID) -> JobFeed:
        """Return the job's feed; give it back by ``leave_job``."""
        feed = self.feeds.get(job_id)
        if feed is None:
            feed = self.feeds[job_id] = JobFeed(job_id)
        try:
            await self._follow(feed.topic, feed.hear)
            await feed.start()
        except BaseException:
            await self.leave_job(feed)
            raise
        return feed

    async def leave_job(self, feed: JobFeed) -> None:
        """Stop following once nobody does."""
        followed = self._release(feed.topic)
        if followed is None:
            return
        feed.stop()  # before anything is awaited: who subscribes meanwhile begins a feed of its own
        if self.feeds.get(feed.job_id) is feed:
            del self.feeds[feed.job_id]
        await self._discard(feed.topic, followed)

    async def follow_list(self, workspace_id: UUID, listener: Listener) -> None:
        """Hear each change of a workspace's jobs; those of the last minute are told at once."""
        feed = self.lists.setdefault(workspace_id, ListFeed(workspace_id))
        feed.listeners.add(listener)
        await self._follow(feed.topic, feed.hear)
        await feed.catch_up(listener)

    async def leave_list(self, workspace_id: UUID, listener: Listener) -> None:
        """Hear no more."""
        feed = self.lists[workspace_id]
        feed.listeners.discard(listener)
        followed = self._release(feed.topic)
        if followed is not None:
            self.lists.pop(workspace_id, None)
            await self._discard(feed.topic, followed)

    def listen_heads(self, listener: Callable[[dict[str, int]], None]) -> Callable[[], None]:
        """Hear the heads of all followed jobs every few seconds; return what ends it."""
        self._heads_listeners.add(listener)
        self._start_tasks()

        def stop() -> None:
            self._heads_listeners.discard(listener)
            self._stop_if_idle()

        return stop

    async def _follow(self, topic: str, hear: Callable[[Mapping[str, Any]], None]) -> None:
        followed = self._topics.setdefault(topic, _Followed(hear))
        followed.users += 1
        self._start_tasks()
        if not followed.is_joined:
            await self._join(topic, followed)

    def _release(self, topic: str) -> "_Followed | None":
        """Count one user less; return what has to be discarded when that was the last."""
        followed = self._topics[topic]
        followed.users -= 1
        if followed.users:
            return None
        del self._topics[topic]
        self._stop_if_idle()
        return followed

    async def _discard(self, topic: str, followed: "_Followed") -> None:
        """Leave the group of a topic that nobody follows."""
        try:
            layer = get_channel_layer()
            if followed.is_joined and layer is not None and self._channel is not None:
                await asyncio.wait_for(layer.group_discard(group_name(topic), self._channel), _REDIS_TIMEOUT_S)
        except Exception as error:  # noqa: BLE001 - Redis may be away; a message for nobody is dropped anyway
            log.info("group not left", topic=topic, error=str(error))
        if (successor := self._topics.get(topic)) is not None:  # its joining may have come before our leaving
            await self._join(topic, successor)

    def _start_tasks(self) -> None:
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._receive()), asyncio.create_task(self._read_heads())]

    def _stop_if_idle(self) -> None:
        if not self._topics and not self._heads_listeners:
            for task in self._tasks:
                task.cancel()
            self._tasks = []

    async def _join(self, topic: str, followed: _Followed) -> None:
        """Join the group; when Redis is away, the reader of heads tries again."""
        layer = get_channel_layer()
        assert layer is not None
        try:
            if self._channel is None:
                self._channel = await asyncio.wait_for(layer.new_channel("live"), _REDIS_TIMEOUT_S)
            await asyncio.wait_for(layer.group_add(group_name(topic), self._channel), _REDIS_TIMEOUT_S)
            followed.is_joined = True
        except Exception as error:  # noqa: BLE001
            log.warning("channel layer away", topic=topic, error=str(error))

    async def _receive(self) -> None:
        layer = get_channel_layer()
        assert layer is not None
        while True:
            if self._channel is None:
                await asyncio.sleep(_GAP_WAIT_S)
                continue
            try:
                message = await layer.receive(self._channel)
                followed = self._topics.get(message["topic"])
                if followed is not None:
                    followed.hear(message["data"])
            except Exception as error:  # noqa: BLE001 - one bad message must not deafen the process
                log.warning("live message not taken", error=str(error))
                await asyncio.sleep(_GAP_WAIT_S)

    async def _read_heads(self) -> None:
        interval_s = HEADS_INTERVAL_S
        since_announced_s = 0.0
        while True:
            await asyncio.sleep(interval_s)
            since_announced_s += interval_s
            is_degraded = False
            for topic, followed in list(self._topics.items()):
                if not followed.is_joined:
                    is_degraded = True
                    await self._join(topic, followed)
            try:
                heads = await in_thread(head_seqs)(list(self.feeds))
                for listed in list(self.lists.values()):
                    await listed.read_on()
            except Exception as error:  # noqa: BLE001 - the database may be restarting
                log.warning("heads not read", error=str(error))
                continue
            for job_id, head in heads.items():
                feed = self.feeds.get(job_id)
                is_degraded |= feed is not None and feed.notice_head(head)
            interval_s = DEGRADED_INTERVAL_S if is_degraded else HEADS_INTERVAL_S
            if since_announced_s >= HEADS_INTERVAL_S:
                since_announced_s = 0.0
                named = {job_topic(job_id): head for job_id, head in heads.items()}
                for listener in list(self._heads_listeners):
                    listener(named)


_hubs: "WeakKeyDictionary[asyncio.AbstractEventLoop, Hub]" = WeakKeyDictionary()


def get_hub() -> Hub:
    """Return the running event loop's hub."""
    return _hubs.setdefault(asyncio.get_running_loop(), Hub())


async def wait_for_news(job_id: UUID, *, after: int, wait_s: float) -> News:
    """Return what came after ``after``; wait up to ``wait_s`` seconds for something to come."""
    hub = get_hub()
    changed = asyncio.Event()
    feed = await hub.follow_job(job_id)
    feed.listeners.add(changed.set)
    try:
        deadline = asyncio.get_running_loop().time() + wait_s
        while True:
            changed.clear()
            news = await feed.news(after)
            left_s = deadline - asyncio.get_running_loop().time()
            if news.entries or news.is_snapshot or left_s <= 0:
                return news
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), left_s)
    finally:
        feed.listeners.discard(changed.set)
        await hub.leave_job(feed)

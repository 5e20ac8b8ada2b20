"""The WebSocket of the dashboard, ``/ws/v1/stream``: any number of topics on one connection, each resumable.

Client to server::

    {"type": "subscribe", "topic": "job:<uuid>" | "jobs", "after": <seq> | null}
    {"type": "unsubscribe", "topic": ...}

Server to client::

    {"type": "subscribed", "topic", "seq"}           it goes on after ``seq``
    {"type": "message", "topic", "seq", "data"}      everything up to ``seq``; ``seq`` is null on "jobs"
    {"type": "snapshot", "topic", "seq"}             too much was missed: read the page again, then go on from its seq
                                                     (null on "jobs", where there is nothing to go on from)
    {"type": "head", "heads": {topic: seq}}          every 5 s, also without topics: the connection lives
    {"type": "error", "topic", "code"}

Closes with 4401 when whoever opened it is no longer signed in, and with 4403 when a right was withdrawn. It is
accepted first in either case, because a page learns the code of no other close.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Final
from uuid import UUID

import orjson
import structlog
from channels.generic.websocket import AsyncWebsocketConsumer

from apps.accounts.models import User
from apps.telemetry import rights
from apps.telemetry.coalesce import Item, as_data, coalesce
from apps.telemetry.feeds import JobFeed, get_hub, in_thread, weight_of
from apps.telemetry.lists import SNAPSHOT
from apps.telemetry.selectors import visible_job_ids

log = structlog.get_logger(__name__)

UPDATE_INTERVAL_S = 0.15
RECHECK_INTERVAL_S = 60.0
NOT_SIGNED_IN: Final = 4401
RIGHT_WITHDRAWN: Final = 4403
_MAX_TOPICS: Final = 200
_MAX_MESSAGE_BYTES: Final = 4096
_MAX_FRAME_WEIGHT: Final = 20_000
_RETRY_S: Final = 1.0


@dataclass(slots=True)
class _Subscription:
    """One job on this socket; everything up to ``sent`` is with the client."""

    feed: JobFeed
    sent: int


class StreamConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]
    """One browser tab or program."""

    channel_layer_alias = "not used"  # the hub listens for all sockets; one channel each would multiply the traffic

    async def connect(self) -> None:
        """Accept who is signed in."""
        self.jobs: dict[str, _Subscription] = {}
        self.lists: set[UUID] = set()
        self.list_news: dict[str, Item] = {}
        self.is_list_stale = False
        self.heads: dict[str, int] | None = None
        self.changed = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []
        self.stop_heads: Callable[[], None] = _nothing
        self.hub = get_hub()
        await self.accept()
        user = await in_thread(rights.current_user)(self.scope)
        if user is None:
            await self.close(NOT_SIGNED_IN)
            return
        self.user: User = user
        self.stop_heads = self.hub.listen_heads(self._hear_heads)
        self.tasks = [asyncio.create_task(self._pump()), asyncio.create_task(self._watch_rights())]

    async def disconnect(self, code: int) -> None:
        """Leave everything."""
        for task in self.tasks:
            task.cancel()
        self.stop_heads()
        for topic in list(self.jobs):
            await self._drop_job(topic)
        await self._follow_lists(set())

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Take one message of the client."""
        if not self.tasks:
            return  # being closed
        if text_data is None or len(text_data) > _MAX_MESSAGE_BYTES:
            await self._error(None, "invalid")
            return
        try:
            message = orjson.loads(text_data)
            kind, topic, after = message["type"], message["topic"], message.get("after")
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            await self._error(None, "invalid")
            return
        if not isinstance(topic, str) or not (after is None or (type(after) is int and 0 <= after < 2**63)):
            await self._error(None, "invalid")
        elif kind == "subscribe":
            await self._subscribe(topic, after)
        elif kind == "unsubscribe":
            await self._unsubscribe(topic)
        else:
            await self._error(topic, "invalid")

    async def _subscribe(self, topic: str, after: int | None) -> None:
        follow = self.TOPICS.get(topic.partition(":")[0])
        if follow is None:
            await self._error(topic, "not_found")
        else:
            await follow(self, topic, after)

    async def _subscribe_list(self, topic: str, after: int | None) -> None:
        if topic != "jobs":
            await self._error(topic, "not_found")
            return
        allowed = await in_thread(rights.workspace_ids)(self.user)
        await self._send({"type": "subscribed", "topic": topic, "seq": None})
        await self._follow_lists(allowed)

    async def _subscribe_job(self, topic: str, after: int | None) -> None:
        job_id = _job_of(topic)
        if job_id is None or not await in_thread(visible_job_ids)(self.user, [job_id]):
            await self._error(topic, "not_found")
            return
        known = self.jobs.get(topic)
        if known is None:
            if len(self.jobs) >= _MAX_TOPICS:
                await self._error(topic, "too_many_topics")
                return
            feed = await self.hub.follow_job(job_id)
            known = _Subscription(feed, feed.head if after is None else after)
            feed.listeners.add(self.changed.set)
        elif after is not None:
            known.sent = after  # the client says what it has: it may have lost what was sent
        await self._send({"type": "subscribed", "topic": topic, "seq": known.sent})
        self.jobs[topic] = known
        self.changed.set()

    TOPICS: ClassVar[dict[str, Callable[["StreamConsumer", str, int | None], Awaitable[None]]]] = {
        "job": _subscribe_job,
        "jobs": _subscribe_list,
    }
    """Every kind of topic, each with who looks whether the user may hear it; the tests of rights walk it."""

    async def _unsubscribe(self, topic: str) -> None:
        if topic == "jobs":
            await self._follow_lists(set())
        else:
            await self._drop_job(topic)

    async def _drop_job(self, topic: str) -> None:
        known = self.jobs.pop(topic, None)
        if known is not None:
            if all(other.feed is not known.feed for other in self.jobs.values()):
                known.feed.listeners.discard(self.changed.set)
            await self.hub.leave_job(known.feed)

    async def _follow_lists(self, wanted: set[UUID]) -> None:
        for workspace_id in self.lists - wanted:
            self.lists.discard(workspace_id)
            await self.hub.leave_list(workspace_id, self._hear_list)
        for workspace_id in wanted - self.lists:
            self.lists.add(workspace_id)
            await self.hub.follow_list(workspace_id, self._hear_list)

    def _hear_list(self, item: Item) -> None:
        if item is SNAPSHOT:
            self.is_list_stale = True
        else:
            self.list_news[item["job"]["id"]] = item  # of one job's changes the newest is enough
        self.changed.set()

    def _hear_heads(self, heads: dict[str, int]) -> None:
        self.heads = {topic: head for topic, head in heads.items() if topic in self.jobs}
        self.changed.set()

    async def _pump(self) -> None:
        """Send what has come, at most once per interval: a burst, or a slow client, makes messages larger, not more."""
        while True:
            await self.changed.wait()
            self.changed.clear()
            try:
                for topic, known in list(self.jobs.items()):
                    await self._send_news(topic, known)
                await self._send_lists()
                if self.heads is not None:
                    heads, self.heads = self.heads, None
                    await self._send({"type": "head", "heads": heads})
            except Exception as error:  # noqa: BLE001 - the database may be away: what was not sent is sent later
                log.warning("socket waits", error=str(error))
                self.changed.set()
                await asyncio.sleep(_RETRY_S)
            await asyncio.sleep(UPDATE_INTERVAL_S)

    async def _send_news(self, topic: str, known: _Subscription) -> None:
        after = known.sent
        news = await known.feed.news(after)
        if self.jobs.get(topic) is not known or known.sent != after:
            return  # unsubscribed, or subscribed from elsewhere, meanwhile
        if news.is_snapshot:
            known.sent = news.seq
            await self._send({"type": "snapshot", "topic": topic, "seq": news.seq})
            return
        for seq, items in _frames(news.entries):
            known.sent = seq
            await self._send({"type": "message", "topic": topic, "seq": seq, "data": as_data(coalesce(items))})
        known.sent = max(known.sent, news.seq)

    async def _send_lists(self) -> None:
        if self.is_list_stale:
            self.is_list_stale = False
            await self._send({"type": "snapshot", "topic": "jobs", "seq": None})
        if self.list_news:
            items, self.list_news = list(self.list_news.values()), {}
            await self._send({"type": "message", "topic": "jobs", "seq": None, "data": as_data(items)})

    async def _watch_rights(self) -> None:
        while True:
            await asyncio.sleep(RECHECK_INTERVAL_S)
            try:
                code = await self._withdrawn()
            except Exception as error:  # noqa: BLE001 - the database may be away: ask again next time
                log.warning("rights not checked", error=str(error))
                continue
            if code is not None:
                await self.close(code)
                return

    async def _withdrawn(self) -> int | None:
        """Return the code to close with, if something is no longer allowed."""
        user = await in_thread(rights.current_user)(self.scope)
        if user is None:
            return NOT_SIGNED_IN
        self.user = user
        if self.lists:
            allowed = await in_thread(rights.workspace_ids)(user)
            if not self.lists <= allowed:
                return RIGHT_WITHDRAWN
            await self._follow_lists(allowed)
        wanted = {known.feed.job_id for known in self.jobs.values()}
        if wanted and await in_thread(visible_job_ids)(user, list(wanted)) != wanted:
            return RIGHT_WITHDRAWN
        return None

    async def _error(self, topic: str | None, code: str) -> None:
        await self._send({"type": "error", "topic": topic, "code": code})

    async def _send(self, message: dict[str, Any]) -> None:
        # a client that went away is noticed by disconnect()
        with contextlib.suppress(RuntimeError, ConnectionError):
            await self.send(text_data=orjson.dumps(message).decode())


def _frames(entries: Iterable[tuple[int, list[Item]]]) -> Iterable[tuple[int, list[Item]]]:
    """Cut what has come into frames of bearable size; each holds whole numbers of the stream."""
    frame: list[Item] = []
    weight, last = 0, 0
    for seq, items in entries:
        added = weight_of(items)
        # the items of one number stay together: the client drops a number that it has
        if frame and seq != last and weight + added > _MAX_FRAME_WEIGHT:
            yield last, frame
            frame, weight = [], 0
        frame.extend(items)
        weight, last = weight + added, seq
    if frame:
        yield last, frame


def _nothing() -> None:
    """Stand for what there is nothing to do for."""


def _job_of(topic: str) -> UUID | None:
    try:
        return UUID(topic.partition(":")[2])
    except ValueError:
        return None

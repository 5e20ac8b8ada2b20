"""Sending hints of change to browsers over the channel layer.

A hint may be lost: Postgres holds the truth and every socket checks its heads. So sending never waits, never fails
the caller and never breaks a transaction. One daemon thread per process owns an event loop and sends in order;
that works alike in a web request, the scheduler and a Celery worker, and keeps one Redis connection instead of
one per call.
"""

import asyncio
import os
import re
import threading
from collections.abc import Mapping
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from channels.layers import get_channel_layer
from django.db import transaction

log = structlog.get_logger(__name__)

MESSAGE_TYPE = "live.message"
"""Consumers receive group messages in ``live_message(event)``; the event holds ``topic`` and ``data``."""

_MAX_QUEUED = 10_000
_SEND_TIMEOUT_S = 5.0
_NOT_IN_GROUP = re.compile(r"[^A-Za-z0-9._-]")


def job_topic(job_id: UUID | str) -> str:
    """Name the topic of one job."""
    return f"job:{job_id}"


def jobs_topic(workspace_id: UUID | str) -> str:
    """Name the topic of a workspace's job list (clients say ``jobs``; the server adds the workspace)."""
    return f"jobs:{workspace_id}"


def group_name(topic: str) -> str:
    """Return the channel-layer group of a topic: channel layers allow few characters and 100 of them."""
    return _NOT_IN_GROUP.sub(".", topic)[:99]


def publish(topic: str, data: Mapping[str, Any]) -> None:
    """Send ``data`` (msgpack-able) to the subscribers of ``topic`` once the current transaction has committed.

    Outside a transaction, or from an ``on_commit`` callback, it is sent at once. A failure is logged.
    """
    message = {"type": MESSAGE_TYPE, "topic": topic, "data": dict(data)}
    transaction.on_commit(partial(_sender().enqueue, group_name(topic), message), robust=True)


class _Sender:
    """A thread with its own event loop that sends queued messages one after another."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._queue: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue()
        self._thread = threading.Thread(target=self._run, name="live-sender", daemon=True)
        self._thread.start()

    def enqueue(self, group: str, message: dict[str, Any]) -> None:
        """Queue one message from any thread; drop it when Redis has been away for too long."""
        if self._queue.qsize() >= _MAX_QUEUED:
            log.warning("live message dropped", group=group)
            return
        self._loop.call_soon_threadsafe(self._queue.put_nowait, (group, message))

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._send_forever())

    async def _send_forever(self) -> None:
        while True:
            group, message = await self._queue.get()
            try:
                layer = get_channel_layer()
                assert layer is not None
                await asyncio.wait_for(layer.group_send(group, message), _SEND_TIMEOUT_S)
            except Exception as error:  # noqa: BLE001 - a hint may be lost, whatever the reason
                log.warning("live message lost", group=group, error=str(error))


_current: _Sender | None = None
_lock = threading.Lock()


def _sender() -> _Sender:
    """Return this process's sender; a forked child makes its own."""
    global _current  # noqa: PLW0603 - one thread per process is the point
    if _current is None or _current.pid != os.getpid():
        with _lock:
            if _current is None or _current.pid != os.getpid():
                _current = _Sender()
    return _current

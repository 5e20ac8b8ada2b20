"""Hints to nodes: "allocation N may be yours", "ask for news". They carry no truth and may be lost.

A daemon thread sends them, so that a broker that is down or slow never holds up the scheduler or a request: the
heartbeat, every few seconds, says the same.
"""

import os
import queue
import threading
import time
from functools import partial
from uuid import UUID

import structlog
from celery import current_app
from django.db import transaction

from workers.contract.queues import HINT_EXPIRES_S, HINT_NEWS, HINT_OFFER, NODE_HINT_TASK, node_queue

log = structlog.get_logger(__name__)

_MAX_QUEUED = 10_000
_Hint = tuple[str, str, str, float]
"""Node name, kind, allocation id, monotonic time it was asked for."""


def hint_offer(*, node_name: str, allocation_id: UUID) -> None:
    """After the commit, tell a node that an allocation waits for it."""
    _after_commit(node_name, HINT_OFFER, allocation_id)


def hint_news(*, node_name: str, allocation_id: UUID) -> None:
    """After the commit, tell a node to ask what has changed."""
    _after_commit(node_name, HINT_NEWS, allocation_id)


def _after_commit(node_name: str, kind: str, allocation_id: UUID) -> None:
    hint = (node_name, kind, str(allocation_id))
    transaction.on_commit(partial(_enqueue, hint), robust=True)


def _enqueue(hint: tuple[str, str, str]) -> None:
    _sender().enqueue((*hint, time.monotonic()))


class _Sender:
    """A thread that sends queued hints in order."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._queue: queue.Queue[_Hint] = queue.Queue(_MAX_QUEUED)
        threading.Thread(target=self._run, name="hint-sender", daemon=True).start()

    def enqueue(self, hint: _Hint) -> None:
        """Queue one hint; drop it when the broker has been away for so long that the queue is full."""
        try:
            self._queue.put_nowait(hint)
        except queue.Full:
            log.warning("hint dropped", node=hint[0])

    def _run(self) -> None:
        while True:
            node_name, kind, allocation_id, asked_at = self._queue.get()
            if time.monotonic() - asked_at > HINT_EXPIRES_S:
                continue
            try:
                current_app.send_task(
                    NODE_HINT_TASK,
                    args=[kind, allocation_id],
                    queue=node_queue(node_name),
                    expires=HINT_EXPIRES_S,
                    ignore_result=True,
                    retry=False,
                )
            except Exception as error:  # noqa: BLE001 - a hint may be lost, whatever the reason
                log.warning("hint lost", node=node_name, kind=kind, error=str(error))


_current: _Sender | None = None
_lock = threading.Lock()


def _sender() -> _Sender:
    """Return this process's sender; a forked child makes its own."""
    global _current  # noqa: PLW0603 - one thread per process is the point
    with _lock:
        if _current is None or _current.pid != os.getpid():
            _current = _Sender()
        return _current

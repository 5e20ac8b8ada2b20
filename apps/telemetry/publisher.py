"""Telling the job pages what was just stored: from the event loop, coalesced, and never in the way.

The first message of a quiet job leaves at once; those that follow within ``INTERVAL_S`` leave together. Beyond a
budget the numbers go without their payload, and readers fetch it from Postgres: a bulk import must not flood the
channel layer. A message may be lost; the stream's heads tell the readers.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID
from weakref import WeakKeyDictionary

import structlog
from channels.layers import get_channel_layer

from apps.core.live import MESSAGE_TYPE, group_name, job_topic

log = structlog.get_logger(__name__)

INTERVAL_S: Final = 0.1
_SEND_TIMEOUT_S: Final = 5.0
_MAX_WEIGHT: Final = 4000
"""Points (or 64-byte pieces of log) that one message carries."""
_MAX_WAITING: Final = 1000


@dataclass(slots=True)
class _Outbox:
    """What waits to be sent for one job."""

    messages: list[list[Any]] = field(default_factory=list)
    weight: int = 0
    task: "asyncio.Task[None] | None" = None


_outboxes: "WeakKeyDictionary[asyncio.AbstractEventLoop, dict[UUID, _Outbox]]" = WeakKeyDictionary()


def publish_soon(job_id: UUID, seq: int, item: dict[str, Any], *, weight: int) -> None:
    """Queue what was stored under ``seq`` for the job's subscribers; call it on the event loop, after the commit."""
    boxes = _outboxes.setdefault(asyncio.get_running_loop(), {})
    box = boxes.setdefault(job_id, _Outbox())
    box.weight += weight
    if len(box.messages) < _MAX_WAITING:
        box.messages.append([seq, item if box.weight <= _MAX_WEIGHT else None])
    if box.task is None:
        box.task = asyncio.create_task(_send(boxes, job_id, box))


async def _send(boxes: dict[UUID, _Outbox], job_id: UUID, box: _Outbox) -> None:
    """Send until nothing new came during one interval."""
    topic = job_topic(job_id)
    try:
        while box.messages:
            messages, box.messages, box.weight = box.messages, [], 0
            try:
                layer = get_channel_layer()
                assert layer is not None
                message = {"type": MESSAGE_TYPE, "topic": topic, "data": {"messages": messages}}
                await asyncio.wait_for(layer.group_send(group_name(topic), message), _SEND_TIMEOUT_S)
            except Exception as error:  # noqa: BLE001 - a hint may be lost, whatever the reason
                log.warning("live message lost", topic=topic, error=str(error))
            await asyncio.sleep(INTERVAL_S)
    finally:
        boxes.pop(job_id, None)

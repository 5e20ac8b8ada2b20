"""Putting work on the broker after commit. The broker carries hints: a failure is logged and never fails the caller.

Whatever must happen is repeated by the scheduler from the database's state, so a lost message costs time only.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import structlog
from celery import current_app
from django.db import transaction

from workers.contract.queues import CONTROL_QUEUE

log = structlog.get_logger(__name__)


def send_after_commit(
    task: str,
    *,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    queue: str = CONTROL_QUEUE,
    expires_s: float | None = None,
    delay_s: float = 0.0,
) -> None:
    """Send the task named ``task`` to ``queue`` when the current transaction has committed.

    Arguments are JSON values: ids, never state. ``expires_s`` drops a message that nobody took in time.
    """
    options = {"args": list(args), "kwargs": dict(kwargs or {}), "queue": queue, "expires": expires_s}
    transaction.on_commit(partial(_send, task, {**options, "countdown": delay_s or None}), robust=True)


def _send(task: str, options: dict[str, Any]) -> None:
    try:
        current_app.send_task(task, ignore_result=True, **options)
    except Exception as error:  # noqa: BLE001 - the broker may be down: the scheduler will see to it
        log.warning("hint lost", task=task, queue=options["queue"], error=str(error))

"""Hints: on the node's own queue after the commit, and never in the way when the broker is down."""

import base64
import json
import time
from typing import Any

import pytest
import redis
from django.conf import settings
from django.db import transaction

from apps.core.models import new_id
from apps.jobs import hints
from tests.apps.jobs.simulation import wait_until
from workers.contract.queues import NODE_HINT_TASK, node_queue

pytestmark = pytest.mark.django_db(transaction=True)


def messages(queue: str) -> list[dict[str, Any]]:
    client = redis.Redis.from_url(settings.BROKER_URL)
    try:
        waiting: Any = client.lrange(queue, 0, -1)
        return [json.loads(item) for item in waiting]
    finally:
        client.close()


def test_hint_is_on_the_nodes_queue_after_the_commit() -> None:
    name, allocation_id = f"n-{new_id().hex}", new_id()
    with transaction.atomic():
        hints.hint_offer(node_name=name, allocation_id=allocation_id)
        time.sleep(0.2)
        assert messages(node_queue(name)) == []
    wait_until(lambda: len(messages(node_queue(name))) == 1)
    (message,) = messages(node_queue(name))
    assert message["headers"]["task"] == NODE_HINT_TASK
    assert message["headers"]["expires"] is not None
    args, _, _ = json.loads(base64.b64decode(message["body"]))
    assert args == ["offer", str(allocation_id)]


def test_rolled_back_transaction_sends_no_hint() -> None:
    name = f"n-{new_id().hex}"
    with transaction.atomic():
        hints.hint_news(node_name=name, allocation_id=new_id())
        transaction.set_rollback(True)
    time.sleep(0.3)
    assert messages(node_queue(name)) == []


def test_broker_that_is_down_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        time.sleep(1)
        raise ConnectionError("the broker is down")

    monkeypatch.setattr("celery.app.base.Celery.send_task", fail)
    started = time.monotonic()
    for _ in range(20):
        hints.hint_offer(node_name="n1", allocation_id=new_id())
    assert time.monotonic() - started < 0.5

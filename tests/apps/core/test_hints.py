"""Tasks on the broker: after commit, on the named queue, and never in the way."""

import json
from typing import Any

import pytest
import redis
from celery import current_app
from django.conf import settings
from django.db import transaction

from apps.core.hints import send_after_commit

QUEUE = "test-hints"


@pytest.fixture
def broker() -> Any:
    """Return the broker's Redis, with the test's queue empty."""
    client = redis.Redis.from_url(settings.BROKER_URL)
    client.delete(QUEUE)
    yield client
    client.delete(QUEUE)
    client.close()


@pytest.mark.django_db(transaction=True)
def test_task_is_sent_once_committed(broker: Any) -> None:
    with transaction.atomic():
        send_after_commit("cox.test", args=["id"], kwargs={"n": 1}, queue=QUEUE, expires_s=30)
        assert broker.llen(QUEUE) == 0
    message = json.loads(broker.lpop(QUEUE))
    assert message["headers"]["task"] == "cox.test"
    assert message["headers"]["expires"]
    assert message["content-type"] == "application/json"


@pytest.mark.django_db(transaction=True)
def test_nothing_is_sent_after_a_rollback(broker: Any) -> None:
    with transaction.atomic():
        send_after_commit("cox.test", queue=QUEUE)
        transaction.set_rollback(True)
    assert broker.llen(QUEUE) == 0


@pytest.mark.django_db(transaction=True)
def test_broker_away_never_reaches_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    with current_app.connection_for_write("redis://127.0.0.1:1/0") as dead:
        monkeypatch.setattr(current_app, "connection_for_write", lambda *args, **kwargs: dead)
        monkeypatch.setattr(current_app.amqp, "_producer_pool", None)
        with transaction.atomic():
            send_after_commit("cox.test", queue=QUEUE)

"""Hints to browsers: after commit, in order, and never in the way."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from channels.layers import BaseChannelLayer, channel_layers, get_channel_layer
from django.db import connection, transaction

from apps.core import live


def closing_connection(action: Callable[[], None]) -> Callable[[], None]:
    """Give the thread's database connection back when ``action`` is done."""

    def run() -> None:
        try:
            action()
        finally:
            connection.close()

    return run


async def receive(topic: str, action: Callable[[], None], count: int) -> list[dict[str, Any]]:
    """Join the topic's group, run ``action`` in a thread, return the next messages."""
    layer = get_channel_layer()
    assert layer is not None
    channel = await layer.new_channel()
    await layer.group_add(live.group_name(topic), channel)
    await asyncio.to_thread(closing_connection(action))
    found = [await asyncio.wait_for(layer.receive(channel), 10) for _ in range(count)]
    await layer.group_discard(live.group_name(topic), channel)
    return found


@pytest.mark.django_db(transaction=True)
def test_messages_arrive_in_order_after_commit() -> None:
    topic = live.job_topic(uuid4())

    def write() -> None:
        with transaction.atomic():
            live.publish(topic, {"n": 0})
            live.publish(topic, {"n": 1})
        live.publish(topic, {"n": 2})

    messages = asyncio.run(receive(topic, write, 3))
    assert [message["data"]["n"] for message in messages] == [0, 1, 2]
    assert {(message["type"], message["topic"]) for message in messages} == {(live.MESSAGE_TYPE, topic)}


@pytest.mark.django_db(transaction=True)
def test_rolled_back_message_is_not_sent() -> None:
    topic = live.job_topic(uuid4())

    def write() -> None:
        with transaction.atomic():
            live.publish(topic, {"n": "rolled back"})
            transaction.set_rollback(True)
        live.publish(topic, {"n": "kept"})

    (message,) = asyncio.run(receive(topic, write, 1))
    assert message["data"] == {"n": "kept"}


@pytest.mark.django_db(transaction=True)
def test_redis_away_never_reaches_the_caller(settings: Any) -> None:
    layers = {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": {"hosts": ["redis://127.0.0.1:1"]}}
    settings.CHANNEL_LAYERS = {"default": layers}
    channel_layers.backends.clear()
    try:
        with transaction.atomic():
            for number in range(3):
                live.publish("job:x", {"n": number})
    finally:
        channel_layers.backends.clear()


def test_group_names_fit_the_channel_layer() -> None:
    for topic in (live.job_topic(uuid4()), live.jobs_topic(uuid4()), "x" * 200, "a:b/c d"):
        assert BaseChannelLayer().require_valid_group_name(live.group_name(topic))

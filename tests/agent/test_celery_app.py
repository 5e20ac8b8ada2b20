"""The agent as its own process under Celery, with a real Redis that comes and goes."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from celery import Celery

from coxswain.stack.redis import RedisServer
from tests.agent.conftest import make_order, wait_for
from tests.agent.processes import AgentProcess
from tests.agent.stub_server import ControlPlane
from workers.contract.node_api import Outcome
from workers.contract.queues import HINT_NEWS, HINT_OFFER, NODE_HINT_TASK, node_queue


@pytest.fixture
def redis(tmp_path_factory: pytest.TempPathFactory, admit_others: Callable[[Path], None]) -> Iterator[RedisServer]:
    root = tmp_path_factory.mktemp("redis")
    admit_others(root)  # as root the server runs as another user
    server = RedisServer(root / "data", password="secret")
    yield server
    server.stop()


def send_hint(redis: RedisServer, kind: str, allocation_id: object) -> None:
    """Send a hint as the control plane does: by names alone."""
    app = Celery(broker=redis.url(1), set_as_current=False)
    app.conf.task_default_queue = "unused"
    app.send_task(
        NODE_HINT_TASK, args=(kind, str(allocation_id)), queue=node_queue("node-a"), expires=30, ignore_result=True
    )
    app.close()


@pytest.mark.faults
def test_hint_acts_at_once_and_twice_is_once(plane: ControlPlane, agent: AgentProcess, redis: RedisServer) -> None:
    plane.heartbeat_s, plane.broker_url = 60.0, redis.url(1)
    with redis:
        agent.start()
        wait_for(lambda: plane.heartbeats)
        stored = plane.add(make_order([["metrics", 3, 0.01], ["wait_stop"], ["finish", True]]))
        for _ in range(2):
            send_hint(redis, HINT_OFFER, stored.order.allocation_id)
        wait_for(lambda: stored.is_running)
        plane.heartbeats.clear()
        stored.wish = "stop"  # type: ignore[assignment]
        send_hint(redis, HINT_NEWS, stored.order.allocation_id)
        send_hint(redis, "nonsense", stored.order.allocation_id)
        wait_for(lambda: stored.exit)
        assert stored.exit is not None
        assert stored.exit.outcome is Outcome.STOPPED
        assert stored.claims == 1
        assert agent.stop() == 0


@pytest.mark.faults
def test_node_works_with_redis_down_from_the_start_and_hears_hints_when_it_comes(
    plane: ControlPlane, agent: AgentProcess, redis: RedisServer
) -> None:
    plane.broker_url = redis.url(1)
    agent.start()
    first = plane.add(make_order([["metrics", 3, 0.01], ["finish"]]))
    wait_for(lambda: first.exit)  # by heartbeat alone
    plane.heartbeat_s = 60.0
    with redis:
        time.sleep(0.5)
        second = plane.add(make_order([["finish"]]))
        deadline = time.monotonic() + 20
        while second.exit is None and time.monotonic() < deadline:
            send_hint(redis, HINT_OFFER, second.order.allocation_id)
            time.sleep(0.5)
        assert second.exit is not None
    third = plane.add(make_order([["finish"]]))
    wait_for(lambda: third.exit)
    assert agent.stop() == 0


@pytest.mark.faults
def test_sigterm_with_redis_down_ends_the_agent_and_leaves_no_process(plane: ControlPlane, agent: AgentProcess) -> None:
    agent.start()
    stored = plane.add(make_order([["print", "hi"], ["sleep", 60]]))
    wait_for(lambda: stored.is_running)
    descendants = agent.descendants()
    assert len(descendants) >= 3
    assert agent.stop() == 0
    assert not any(process.is_running() and process.status() != "zombie" for process in descendants)
    assert stored.exit is not None
    assert (stored.exit.outcome, stored.exit.failure_kind) == (Outcome.FAILED, "retryable")
    assert stored.exit.reason == "the agent was stopped"


def test_agent_imports_neither_torch_nor_the_control_plane(agent: AgentProcess) -> None:
    loaded = agent.imports("workers.agent.__main__")
    # kombu itself looks at django.utils where Django is installed; its applications and models are another matter.
    forbidden = (
        "torch",
        "transformers",
        "rest_framework",
        "channels",
        "django.db",
        "django.apps",
        "apps",
        "controlplane",
    )
    assert not [name for name in loaded for prefix in forbidden if name == prefix or name.startswith(f"{prefix}.")]
    assert "workers.runtime" not in loaded

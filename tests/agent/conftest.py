"""Nodes in this process against the stub server, and the orders they are given."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest

from tests.agent.processes import AgentProcess
from tests.agent.stub_server import JOIN_TOKEN, ControlPlane
from workers.agent.node import Node
from workers.agent.settings import AgentSettings, Timing
from workers.contract.generation import GenerateSpec
from workers.contract.node_api import InputRef, LaunchOrder

TINY = ("--entry", "tests.agent.tiny_rank:run", "--preload", "tests.agent.tiny_rank:preload")
FAST = Timing(kill_grace_s=0.3, stop_grace_s=1.0, drain_grace_s=3.0, retry_first_s=0.05, retry_last_s=0.2)


def make_order(
    steps: Sequence[Sequence[object]], *, slots: int = 2, fence: int = 1, inputs: tuple[InputRef, ...] = ()
) -> LaunchOrder:
    """An order for tiny ranks."""
    return LaunchOrder(
        allocation_id=uuid4(),
        job_id=uuid4(),
        attempt_id=uuid4(),
        attempt_number=1,
        fence=fence,
        spec=GenerateSpec(model="m_v1", prompt=json.dumps(steps)),
        node_rank=0,
        num_nodes=1,
        slots_per_node=slots,
        device_indices=tuple(range(slots)),
        master_addr="127.0.0.1",
        master_port=1,
        inputs=inputs,
    )


def wait_for(condition: Callable[[], object], *, timeout_s: float = 20.0) -> None:
    """Wait until ``condition`` holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "condition did not come true in time"
        time.sleep(0.01)


@pytest.fixture
def plane() -> Iterator[ControlPlane]:
    with ControlPlane() as plane:
        yield plane


@pytest.fixture
def settings(plane: ControlPlane, tmp_path: Path) -> AgentSettings:
    token_file = tmp_path / "join-token"
    token_file.write_text(JOIN_TOKEN + "\n")
    return AgentSettings(
        server_url=plane.url,
        name="node-a",
        pool="default",
        data_dir=tmp_path / "node",
        join_token_file=token_file,
        slots=4,
        device="cpu",
        forkserver_arguments=TINY,
        timing=FAST,
    )


@pytest.fixture
def start_node(settings: AgentSettings) -> Iterator[Callable[..., Node]]:
    """Start nodes without Celery: everything but hints."""
    with ExitStack() as stack:

        def start(used: AgentSettings = settings) -> Node:
            node = Node(used)
            stopped = threading.Event()

            def stop_once() -> None:
                if not stopped.is_set():
                    stopped.set()
                    Node.stop(node)

            node.stop = stop_once  # type: ignore[method-assign]
            stack.callback(stop_once)
            node.join()
            node.start()
            return node

        yield start


@pytest.fixture
def node(start_node: Callable[..., Node]) -> Node:
    return start_node()


@pytest.fixture
def agent(plane: ControlPlane, tmp_path: Path) -> Iterator[AgentProcess]:
    """An agent process that is not started yet."""
    process = AgentProcess(plane.url, tmp_path)
    yield process
    process.kill()

"""The agent's Celery worker: one queue, one task, no result, nothing held for longer than a moment.

Everything else the node does hangs on this worker by a bootstep, which starts before the broker is contacted: with
the broker down the node goes on, and learns by heartbeat what the hints would have told it.
"""

import logging
import warnings
from typing import Any

from celery import Celery, bootsteps, signals
from celery.exceptions import SecurityWarning
from kombu import Queue

from workers.agent.node import Node
from workers.contract.node_api import JoinReply
from workers.contract.queues import NODE_HINT_TASK, node_queue

log = logging.getLogger(__name__)


def build_app(node: Node, joined: JoinReply) -> Celery:
    """Make the worker's app, with ``node`` as a bootstep."""
    app = Celery("coxswain-agent", broker=joined.broker_url, set_as_current=False)
    # The queue is named by the contract, not by the reply: a server cannot point a node at another's queue.
    queue = node_queue(node.settings.name)
    app.conf.update(
        task_queues=(Queue(queue, routing_key=queue),),
        task_default_queue=queue,
        accept_content=["json"],
        task_serializer="json",
        result_backend=None,
        task_ignore_result=True,
        task_acks_late=False,
        worker_prefetch_multiplier=4,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_redirect_stdouts=False,
        broker_connection_retry=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,  # for ever: the node lives by its heartbeat
        broker_connection_timeout=4,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_transport_options={
            "socket_connect_timeout": 4,
            "socket_keepalive": True,
            "retry_on_timeout": True,
            "max_retries": None,
            "interval_start": 0.2,
            "interval_step": 0.2,
            "interval_max": 2.0,
        },
    )

    @app.task(name=NODE_HINT_TASK, ignore_result=True)
    def hint(kind: str, allocation_id: str | None = None) -> None:
        log.debug("hint %.40r for %.40r", kind, allocation_id)
        node.on_hint(str(kind))

    # Celery would set the root logger to its own level; the agent's log says what happens on the node.
    signals.setup_logging.connect(_keep_logging)

    app.steps["worker"].add(_step_of(node))
    return app


def _keep_logging(**_arguments: object) -> None:
    """Take Celery's place in setting up the log: it is set up already."""


def _step_of(node: Node) -> type[bootsteps.StartStopStep]:
    class NodeStep(bootsteps.StartStopStep):
        """Starts the node's threads with the worker, before the consumer connects to the broker."""

        requires = ("celery.worker.components:Pool",)

        def start(self, parent: Any) -> None:
            node.start()
            log.info("node %s is ready.", node.settings.name)

        def stop(self, parent: Any) -> None:
            node.stop()

        def terminate(self, parent: Any) -> None:
            node.stop()

    return NodeStep


def run_worker(app: Celery, node: Node) -> None:
    """Serve until SIGTERM or SIGINT."""
    # with its level left alone Celery would write a line per hint
    logging.getLogger("celery").setLevel(logging.WARNING)
    # It warns of root because of pickled messages; JSON alone is accepted here, and root is how ranks get other users.
    warnings.simplefilter("ignore", SecurityWarning)
    app.Worker(
        hostname=f"agent@{node.settings.name}",
        pool="threads",
        concurrency=2,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    ).start()

"""Celery queues and task names: the only names the control plane and the agents share on the broker."""

CONTROL_QUEUE = "control"
"""Short background tasks of the control plane itself."""

NODE_HINT_TASK = "cox.node.hint"
"""``hint(kind, allocation_id)`` on a node's queue. Idempotent, acknowledged early, carries no truth:
the agent answers every hint by asking the server (a claim for ``offer``, a heartbeat for ``news``)."""

HINT_OFFER = "offer"
HINT_NEWS = "news"
HINT_EXPIRES_S = 30


def node_queue(name: str) -> str:
    """The queue of one node."""
    return f"node.{name}"

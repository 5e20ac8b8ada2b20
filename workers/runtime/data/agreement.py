"""One rank of each node does a long preparation first; then all ranks learn how it ended on every node.

The notes go through the store, not through a collective: a preparation may take longer than any
collective's timeout. A rank that has failed says why to all others, so each reports the same cause.
"""

import time
from collections.abc import Callable
from typing import Literal, TypeVar

from pydantic import BaseModel
from torch.distributed.distributed_c10d import Store

from workers.runtime.context import RankContext
from workers.runtime.control import StopRequested
from workers.runtime.errors import UserError

_POLL_S = 0.02
_KEY = "coxswain/prepared/{leader}"
_READ_KEY = "coxswain/prepared/read"
_READ_TIMEOUT_S = 10.0

ResultT = TypeVar("ResultT")


class _Note(BaseModel):
    """How a node's preparation ended."""

    outcome: Literal["ready", "stopped", "unusable"]
    text: str = ""


def lead_and_agree(
    context: RankContext, prepare: Callable[[], ResultT], *, identity: Callable[[ResultT], str]
) -> ResultT:
    """Run ``prepare`` on each node's first rank, then on the others, which find its result in the cache.

    ``identity`` names a result's content; it must come out the same on all nodes.

    Raises:
        UserError: the preparation failed on some node, or the nodes' results differ.
        StopRequested: a node was asked to stop meanwhile.
    """
    if context.store is None:
        return prepare()
    result: ResultT | None = None
    if context.env.local_rank == 0:
        result = _lead(context.env.rank, context.store, prepare, identity)
    nodes = range(0, context.env.world_size, context.env.local_world_size)
    notes = [_await_note(context.store, leader) for leader in nodes]
    if any(note.outcome != "ready" for note in notes):
        _await_readers(context)
    for note in notes:
        if note.outcome == "unusable":
            raise UserError(note.text)
    if any(note.outcome == "stopped" for note in notes):
        raise StopRequested
    if len({note.text for note in notes}) > 1:
        raise UserError("data.dataset: the nodes hold different files, or made different tokenizers of them")
    return prepare() if result is None else result


def _lead(
    rank: int, store: Store, prepare: Callable[[], ResultT], identity: Callable[[ResultT], str]
) -> ResultT | None:
    result = None
    try:
        result = prepare()
        note = _Note(outcome="ready", text=identity(result))
    except UserError as error:
        note = _Note(outcome="unusable", text=str(error))
    except StopRequested:
        note = _Note(outcome="stopped")
    store.set(_KEY.format(leader=rank), note.model_dump_json())
    return result


def _await_readers(context: RankContext) -> None:
    """Keep rank 0, with which the store may end, until all have read why the run ends."""
    assert context.store is not None
    num_read = context.store.add(_READ_KEY, 1)
    deadline = time.monotonic() + _READ_TIMEOUT_S
    while context.is_main and num_read < context.env.world_size and time.monotonic() < deadline:
        time.sleep(_POLL_S)
        num_read = context.store.add(_READ_KEY, 0)


def _await_note(store: Store, leader: int) -> _Note:
    key = _KEY.format(leader=leader)
    while not store.check([key]):
        time.sleep(_POLL_S)
    return _Note.model_validate_json(store.get(key))

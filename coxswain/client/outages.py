"""Asking again until the control plane is back: what follows a job for hours outlives a restart of the server."""

import time
from collections.abc import Callable
from typing import TypeVar

from coxswain.client.errors import ApiError, Unreachable

_PAUSE_S = 1.0

ResultT = TypeVar("ResultT")


def outlast(call: Callable[[], ResultT], *, deadline: float | None = None) -> ResultT:
    """Call until the answer is none of an outage; past ``deadline`` (of the monotonic clock) the outage is raised."""
    while True:
        try:
            return call()
        except (Unreachable, ApiError) as error:
            if isinstance(error, ApiError) and error.status < 500:
                raise
            if deadline is not None and time.monotonic() >= deadline:
                raise
        time.sleep(_PAUSE_S)

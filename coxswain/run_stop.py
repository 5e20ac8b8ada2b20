"""Ending at the same step on every rank.

Where the script has a torch process group, its ranks agree through the group's store: a rank that meets the wish
publishes how often it has asked so far and answers no once more. When it asks again, it waits until all have published,
and all stop at the call after the largest number. Nobody can be beyond it, because each waits at the call after its
own, and nobody waits in vain: what a waiting rank owes its peers for their next call it has done already.
"""

import sys
from typing import Any

_WISH = "coxswain/stop"


class StopAgreement:
    """This rank's part in it."""

    def __init__(self) -> None:
        self._calls = 0
        self._published = False
        self._last_call: int | None = None

    def decide(self, *, wished: bool) -> bool:
        """Answer one call; ``wished`` is what this rank has heard itself."""
        self._calls += 1
        group = _process_group()
        if group is None:
            return wished
        store, rank, world_size = group
        if self._last_call is None and self._published:
            keys = [f"{_WISH}/{peer}" for peer in range(world_size)]
            store.wait(keys)
            self._last_call = max(int(store.get(key)) for key in keys) + 1
        if self._last_call is not None:
            return self._calls >= self._last_call
        if wished:
            store.set(_WISH, "1")
        if wished or store.check([_WISH]):
            store.set(f"{_WISH}/{rank}", str(self._calls))
            self._published = True
        return False


def _process_group() -> tuple[Any, int, int] | None:
    """Return the default group's store, this rank and the group's size; None where nobody has to agree."""
    torch = sys.modules.get("torch.distributed")  # a script that has not imported it has no group
    if torch is None or not torch.is_available() or not torch.is_initialized() or torch.get_world_size() == 1:
        return None
    store = getattr(torch.distributed_c10d, "_get_default_store", None)
    return None if store is None else (store(), torch.get_rank(), torch.get_world_size())

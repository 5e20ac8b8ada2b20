"""What the outside wants of one allocation: an order, a wish, an end. Written by many threads, read by its own."""

import threading

from workers.agent.outcome import Verdict
from workers.contract.node_api import LaunchOrder, Outcome, WishKind
from workers.contract.run import FailureKind


class Inbox:
    """The latest of each; nothing that was wished is ever taken back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._order: LaunchOrder | None = None
        self._wish: WishKind | None = None
        self._ending: Verdict | None = None
        self._is_immediate = False
        self.interrupted = threading.Event()
        """Set when what has not been launched yet shall not be."""
        self.is_over = False
        """The server wants no more reports of this attempt."""

    def wait(self, timeout_s: float | None) -> None:
        """Sleep until something changes; a change since the last call returns at once."""
        self._changed.wait(timeout_s)
        self._changed.clear()

    def touch(self) -> None:
        """Wake the reader."""
        self._changed.set()

    @property
    def order(self) -> LaunchOrder | None:
        """What to launch, once the gang is complete."""
        return self._order

    @property
    def wish(self) -> WishKind | None:
        """The strongest wish so far."""
        return self._wish

    @property
    def ending(self) -> Verdict | None:
        """Why the agent ends the ranks, if it does."""
        return self._ending

    @property
    def is_immediate(self) -> bool:
        """Tell whether ranks get no time to save."""
        return self._is_immediate

    def put_order(self, order: LaunchOrder) -> None:
        """The gang is complete."""
        with self._lock:
            if self._order is None:
                self._order = order
        self.touch()

    def put_wish(self, wish: WishKind) -> None:
        """The control plane wants the run to stop or to be killed."""
        with self._lock:
            if self._wish is not WishKind.KILL:
                self._wish = wish
            if wish is WishKind.KILL:
                self._end(Verdict(Outcome.KILLED, reason="killed on request"), is_immediate=True)
            self.interrupted.set()
        self.touch()

    def put_disobeyed(self, reason: str) -> None:
        """The ranks were asked to stop and have not: they are ended, first with the signal that asks again."""
        with self._lock:
            self._end(Verdict(Outcome.KILLED, reason=reason), is_immediate=False)
        self.touch()

    def put_over(self, reason: str) -> None:
        """The attempt is no longer the job's."""
        with self._lock:
            self.is_over = True
            self._end(Verdict.failed(FailureKind.RETRYABLE, reason or "the attempt is over"), is_immediate=True)
        self.touch()

    def put_end(self, reason: str, *, is_immediate: bool) -> None:
        """The agent itself must end the run; the job can go on elsewhere."""
        with self._lock:
            self._end(Verdict.failed(FailureKind.RETRYABLE, reason), is_immediate=is_immediate)
        self.touch()

    def _end(self, verdict: Verdict, *, is_immediate: bool) -> None:
        if self._ending is None or verdict.outcome is Outcome.KILLED:
            self._ending = verdict
        self._is_immediate = self._is_immediate or is_immediate
        self.interrupted.set()

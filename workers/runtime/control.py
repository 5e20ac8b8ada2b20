"""Being asked to stop, and stopping at the same step on every rank.

A wish is the control file or SIGTERM, on any rank. Rank 0 names the last step one ahead through the
process group's store before it begins a step. A rank that begins step S has finished S - 2 (the trainer
lets the device run at most one step behind), whose gradients rank 0 took part in, so it has seen what
rank 0 announced before S - 2: no rank can have gone past the named step. Where ranks train alone for a while,
the next step in which all take part counts in place of the one rank 0 is about to begin.
"""

import signal
from pathlib import Path
from types import FrameType

from pydantic import ValidationError
from torch.distributed.distributed_c10d import Store

from workers.contract.run import ControlFile, StopMode

_STOP_KEY = "coxswain/stop_after"
_WISH_KEY = "coxswain/stop_wish"


class StopRequested(Exception):  # noqa: N818  a wish, not an error
    """The run was asked to stop before its first step; nothing needs saving."""


class StopWatch:
    """Watches for the wish to stop."""

    def __init__(self, output_dir: Path, *, rank: int, store: Store | None) -> None:
        self._path = output_dir / "control.json"
        self._rank = rank
        self._store = store
        self._signalled = False
        self._stop_after: int | None = None
        self._passed_on = False

    def install_signal_handler(self) -> None:
        """Let SIGTERM mean the same as the control file. Main thread only."""
        signal.signal(signal.SIGTERM, self._on_signal)

    def take_over(self, other: "StopWatch") -> None:
        """Install the signal handler in place of ``other``'s and remember what that one has heard."""
        self.install_signal_handler()
        self._signalled = other._signalled

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._signalled = True

    def is_wished(self) -> bool:
        """Tell whether this rank has been asked."""
        return self._signalled or self._read_file()

    def raise_if_wished(self) -> None:
        """Leave a long preparation.

        Raises:
            StopRequested: this rank has been asked to stop.
        """
        if self.is_wished():
            raise StopRequested

    def must_stop_before(self, step: int, *, barrier: int | None = None) -> bool:
        """Tell whether ``step`` must not begin; the answer is the same on every rank. Call before each step.

        ``barrier`` is the first step from ``step`` on that no rank can leave behind before all have begun it; empty
        means ``step`` itself.
        """
        if self._stop_after is None:
            if self._rank == 0:
                self._announce(step, step if barrier is None else barrier)
            else:
                self._listen()
        return self._stop_after is not None and step > self._stop_after

    def _announce(self, step: int, barrier: int) -> None:
        wished = self.is_wished()
        if self._store is None:
            if wished:
                self._stop_after = step - 1
            return
        if wished or self._store.check([_WISH_KEY]):
            self._stop_after = barrier + 1
            self._store.set(_STOP_KEY, str(self._stop_after))

    def _listen(self) -> None:
        assert self._store is not None  # a rank beside rank 0 has peers
        if not self._passed_on and self.is_wished():
            self._store.set(_WISH_KEY, "1")
            self._passed_on = True
        if self._store.check([_STOP_KEY]):
            self._stop_after = int(self._store.get(_STOP_KEY))

    def _read_file(self) -> bool:
        try:
            return ControlFile.model_validate_json(self._path.read_bytes()).stop is StopMode.SAVE
        except FileNotFoundError:
            return False
        except ValidationError:
            return False  # half written: the next step reads it again

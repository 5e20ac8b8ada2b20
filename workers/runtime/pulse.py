"""A rank's pulse: a few bytes, overwritten several times a step, by which others see that it goes on.

The event file does not serve: it may say nothing for as many steps as a report is apart. A beat is one write of some
hundred bytes into the page cache, microseconds beside a pass of the model.
"""

import os
import sys
from pathlib import Path
from types import TracebackType

from workers.contract.run import Pulse

_SIZE_BYTES = 96  # of every record, so that overwriting leaves nothing of an older one


class PulseWriter:
    """Owns one rank's pulse file. Safe from several threads as long as one beats at a time."""

    def __init__(self, output_dir: Path, rank: int) -> None:
        path = output_dir / "events" / f"rank{rank}.pulse"
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        self._count = 0
        self._excused_step = sys.maxsize  # until training begins

    def beat(self, step: int) -> None:
        """Say that the rank goes on with ``step``."""
        self._write(step, is_due=step > self._excused_step)

    def excuse(self, step: int) -> None:
        """Say that what follows ``step`` may take any time, and the next step too, in which a peer may be late."""
        self._excused_step = step + 1
        self._write(step, is_due=False)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def __enter__(self) -> "PulseWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, step: int, *, is_due: bool) -> None:
        self._count += 1
        record = Pulse(count=self._count, step=step, is_due=is_due).model_dump_json().encode()
        os.pwrite(self._fd, record.ljust(_SIZE_BYTES), 0)

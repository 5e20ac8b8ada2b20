"""A line on stderr that tells how far a job is, in a terminal or below a notebook's cell."""

import sys
from types import TracebackType
from typing import Self

from coxswain.client.job import Job


def is_watched() -> bool:
    """Tell whether somebody looks: stderr is a terminal, or this is a notebook."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


class ProgressLine:
    """Rewrites one line; leaves the last state behind."""

    def __init__(self, *, is_shown: bool) -> None:
        self._is_shown = is_shown
        self._width = 0

    def show(self, job: Job) -> None:
        """Write how ``job`` is in place of what was written before."""
        if self._is_shown:
            text = describe(job)
            sys.stderr.write("\r" + text.ljust(self._width))
            sys.stderr.flush()
            self._width = len(text)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._width:
            sys.stderr.write("\n")


def describe(job: Job) -> str:
    """One line: name, state, progress, loss, time left."""
    parts = [f"{job.name} #{job.number}: {job.state}", str(job.progress)]
    loss = (job.latest or {}).get("loss")
    if isinstance(loss, float):
        parts.append(f"loss {loss:.4f}")
    if job.eta_s is not None and not job.is_final:
        parts.append(f"{job.eta_s:.0f} s left")
    return "  ".join(part for part in parts if part)

"""The event file of one rank: numbered lines, each on disk before the next is written.

A reader takes whole lines only, so one that was torn by a kill is cut off when the file is opened again.
"""

import errno
import math
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from workers.contract.run import (
    CheckpointEvent,
    CompletionEvent,
    EventBase,
    FailureEvent,
    FinishedEvent,
    MetricsEvent,
    MetricValue,
    ModelEvent,
    OutputEvent,
    PhaseEvent,
    ProgressEvent,
    ResultEvent,
    ResumedEvent,
)

_TERMINAL = (FailureEvent, FinishedEvent)

__all__ = [
    "CheckpointEvent",
    "CompletionEvent",
    "EventWriter",
    "FailureEvent",
    "FinishedEvent",
    "MetricsEvent",
    "ModelEvent",
    "OutputEvent",
    "PhaseEvent",
    "ProgressEvent",
    "ResultEvent",
    "ResumedEvent",
    "metric_value",
]


def metric_value(value: float) -> MetricValue:
    """Write what JSON has no number for as the contract's strings."""
    if math.isfinite(value):
        return value
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


class EventWriter:
    """Appends events of one rank; safe to call from several threads."""

    def __init__(self, output_dir: Path, rank: int) -> None:
        """Open the rank's file and go on after its last whole line."""
        path = output_dir / "events" / f"rank{rank}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._next = _cut_to_whole_lines(path)
        self._file: BinaryIO = path.open("ab", buffering=0)  # one write per line: a reader never waits for a flush
        self._ended = False

    def emit(self, event_type: type[EventBase], **fields: object) -> None:
        """Append one event. After a terminal event (failure, finished) nothing more is written."""
        with self._lock:
            if self._ended:
                return
            event = event_type.model_validate({"n": self._next, "time_us": time.time_ns() // 1000, **fields})
            self._append(event.model_dump_json().encode() + b"\n")
            self._next += 1
            self._ended = isinstance(event, _TERMINAL)

    def _append(self, line: bytes) -> None:
        """Write a line whole or not at all: half of one would swallow the line after it."""
        before = os.fstat(self._file.fileno()).st_size
        try:
            written = self._file.write(line)
        except OSError:
            self._file.truncate(before)
            raise
        if written != len(line):
            self._file.truncate(before)
            raise OSError(errno.ENOSPC, "no room for an event", self._file.name)

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Append the values of one step."""
        self.emit(MetricsEvent, step=step, values={key: metric_value(value) for key, value in values.items()})

    def phase(self, name: str, progress: float | None = None) -> None:
        """Tell which long sub-step this is, and how far it is, in [0, 1]."""
        self.emit(PhaseEvent, name=name, progress=None if progress is None else min(1.0, max(0.0, progress)))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> "EventWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _cut_to_whole_lines(path: Path) -> int:
    if not path.exists():
        return 0
    num_lines = 0
    whole_bytes = 0
    with path.open("r+b") as file:
        for line in file:
            if not line.endswith(b"\n"):
                break
            num_lines += 1
            whole_bytes += len(line)
        file.truncate(whole_bytes)
    return num_lines

"""Where a step's time goes, without making the device wait for the clock.

On a CPU a mark is a clock reading. On an accelerator it is an event in the stream, read only when a
report is due.
"""

import time
from dataclasses import dataclass, field

import torch


class _Mark:
    """A moment in the device's work."""

    def __init__(self, device: torch.device) -> None:
        self._event: torch.cuda.Event | None = None
        self._time_s = 0.0
        if device.type == "cuda":
            self._event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            self._event.record()
        else:
            self._time_s = time.perf_counter()

    def since(self, other: "_Mark") -> float:
        """Return the seconds from ``other`` to this mark; waits for the device to get here."""
        if self._event is None or other._event is None:
            return self._time_s - other._time_s
        self._event.synchronize()
        return float(other._event.elapsed_time(self._event)) / 1000

    def wait(self) -> None:
        """Block until the device has got here."""
        if self._event is not None:
            self._event.synchronize()


@dataclass
class StepTimer:
    """Collects the spans of the steps since the last report."""

    device: torch.device
    _spans: dict[str, list[tuple[_Mark, _Mark]]] = field(default_factory=dict)
    _data_s: float = 0.0
    _steps: int = 0
    _began_s: float = field(default_factory=time.perf_counter)
    _last: _Mark | None = None
    _last_bucket: _Mark | None = None
    _previous_end: _Mark | None = None

    def begin(self) -> None:
        """Begin a span on the device."""
        self._last = _Mark(self.device)
        self._last_bucket = None

    def end(self, name: str) -> None:
        """End the span begun last and count it as ``name``; the next one begins here."""
        now = _Mark(self.device)
        assert self._last is not None
        self._spans.setdefault(name, []).append((self._last, now))
        self._last = now

    def mark_last_bucket(self) -> None:
        """Note that the last gradient bucket is ready. Called by the communication hook."""
        self._last_bucket = _Mark(self.device)

    def end_backward(self) -> None:
        """End a backward pass; what followed the last bucket's mark was waiting."""
        self.end("backward_time_s")
        if self._last_bucket is not None:
            assert self._last is not None
            self._spans.setdefault("comm_wait_s", []).append((self._last_bucket, self._last))
            self._last_bucket = None

    def add_data(self, seconds: float) -> None:
        """Count time spent on making a batch, which is the host's."""
        self._data_s += seconds

    def end_step(self) -> None:
        """Count a step, and let the device run at most one step behind the host."""
        self._steps += 1
        if self._previous_end is not None:
            self._previous_end.wait()
        self._previous_end = _Mark(self.device)

    def exclude(self, seconds: float) -> None:
        """Leave ``seconds`` of the host's time (validation, saving) out of the step time."""
        self._began_s += seconds

    def restart(self) -> None:
        """Begin a new interval now."""
        self._spans = {}
        self._data_s = 0.0
        self._steps = 0
        self._began_s = time.perf_counter()

    def report(self) -> dict[str, float]:
        """Return seconds per step since the last report, total and by part, and begin anew."""
        steps = max(1, self._steps)
        parts = {name: sum(stop.since(start) for start, stop in spans) / steps for name, spans in self._spans.items()}
        if self._previous_end is not None:
            self._previous_end.wait()
        now = time.perf_counter()
        result = {"step_time_s": (now - self._began_s) / steps, "data_time_s": self._data_s / steps, **parts}
        self.restart()
        return result

"""What the scheduler sends to the control queue again and again. Apps register it in ``AppConfig.ready``.

A task may be sent twice or late, after a restart or by two schedulers: each looks at the tables and does what is due.
"""

import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PeriodicTask:
    """A Celery task without arguments and how often it is wanted, in seconds."""

    name: str
    every_s: float


_registered: dict[str, PeriodicTask] = {}


def register(name: str, *, every_s: float) -> None:
    """Have the task named ``name`` sent every ``every_s`` seconds; registering it again changes the interval."""
    _registered[name] = PeriodicTask(name, every_s)


def registered() -> tuple[PeriodicTask, ...]:
    """Return what was registered, by name."""
    return tuple(_registered[name] for name in sorted(_registered))


class Timetable:
    """Remembers when one scheduler process sent what. A new process sends everything within its first interval."""

    def __init__(self, *, start_delay_s: float = 10.0) -> None:
        self._start = time.monotonic() + start_delay_s
        self._sent: dict[str, float] = {}

    def due(self) -> list[PeriodicTask]:
        """Return the tasks to send now, and count them as sent."""
        now = time.monotonic()
        if now < self._start:
            return []
        due = [task for task in registered() if now - self._sent.get(task.name, -task.every_s) >= task.every_s]
        self._sent.update({task.name: now for task in due})
        return due

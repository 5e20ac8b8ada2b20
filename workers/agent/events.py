"""Events of the ranks on their way to the server. The files are the spool: what is not acknowledged is read again.

Two readers' interests share a file. Metrics go out in batches [start, stop) of event numbers, checked by the server's
mark; everything else is handed on, one by one, in order.
"""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

from pydantic import ValidationError

from workers.contract.node_api import MetricsBatch, MetricSeries
from workers.contract.run import EVENT_ADAPTER, Event, MetricsEvent, MetricValue

_READ_BYTES = 1 << 20
MAX_POINTS = 1000

log = logging.getLogger(__name__)


class EventFile:
    """Complete lines of one rank's file, from wherever reading left off."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def rewind(self) -> None:
        """Read from the beginning again."""
        self._offset = 0

    def read(self) -> list[Event]:
        """Return the next events, about a mebibyte of lines at most; empty when there is nothing new."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read(_READ_BYTES)
                while data and b"\n" not in data and (more := file.read(_READ_BYTES)):
                    data += more  # one line longer than the buffer: a manifest of very many files
        except FileNotFoundError:
            return []
        complete, newline, _ = data.rpartition(b"\n")
        self._offset += len(complete) + len(newline)
        return list(self._parse(complete))

    def _parse(self, data: bytes) -> Iterator[Event]:
        for line in data.split(b"\n"):
            if not line.strip():
                continue
            try:
                yield EVENT_ADAPTER.validate_json(line)
            except ValidationError as error:
                # The numbers in the lines keep count, so the range that is acknowledged covers the gap.
                log.warning("%s: skipping an unreadable line: %s", self._path, error)


class RankEvents:
    """One rank's events: metrics to batches, the rest to ``on_event``, each event once per life of the agent."""

    def __init__(self, rank: int, path: Path, *, mark: int, on_event: Callable[[int, Event], None]) -> None:
        self.rank = rank
        self.mark = mark
        """The first event whose metrics are not acknowledged."""
        self._file = EventFile(path)
        self._on_event = on_event
        self._seen = 0
        """The first event that was not yet handed on."""
        self._pending: list[Event] = []

    def next_batch(self) -> MetricsBatch | None:
        """Read what is new and cut a batch; None while there are no unsent points."""
        self._fill()
        batch = cut_batch(self.rank, self.mark, self._pending)
        return batch if batch.series else None

    def acknowledge(self, mark: int) -> None:
        """Drop what the server has, or read again what it lacks."""
        if mark < self.mark:
            self._pending = []
            self._file.rewind()
        self.mark = mark
        self._pending = [event for event in self._pending if event.n >= mark]

    def _fill(self) -> None:
        if sum(len(event.values) for event in self._pending if isinstance(event, MetricsEvent)) >= MAX_POINTS:
            return
        for event in self._file.read():
            if event.n >= self._seen:
                self._seen = event.n + 1
                if not isinstance(event, MetricsEvent):
                    self._on_event(self.rank, event)
            if event.n >= self.mark:
                self._pending.append(event)


def cut_batch(rank: int, start: int, events: list[Event]) -> MetricsBatch:
    """Make one batch of the first events: by columns, at most ``MAX_POINTS`` points unless one event has more."""
    columns: dict[str, tuple[list[int], list[int], list[MetricValue]]] = {}
    num_points, stop = 0, start
    for event in events:
        if isinstance(event, MetricsEvent):
            if num_points and num_points + len(event.values) > MAX_POINTS:
                break
            num_points += len(event.values)
            for key, value in event.values.items():
                steps, times_us, values = columns.setdefault(key, ([], [], []))
                steps.append(event.step)
                times_us.append(event.time_us)
                values.append(value)
        stop = event.n + 1
    series = tuple(
        MetricSeries(key=key, steps=tuple(steps), times_us=tuple(times_us), values=tuple(values))
        for key, (steps, times_us, values) in columns.items()
    )
    return MetricsBatch(rank=rank, start=start, stop=stop, series=series)

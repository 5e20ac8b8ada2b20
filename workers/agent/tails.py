"""Threads that follow the ranks' files and send what they find: one for metrics, one for logs.

Each goes on until everything is acknowledged after ``finish``. A server that cannot be reached holds a thread up but
loses nothing: what is not acknowledged stays in the files.
"""

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from workers.agent.api import GaveUp, LogBatch, MarkMismatch, NodeApi, NotFound, Refused, Retry, StaleFence
from workers.agent.events import RankEvents
from workers.agent.redaction import Redactor
from workers.agent.settings import Timing
from workers.agent.state import StateFile
from workers.contract.node_api import LogStream, MarkReply, MetricsBatch

LOG_BATCH_BYTES = 256 * 1024
_MAX_MISMATCHES = 20

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TailContext:
    """What both tails need."""

    allocation_id: UUID
    api: NodeApi
    retry: Retry
    state: StateFile
    on_over: Callable[[str], None]
    on_bug: Callable[[str], None]


class Tail(ABC):
    """A thread that polls until it is told to finish and nothing is left."""

    def __init__(self, name: str, context: TailContext, *, poll_s: float) -> None:
        self._poll_s = poll_s
        self._allocation_id = context.allocation_id
        self._api = context.api
        self._retry = context.retry
        self._state = context.state
        self._on_over = context.on_over
        self._on_bug = context.on_bug
        self._is_finishing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.is_complete = False
        """Everything was acknowledged, or the server wants none of it."""

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def finish(self) -> None:
        """The files will not grow any more: send the rest and end."""
        self._is_finishing.set()

    def join(self) -> None:
        """Wait until the rest is sent or given up."""
        self._thread.join()

    def _run(self) -> None:
        try:
            while True:
                was_finishing = self._is_finishing.is_set()
                self._sweep(is_last=was_finishing)
                if was_finishing:
                    self.is_complete = True
                    return
                self._is_finishing.wait(self._poll_s)
        except NotFound as error:  # the server has forgotten the allocation: there is no one to send to
            self.is_complete = True
            self._on_over(f"the server does not know this allocation: {error}")
        except GaveUp as error:
            log.warning("%s: unsent data stays on disk: %s", self._thread.name, error)
        except Exception:  # a run that nobody can watch must not go on as if all were well
            log.exception("%s: a bug ended it", self._thread.name)
            self._on_bug(f"a bug in the agent ended {self._thread.name}; see the agent's log")

    @abstractmethod
    def _sweep(self, *, is_last: bool) -> None:
        """Send what is there; all of it when it is the last time."""

    def _heed(self, reply: MarkReply) -> int:
        if reply.attempt_over:
            self._on_over("the attempt is over")
        return reply.mark


class MetricsTail(Tail):
    """Follows the event files of all local ranks."""

    def __init__(self, context: TailContext, ranks: tuple[RankEvents, ...], *, timing: Timing) -> None:
        super().__init__(f"metrics-{context.allocation_id}", context, poll_s=timing.poll_s)
        self._ranks = ranks
        self._coalesce_s = timing.coalesce_s
        self._sent = dict.fromkeys((events.rank for events in ranks), 0.0)

    def _sweep(self, *, is_last: bool) -> None:
        for events in self._ranks:
            while is_last or time.monotonic() - self._sent[events.rank] >= self._coalesce_s:
                batch = events.next_batch()
                if batch is None:
                    break
                self._sent[events.rank] = time.monotonic()
                self._deliver(events, batch)

    def _deliver(self, events: RankEvents, batch: MetricsBatch) -> None:
        try:
            mark = self._heed(self._retry.call(lambda: self._api.send_metrics(self._allocation_id, batch)))
        except MarkMismatch as error:
            log.info("rank %d: cutting again at event %d, not %d", batch.rank, error.reply.mark, batch.start)
            mark = self._heed(error.reply)
        except StaleFence as error:
            self._on_over(str(error))
            mark = batch.stop
        except Refused as error:
            # One bad batch must not hold up all that follow: its range is acknowledged without its points.
            log.warning("rank %d: events [%d, %d) are refused: %s", batch.rank, batch.start, batch.stop, error)
            mark = self._skip(batch)
        events.acknowledge(mark)
        self._state.set_metric_mark(batch.rank, mark)

    def _skip(self, batch: MetricsBatch) -> int:
        empty = batch.model_copy(update={"series": ()})
        try:
            return self._heed(self._retry.call(lambda: self._api.send_metrics(self._allocation_id, empty)))
        except MarkMismatch as error:
            return self._heed(error.reply)
        except (StaleFence, Refused):
            return batch.stop


class LogFile:
    """One captured stream and how far the server has it."""

    def __init__(self, rank: int, stream: LogStream, path: Path, mark: int, redactor: Redactor) -> None:
        self.rank = rank
        self.stream = stream
        self.mark = mark
        self.is_ended = False
        """The end record is acknowledged."""
        self._path = path
        self._redactor = redactor

    @property
    def key(self) -> str:
        """Its name among the marks on disk."""
        return f"{self.rank}.{self.stream.value}"

    def cut(self, *, is_last: bool) -> LogBatch | None:
        """The next bytes, with the end record behind the last of them; None when there is nothing to say."""
        data, size_bytes = b"", 0
        try:
            with self._path.open("rb") as file:
                size_bytes = file.seek(0, 2)
                if self.mark < size_bytes:
                    file.seek(self.mark)
                    data = file.read(LOG_BATCH_BYTES)
        except FileNotFoundError:
            pass  # nothing was captured: the end record still says so
        is_ended = is_last and self.mark + len(data) >= size_bytes
        data = self._redactor.cut(data, is_final=is_ended)
        if not data and not is_ended:
            return None
        return LogBatch(self.rank, self.stream, self.mark, data, is_ended)


class LogTail(Tail):
    """Follows the captured streams of all local ranks, and what the agent itself says about the allocation."""

    def __init__(self, context: TailContext, files: tuple[LogFile, ...], *, timing: Timing) -> None:
        super().__init__(f"logs-{context.allocation_id}", context, poll_s=2 * timing.poll_s)
        self._files = files

    def _sweep(self, *, is_last: bool) -> None:
        for file in self._files:
            mismatches = 0
            while not file.is_ended and (batch := file.cut(is_last=is_last)) is not None:
                if not self._deliver(file, batch):
                    mismatches += 1
                    if mismatches >= _MAX_MISMATCHES:
                        log.error("%s: the server's mark does not settle; giving this stream up", file.key)
                        file.is_ended = True

    def _deliver(self, file: LogFile, batch: LogBatch) -> bool:
        """Send one batch and move the mark; False when it has to be cut again."""
        is_settled = True
        try:
            mark = self._heed(self._retry.call(lambda: self._api.send_logs(self._allocation_id, batch)))
            file.is_ended = batch.is_ended
        except MarkMismatch as error:
            mark = self._heed(error.reply)
            is_settled = False
        except StaleFence as error:
            self._on_over(str(error))
            mark = batch.start + len(batch.data)
            file.is_ended = batch.is_ended
        except Refused as error:
            log.warning("%s: the server refuses bytes from %d: %s", file.key, batch.start, error)
            mark = batch.start
            file.is_ended = True  # what follows cannot be stored without what was refused
        file.mark = mark
        self._state.set_mark(self._state.state.log_marks, file.key, mark)
        return is_settled

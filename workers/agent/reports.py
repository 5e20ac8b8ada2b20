"""Reports about one allocation: small ones in order at once, checkpoints and models after their files are uploaded.

Two lanes, so that an upload of minutes holds up neither progress nor phases. Each lane is a thread with a queue; what
it has delivered is remembered on disk, so a restarted agent goes on where it stopped (reports repeat safely).
"""

import logging
import os
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from workers.agent.api import GaveUp, NodeApi, NotFound, Refused, Retry, StaleFence
from workers.agent.beneath import UnsafeFile, open_beneath
from workers.agent.launch import AllocationPaths
from workers.agent.state import StateFile
from workers.agent.uploads import Uploader, UploadFailed
from workers.contract.manifest import Manifest, is_safe_path
from workers.contract.node_api import (
    CheckpointReport,
    CompletionReport,
    ModelReport,
    OutputReport,
    PhaseReport,
    ProgressReport,
    Report,
    ResultReport,
    ResumedReport,
    WishKind,
)
from workers.contract.run import (
    CheckpointEvent,
    CompletionEvent,
    Event,
    ModelEvent,
    OutputEvent,
    PhaseEvent,
    ProgressEvent,
    ResultEvent,
    ResumedEvent,
)

# With this many newer checkpoints waiting, an older one that is not the best will never be resumed from.
_NEWER_CHECKPOINTS = 2
_WITH_FILES = CheckpointEvent | ModelEvent | OutputEvent

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Item:
    """One report in a lane; ``key`` and ``n`` say which event it came from, if any did."""

    report: Report
    key: str | None = None
    n: int = 0
    upload_from: Path | None = None
    is_staged: bool = False


@dataclass(frozen=True)
class LaneContext:
    """What both lanes need."""

    allocation_id: UUID
    api: NodeApi
    retry: Retry
    state: StateFile
    on_over: Callable[[str], None]
    on_wish: Callable[[WishKind], None]
    on_bug: Callable[[str], None]
    say: Callable[[str], None]


class Lane:
    """A queue of reports and the thread that delivers them in order."""

    def __init__(self, name: str, context: LaneContext, *, progress_s: float) -> None:
        self.name = name
        self._context = context
        self._progress_s = progress_s
        self._queue: deque[Item] = deque()
        self._progress: Item | None = None
        self._progress_sent = 0.0
        self._changed = threading.Condition()
        self._is_finishing = False
        self._is_over = False
        self.is_complete = False
        self.undelivered: list[str] = []
        """Reports that the server did not take, and why."""
        self._uploader = Uploader(context.api, context.allocation_id, context.retry)
        self._thread = threading.Thread(target=self._run, name=f"{name}-{context.allocation_id}", daemon=True)

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def put(self, item: Item) -> None:
        """Append a report; of progress, of the run or within a phase, only the newest is kept."""
        with self._changed:
            if isinstance(item.report, ProgressReport):
                self._progress = item
            else:
                if self._queue and _is_renewed(self._queue[-1].report, item.report):
                    self._queue.pop()
                self._queue.append(item)
            self._changed.notify()

    def finish(self) -> None:
        """Nothing more comes: deliver the rest and end."""
        with self._changed:
            self._is_finishing = True
            self._changed.notify()

    def abandon(self) -> None:
        """The attempt is over: its reports are of no use."""
        with self._changed:
            self._is_over = True
            self._changed.notify()

    def join(self) -> None:
        """Wait until the rest is delivered or given up."""
        self._thread.join()

    def _run(self) -> None:
        try:
            while (item := self._next()) is not None:
                self._handle(item)
            self.is_complete = True
        except GaveUp as error:
            log.warning("%s: undelivered reports are read from the events again: %s", self._thread.name, error)
        except Exception:  # a run whose reports nobody gets must not go on as if all were well
            log.exception("%s: a bug ended it", self._thread.name)
            self._context.on_bug(f"a bug in the agent ended {self._thread.name}; see the agent's log")

    def _next(self) -> Item | None:
        with self._changed:
            while not self._is_over:
                if self._queue:
                    return self._queue.popleft()
                wait_s = None
                if self._progress is not None:
                    wait_s = self._progress_sent + self._progress_s - time.monotonic()
                    if wait_s <= 0 or self._is_finishing:
                        item, self._progress = self._progress, None
                        self._progress_sent = time.monotonic()
                        return item
                elif self._is_finishing:
                    return None
                self._changed.wait(wait_s)
            return None

    def _handle(self, item: Item) -> None:
        context = self._context
        try:
            self._deliver(item)
        except (StaleFence, NotFound) as error:
            self.abandon()
            context.on_over(str(error))
        except UploadFailed as error:
            context.say(f"the files of a {item.report.type} were not delivered: {error}")
            self.undelivered.append(f"{item.report.type}: {error}")
        except Refused as error:
            context.say(f"the server refuses a {item.report.type} report: {error}")
            self.undelivered.append(f"{item.report.type}: {error}")
        if item.is_staged and item.upload_from is not None:
            shutil.rmtree(item.upload_from, ignore_errors=True)  # hard links: the runtime's own files stay
        if item.key is not None:
            context.state.set_mark(context.state.state.reported, item.key, item.n + 1)

    def _deliver(self, item: Item) -> None:
        context = self._context
        if item.upload_from is not None:
            if self._is_superseded(item):
                context.say(f"skipped the upload of {item.upload_from.name}: newer checkpoints wait")
                return
            self._upload(item, item.upload_from)
        reply = context.retry.call(lambda: context.api.report(context.allocation_id, item.report))
        if reply.wish is not None:
            context.on_wish(reply.wish)

    def _upload(self, item: Item, directory: Path) -> None:
        assert isinstance(item.report, CheckpointReport | ModelReport | OutputReport)  # only these have files
        started = time.monotonic()
        self._uploader.send_all(directory, item.report.manifest)
        size_bytes = sum(file.size_bytes for file in item.report.manifest.files)
        self._context.say(f"uploaded {directory.name}: {size_bytes / 1e6:.1f} MB in {time.monotonic() - started:.1f} s")

    def _is_superseded(self, item: Item) -> bool:
        """Tell whether a checkpoint is not worth its upload. A part always is: without it the others' are in vain."""
        if not isinstance(item.report, CheckpointReport) or item.report.is_best or item.report.num_parts > 1:
            return False
        with self._changed:
            newer = sum(isinstance(waiting.report, CheckpointReport) for waiting in self._queue)
        return newer >= _NEWER_CHECKPOINTS


def _is_renewed(waiting: Report, newer: Report) -> bool:
    """Tell whether ``newer`` says of the same phase how far it is by now."""
    return isinstance(waiting, PhaseReport) and isinstance(newer, PhaseReport) and waiting.name == newer.name


class Reporter:
    """Turns events into reports, in the right lane."""

    def __init__(self, context: LaneContext, paths: AllocationPaths, *, fence: int, progress_s: float) -> None:
        self._context = context
        self._paths = paths
        self._fence = fence
        self._quick = Lane("report", context, progress_s=progress_s)
        self._slow = Lane("upload", context, progress_s=progress_s)

    def start(self) -> None:
        """Start both lanes."""
        self._quick.start()
        self._slow.start()

    def put(self, report: Report) -> None:
        """Report something that came from no event."""
        self._quick.put(Item(report))

    def put_results(self, manifest: Manifest, directory: Path) -> None:
        """Upload and report what a script left."""
        report = OutputReport(fence=self._fence, time_us=time.time_ns() // 1000, manifest=manifest)
        self._slow.put(Item(report, upload_from=directory))

    @property
    def undelivered_results(self) -> str | None:
        """Why what a script left is not stored; None when it is."""
        return next((text for text in self._slow.undelivered if text.startswith("output: ")), None)

    def on_event(self, rank: int, event: Event) -> None:
        """Queue the report an event calls for, unless an earlier life of the agent delivered it."""
        lane = self._slow if isinstance(event, _WITH_FILES) else self._quick
        key = f"{lane.name}.{rank}"
        if event.n < self._context.state.state.reported.get(key, 0):
            return
        if isinstance(event, _WITH_FILES):
            self._put_files(key, event)
            return
        report = self._quick_report(event)
        if report is not None:
            lane.put(Item(report, key, event.n))

    def abandon(self) -> None:
        """Deliver nothing more."""
        self._quick.abandon()
        self._slow.abandon()

    def finish(self) -> bool:
        """Deliver the rest; True when it was."""
        for lane in (self._quick, self._slow):
            lane.finish()
        for lane in (self._quick, self._slow):
            lane.join()
        return self._quick.is_complete and self._slow.is_complete

    def _quick_report(self, event: Event) -> Report | None:
        fence, time_us = self._fence, event.time_us
        if isinstance(event, PhaseEvent):
            return PhaseReport(fence=fence, time_us=time_us, name=event.name, progress=event.progress)
        if isinstance(event, ProgressEvent):
            return ProgressReport(fence=fence, time_us=time_us, step=event.step, total_steps=event.total_steps)
        if isinstance(event, ResumedEvent):
            return ResumedReport(fence=fence, time_us=time_us, step=event.step)
        if isinstance(event, CompletionEvent):
            return CompletionReport(fence=fence, time_us=time_us, completions=event.completions)
        if isinstance(event, ResultEvent):
            return ResultReport(fence=fence, time_us=time_us, result=event.result)
        return None  # failure and finished are told by the exit report

    def _files_report(self, event: CheckpointEvent | ModelEvent | OutputEvent) -> Report:
        fence, time_us = self._fence, event.time_us
        if isinstance(event, OutputEvent):
            return OutputReport(fence=fence, time_us=time_us, manifest=event.manifest)
        if isinstance(event, ModelEvent):
            return ModelReport(
                fence=fence,
                time_us=time_us,
                manifest=event.manifest,
                metrics=event.metrics,
                num_parameters=event.num_parameters,
            )
        return CheckpointReport(
            fence=fence,
            time_us=time_us,
            step=event.step,
            manifest=event.manifest,
            metrics=event.metrics,
            is_best=event.is_best,
            part=event.part,
            num_parts=event.num_parts,
        )

    def _put_files(self, key: str, event: CheckpointEvent | ModelEvent | OutputEvent) -> None:
        report = self._files_report(event)
        if not all(is_safe_path(path) for path in (event.directory, *(file.path for file in event.manifest.files))):
            self._context.say(f"ignored a {report.type} with an unsafe path in {event.directory!r}")
            return
        directory = self._paths.output / event.directory
        staged = self._paths.staged / event.directory.replace("/", "--")
        try:
            stage(self._paths.output, event.directory, staged, [file.path for file in event.manifest.files])
        except UnsafeFile as error:
            self._context.say(f"ignored a {report.type}: {error}")
            return
        except FileNotFoundError:
            self._context.say(f"{event.directory} was deleted by its run before it could be uploaded")
            return
        except OSError as error:  # a file system without hard links: upload in place
            log.info("cannot stage %s: %s", directory, error)
            shutil.rmtree(staged, ignore_errors=True)
            self._slow.put(Item(report, key, event.n, directory))
            return
        self._slow.put(Item(report, key, event.n, staged, is_staged=True))


def stage(output: Path, directory: str, staged: Path, files: list[str]) -> None:
    """Hold files by hard links, so that a run which prunes its checkpoints cannot take them away.

    The run may be changing what it wrote: nothing but a plain file below ``output`` is held.

    Raises:
        UnsafeFile: one of them is something else.
        FileNotFoundError: one of them is gone already.
        OSError: the file system has no hard links.
    """
    for name in files:
        target = staged / name
        if target.exists():
            continue  # held by an earlier life of the agent
        target.parent.mkdir(parents=True, exist_ok=True)
        fd = open_beneath(output, f"{directory}/{name}")
        try:
            os.link(output / directory / name, target, follow_symlinks=False)
            if not os.path.samestat(os.fstat(fd), target.lstat()):
                target.unlink()
                raise UnsafeFile(f"{name!r} was replaced while it was read")
        finally:
            os.close(fd)

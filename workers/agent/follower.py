"""All that carries one allocation's words to the server: metrics, reports, logs."""

import logging
from collections.abc import Callable
from functools import partial

from workers.agent.api import NodeApi, Retry
from workers.agent.events import RankEvents
from workers.agent.inbox import Inbox
from workers.agent.launch import AllocationPaths, local_ranks
from workers.agent.outcome import LastWords
from workers.agent.redaction import Redactor
from workers.agent.reports import LaneContext, Reporter
from workers.agent.settings import Timing
from workers.agent.state import StateFile
from workers.agent.tails import LogFile, LogTail, MetricsTail, TailContext
from workers.contract.node_api import LaunchOrder, LogStream
from workers.contract.run import Event, FailureEvent, FinishedEvent

AGENT_RANK = -1
"""The agent's own words about an allocation are logged as this rank."""

log = logging.getLogger(__name__)


class Follower:
    """Follows the files of the local ranks until they are drained."""

    def __init__(
        self,
        order: LaunchOrder,
        paths: AllocationPaths,
        *,
        api: NodeApi,
        timing: Timing,
        state: StateFile,
        inbox: Inbox,
        retry: Retry,
        redactor: Redactor,
        say: Callable[[str], None],
    ) -> None:
        ranks = local_ranks(order)
        on_bug = partial(inbox.put_end, is_immediate=True)
        lanes = LaneContext(
            allocation_id=order.allocation_id,
            api=api,
            retry=retry,
            state=state,
            on_over=self._on_over,
            on_wish=inbox.put_wish,
            on_bug=on_bug,
            say=say,
        )
        tail = TailContext(
            allocation_id=order.allocation_id,
            api=api,
            retry=retry,
            state=state,
            on_over=self._on_over,
            on_bug=on_bug,
        )
        self._inbox = inbox
        self.last_words: dict[int, LastWords] = {}
        self.reporter = Reporter(lanes, paths, fence=order.fence, progress_s=timing.progress_s)
        marks = state.state
        events = tuple(
            RankEvents(rank, paths.events(rank), mark=marks.metric_marks.get(rank, 0), on_event=self._on_event)
            for rank in ranks
        )
        self._metrics = MetricsTail(tail, events, timing=timing)
        streams = [(rank, stream) for rank in ranks for stream in LogStream]
        files = tuple(
            LogFile(rank, stream, paths.log(rank, stream), marks.log_marks.get(f"{rank}.{stream}", 0), redactor)
            for rank, stream in [*streams, (AGENT_RANK, LogStream.STDOUT)]
        )
        self._logs = LogTail(tail, files, timing=timing)

    def start(self) -> None:
        """Begin to follow."""
        self.reporter.start()
        self._metrics.start()
        self._logs.start()

    def drain(self) -> bool:
        """Send the rest: metrics, then what the events call for, then logs (the agent's own come last)."""
        self._metrics.finish()
        self._metrics.join()
        is_reported = self.reporter.finish()
        self._logs.finish()
        self._logs.join()
        return self._metrics.is_complete and is_reported and self._logs.is_complete

    def _on_event(self, rank: int, event: Event) -> None:
        if isinstance(event, FailureEvent | FinishedEvent):
            self.last_words[rank] = event
        else:
            self.reporter.on_event(rank, event)

    def _on_over(self, reason: str) -> None:
        if not self._inbox.is_over:
            log.info("the attempt is over: %s", reason)
        self.reporter.abandon()
        self._inbox.put_over(reason)

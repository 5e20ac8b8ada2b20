"""One allocation from claim to exit report, in a thread of its own.

claim -> (wait for the gang) -> fetch inputs -> launch -> supervise -> send the rest -> report the exit -> forget.
What an earlier life of the agent left behind enters at "send the rest".
"""

import logging
import shutil
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from workers.agent.api import ApiError, GaveUp, NodeApi, NotFound, Refused, Retry, StaleFence
from workers.agent.cache import BadInput, FetchProgress, InputCache
from workers.agent.devices import RendezvousPort
from workers.agent.follower import AGENT_RANK, Follower
from workers.agent.gang import Gang
from workers.agent.inbox import Inbox
from workers.agent.launch import AllocationPaths, LaunchPlan, NodeFacts, local_ranks, plan_launch
from workers.agent.outcome import RankExit, Verdict, judge
from workers.agent.redaction import Redactor
from workers.agent.reports import Reporter
from workers.agent.runtime_cache import RuntimeCache
from workers.agent.scripts.errands import Interrupted
from workers.agent.scripts.program import NotStartable, ScriptNode, ScriptProgram
from workers.agent.settings import Timing
from workers.agent.state import Phase, StateFile
from workers.agent.supervision import Supervisor
from workers.agent.vitals import RankVitals
from workers.agent.warm import SIGKILL_CODE, WarmRanks
from workers.contract.node_api import (
    AllocationStatus,
    ClaimRequest,
    ExitReport,
    InputRef,
    LaunchOrder,
    LogStream,
    Outcome,
    PhaseReport,
    RunningReport,
)
from workers.contract.run import FailureEvent, FailureKind, FinishedEvent
from workers.contract.scripting import ScriptSpec

_DOWNLOAD_REPORT_S = 0.5

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class NodeServices:
    """What every allocation of this node shares."""

    api: NodeApi
    cache: InputCache
    runtime_cache: RuntimeCache
    warm: WarmRanks
    facts: NodeFacts
    scripts: ScriptNode
    address: str
    timing: Timing


class Allocation:
    """One node's share of an attempt."""

    def __init__(
        self,
        services: NodeServices,
        paths: AllocationPaths,
        state: StateFile,
        *,
        is_recovered: bool,
        on_done: Callable[[UUID], None],
    ) -> None:
        self.id = state.state.allocation_id
        self.fence = state.state.fence
        self.inbox = Inbox()
        self._services = services
        self._paths = paths
        self._state = state
        self._is_recovered = is_recovered
        self._is_claimed = is_recovered
        self._on_done = on_done
        self._abandoned = threading.Event()
        self._ranks_over = threading.Event()
        self._retry = Retry(services.timing.retry_first_s, services.timing.retry_last_s, self._abandoned)
        self._gang = Gang(self.inbox.touch)
        self._redactor = Redactor()
        self._script: ScriptProgram | None = None
        self._port: RendezvousPort | None = None
        self._thread = threading.Thread(target=self._run, name=f"allocation-{self.id}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def join(self, timeout_s: float) -> None:
        """Wait for the end."""
        self._thread.join(timeout_s)

    def wait_for_ranks(self, timeout_s: float) -> None:
        """Wait until no rank of it runs any more, or never will."""
        self._ranks_over.wait(timeout_s)

    def abandon(self) -> None:
        """Stop sending: what is left stays on disk for the agent's next life."""
        self._abandoned.set()

    @property
    def status(self) -> AllocationStatus | None:
        """What the heartbeat says of it; None before the claim is granted.

        An allocation whose ranks have ended is still running to the server until its exit is reported: the rest
        of its files and words is on the way. One whose attempt is over has ended with its ranks.
        """
        if not self._is_claimed:
            return None
        phase = self._state.state.phase
        state: Phase = "running" if phase == "ended" and not self.inbox.is_over else phase
        return AllocationStatus(allocation_id=self.id, fence=self.fence, state=state)

    def _run(self) -> None:
        try:
            is_accounted_for = self._recover() if self._is_recovered else self._live()
            if is_accounted_for:
                shutil.rmtree(self._paths.root, ignore_errors=True)
        except Exception:
            log.exception("allocation %s: a bug ended its supervision", self.id)
            self._gang.signal(signal.SIGKILL)
        finally:
            self._ranks_over.set()
            self._services.cache.release(self.id)
            if self._script is not None:
                self._script.close()
            if self._port is not None:
                self._port.release()
            self._on_done(self.id)
        self._services.runtime_cache.trim()

    def _live(self) -> bool:
        """Run it all; True when nothing is left to tell the server."""
        order = self._claim()
        if order is None:
            return True
        self._state.state.order = order
        self._state.save()
        self._script = self._make_script(order)
        follower = self._follow(order)
        verdict = self._launch(order, follower.reporter)
        if verdict is None:
            self._supervise()
        if self._script is not None and (results := self._script.finish()) is not None:
            follower.reporter.put_results(results, self._script.results)
        self._state.state.phase = "ended"
        self._state.save()
        self._ranks_over.set()
        if not follower.drain():
            return False
        exits = self._gang.exits
        return self._report_exit(verdict or self._judge(exits, follower), exits)

    def _judge(self, exits: tuple[RankExit, ...], follower: Follower) -> Verdict:
        """Decide how the ranks that were started have ended."""
        if self._script is not None:
            return self._script.judge(
                exits,
                wish=self.inbox.wish,
                ending=self.inbox.ending,
                undelivered_results=follower.reporter.undelivered_results,
            )
        return judge(exits, follower.last_words, interruption=self.inbox.ending)

    def _make_script(self, order: LaunchOrder) -> ScriptProgram | None:
        """A script has a program of its own; everything else is run by the runtime."""
        if not isinstance(order.spec, ScriptSpec):
            return None
        return ScriptProgram(
            self._services.scripts,
            order,
            self._paths,
            redactor=self._redactor,
            is_interrupted=self.inbox.interrupted.is_set,
            say=self._say,
        )

    def _recover(self) -> bool:
        """Tell what is left of an allocation whose ranks ended with the agent's earlier life."""
        self._ranks_over.set()
        order = self._state.state.order
        restarted = Verdict.failed(FailureKind.RETRYABLE, "the agent restarted")
        if order is None:
            return self._report_exit(restarted, ())
        if (script := self._make_script(order)) is not None:
            script.recover()
        follower = self._follow(order)
        if not follower.drain():
            return False
        exits = tuple(
            RankExit(
                rank,
                0 if isinstance(follower.last_words.get(rank), FinishedEvent) else SIGKILL_CODE,
                was_signalled_by_agent=True,
            )
            for rank in local_ranks(order)
        )
        has_failed = any(isinstance(words, FailureEvent) for words in follower.last_words.values())
        verdict = judge(exits, follower.last_words, interruption=None if has_failed else restarted)
        return self._report_exit(verdict, exits)

    def _claim(self) -> LaunchOrder | None:
        """Take the allocation and wait until its gang is complete; None when it is not to be."""
        if self.inbox.order is not None:  # granted in an earlier life, and repeated by the heartbeat
            self._is_claimed = True
            return self.inbox.order
        self._port = RendezvousPort(self._services.address)
        request = ClaimRequest(fence=self.fence, master_addr=self._services.address, master_port=self._port.port)
        retry = Retry(self._retry.first_s, self._retry.last_s, self.inbox.interrupted)
        try:
            reply = retry.call(lambda: self._services.api.claim(self.id, request))
        except (ApiError, GaveUp) as error:
            log.info("allocation %s is not ours: %s", self.id, error)
            return None
        self._is_claimed = True
        self._state.save()
        if reply.order is not None:
            return reply.order
        while self.inbox.order is None and not self.inbox.interrupted.is_set():
            self.inbox.wait(None)
        if self.inbox.order is None and not self.inbox.is_over:
            self._report_exit(self._interruption(), ())
        return self.inbox.order

    def _follow(self, order: LaunchOrder) -> Follower:
        follower = Follower(
            order,
            self._paths,
            api=self._services.api,
            timing=self._services.timing,
            state=self._state,
            inbox=self.inbox,
            retry=self._retry,
            redactor=self._redactor,
            say=self._say,
        )
        follower.start()
        return follower

    def _launch(self, order: LaunchOrder, reporter: Reporter) -> Verdict | None:
        """Fetch and start; None when the ranks run, otherwise how it ended without them."""
        try:
            inputs: dict[str, Path] = {ref.role: self._fetch(ref, reporter) for ref in order.inputs}
            if self.inbox.interrupted.is_set():
                return self._interruption()
            plan = self._plan(order, inputs)
            started = time.monotonic()
            self._gang.start(plan, self._services.warm, warm_wait_s=self._services.timing.warm_wait_s)
        except (GaveUp, Interrupted):
            return self._interruption()
        except StaleFence as error:
            self.inbox.put_over(str(error))
            return self._interruption()
        except (BadInput, NotStartable) as error:
            kind = FailureKind.USER if isinstance(error, NotStartable) else FailureKind.SYSTEM
            return Verdict.failed(kind, str(error))
        except OSError as error:
            return Verdict.failed(FailureKind.SYSTEM, f"the ranks could not be started: {error}")
        self._state.state.processes = self._gang.records
        self._state.state.phase = "running"
        self._state.save()
        pids = tuple(record.pid for record in self._gang.records)
        reporter.put(RunningReport(fence=self.fence, time_us=now_us(), pids=pids, warm=self._gang.is_warm))
        manner = "warm" if self._gang.is_warm else "cold"
        self._say(f"started {len(plan.ranks)} ranks {manner} in {time.monotonic() - started:.3f} s")
        return None

    def _plan(self, order: LaunchOrder, inputs: dict[str, Path]) -> LaunchPlan:
        if self._script is None:
            return plan_launch(order, paths=self._paths, inputs=inputs, node=self._services.facts)
        retry = Retry(self._retry.first_s, self._retry.last_s, self.inbox.interrupted)
        return self._script.prepare(inputs, retry)

    def _fetch(self, ref: InputRef, reporter: Reporter) -> Path:
        reported = 0.0

        def on_progress(progress: FetchProgress) -> None:
            nonlocal reported
            if time.monotonic() - reported >= _DOWNLOAD_REPORT_S:
                reported = time.monotonic()
                share = progress.done_bytes / progress.total_bytes if progress.total_bytes else 1.0
                reporter.put(PhaseReport(fence=self.fence, time_us=now_us(), name="download", progress=share))

        retry = Retry(self._retry.first_s, self._retry.last_s, self.inbox.interrupted)
        return self._services.cache.fetch(self.id, ref, retry=retry, on_progress=on_progress)

    def _interruption(self) -> Verdict:
        """How an allocation ends whose ranks were never started."""
        return self.inbox.ending or Verdict(Outcome.STOPPED, reason="stopped before its ranks were started")

    def _supervise(self) -> None:
        """Wait for the ranks; pass wishes on, and end all of them when one has failed."""
        timing = self._services.timing
        if self._script is not None:
            timing = self._script.timing(timing)
        vitals = RankVitals(self._paths.pulse, timing)
        Supervisor(
            self._gang,
            self.inbox,
            vitals,
            control=self._paths.control,
            timing=timing,
            say=self._say,
        ).run()

    def _report_exit(self, verdict: Verdict, exits: tuple[RankExit, ...]) -> bool:
        """Say the last word; True when the server has it or does not want it."""
        report = ExitReport(
            fence=self.fence,
            time_us=now_us(),
            outcome=verdict.outcome,
            failure_kind=verdict.failure_kind,
            reason=self._redactor.text(verdict.reason),
            traceback=self._redactor.text(verdict.traceback),
            exit_codes=tuple(entry.code for entry in sorted(exits, key=lambda entry: entry.rank)),
        )
        log.info("allocation %s ended: %s %s", self.id, verdict.outcome, verdict.reason)
        try:
            self._retry.call(lambda: self._services.api.report(self.id, report))
        except (StaleFence, NotFound) as error:
            log.info("allocation %s: its exit is no news: %s", self.id, error)
        except Refused as error:
            log.warning("allocation %s: its exit report is refused: %s", self.id, error)
        except GaveUp:
            return False
        return True

    def _say(self, text: str) -> None:
        """Write a line into the allocation's own log, which the user sees."""
        path = self._paths.log(AGENT_RANK, LogStream.STDOUT)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8") as file:
                file.write(f"agent: {text}\n")
        except OSError as error:  # a full disk: what is said is worth less than what is done
            log.warning("allocation %s: %s (unsaid: %s)", self.id, error, text)


def now_us() -> int:
    """Microseconds since the epoch."""
    return time.time_ns() // 1000

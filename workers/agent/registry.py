"""All allocations this node holds, and what the server's heartbeat reply means for them."""

import logging
import shutil
import threading
import time
from uuid import UUID

from workers.agent.allocation import Allocation, NodeServices
from workers.agent.launch import AllocationPaths
from workers.agent.privacy import close_directory
from workers.agent.processes import kill_orphans, read_boot_id, wait_until_gone
from workers.agent.settings import AgentSettings
from workers.agent.state import AllocationState, StateFile, read_state
from workers.contract.node_api import AllocationStatus, HeartbeatReply, LaunchOrder

_DEATH_TIMEOUT_S = 10.0  # a rank that dies writing to a slow disk takes a while

log = logging.getLogger(__name__)


class Registry:
    """Safe to use from several threads; everything it is told may be told twice."""

    def __init__(self, settings: AgentSettings, services: NodeServices) -> None:
        self._settings = settings
        self._services = services
        self._lock = threading.Lock()
        self._allocations: dict[UUID, Allocation] = {}
        self._is_closed = False

    def recover(self) -> None:
        """Kill what an earlier life of the agent left running, and finish telling the server about it."""
        root = self._settings.allocations_dir
        root.mkdir(parents=True, exist_ok=True)
        for directory in sorted(root.iterdir()):
            paths = AllocationPaths(directory)
            state = read_state(paths.state)
            if state is None:  # the agent died before the claim was granted: nobody waits for it
                shutil.rmtree(directory, ignore_errors=True)
                continue
            killed = kill_orphans(state.processes, boot_id=state.boot_id)
            if killed:
                log.warning("killed processes of allocation %s that nobody owned: %s", state.allocation_id, killed)
            for pid in killed:
                if not wait_until_gone(pid, timeout_s=_DEATH_TIMEOUT_S):
                    log.error("process %d of allocation %s cannot be killed", pid, state.allocation_id)
            state.phase = "ended"
            self._begin(paths, state, is_recovered=True)

    def statuses(self) -> tuple[AllocationStatus, ...]:
        """What the heartbeat tells the server."""
        with self._lock:
            allocations = list(self._allocations.values())
        return tuple(status for allocation in allocations if (status := allocation.status) is not None)

    def heed(self, reply: HeartbeatReply, reported: tuple[AllocationStatus, ...]) -> None:
        """Act on everything open for this node."""
        for offer in reply.offers:
            self._offer(offer.allocation_id, offer.fence)
        for order in reply.orders:
            self._offer(order.allocation_id, order.fence, order=order)
        for wish in reply.wishes:
            allocation = self._find(wish.allocation_id)
            if allocation is not None and allocation.fence == wish.fence:
                allocation.inbox.put_wish(wish.kind)
        live = set(reply.live)
        for status in reported:  # only what this reply answers: an allocation may have begun since
            allocation = self._find(status.allocation_id)
            if allocation is not None and status.allocation_id not in live and status.state != "ended":
                allocation.inbox.put_over("the control plane no longer lists this attempt")

    def end_all(self, reason: str, *, is_immediate: bool) -> None:
        """End every run; the jobs can go on elsewhere."""
        with self._lock:
            allocations = list(self._allocations.values())
        for allocation in allocations:
            allocation.inbox.put_end(reason, is_immediate=is_immediate)

    def close(self) -> None:
        """End every run with a chance to save, send what can be sent in time, leave the rest for the next life."""
        with self._lock:
            self._is_closed = True
            allocations = list(self._allocations.values())
        timing = self._services.timing
        self.end_all("the agent was stopped", is_immediate=False)
        limit = time.monotonic() + timing.stop_grace_s + _DEATH_TIMEOUT_S
        for allocation in allocations:
            allocation.wait_for_ranks(max(0.0, limit - time.monotonic()))
        limit = time.monotonic() + timing.drain_grace_s
        for allocation in allocations:
            allocation.join(max(0.0, limit - time.monotonic()))
        for allocation in allocations:
            allocation.abandon()
        for allocation in allocations:
            allocation.join(timing.drain_grace_s)

    def _find(self, allocation_id: UUID) -> Allocation | None:
        with self._lock:
            return self._allocations.get(allocation_id)

    def _offer(self, allocation_id: UUID, fence: int, *, order: LaunchOrder | None = None) -> None:
        """Begin an allocation unless it is known already; ``order`` is there when its gang is complete."""
        paths = AllocationPaths(self._settings.allocations_dir / str(allocation_id))
        state = AllocationState(allocation_id=allocation_id, fence=fence, boot_id=read_boot_id())
        self._begin(paths, state, is_recovered=False, order=order)

    def _begin(
        self, paths: AllocationPaths, state: AllocationState, *, is_recovered: bool, order: LaunchOrder | None = None
    ) -> None:
        with self._lock:
            known = self._allocations.get(state.allocation_id)
            if known is None and not self._is_closed:
                paths.root.mkdir(parents=True, exist_ok=True)
                close_directory(paths.root, self._settings.rank_user)
                file = StateFile(paths.state, state, save_every_s=self._services.timing.state_save_s)
                allocation = Allocation(self._services, paths, file, is_recovered=is_recovered, on_done=self._forget)
                self._allocations[state.allocation_id] = allocation
                if order is not None:
                    allocation.inbox.put_order(order)
                allocation.start()
        if known is not None and order is not None:
            known.inbox.put_order(order)

    def _forget(self, allocation_id: UUID) -> None:
        with self._lock:
            self._allocations.pop(allocation_id, None)

"""The heartbeat: over HTTP, so that neither Redis nor Celery decides whether a node lives."""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from workers.agent.api import ApiError, NodeApi, NotFound, Refused, TokenRefused
from workers.agent.devices import measure_host
from workers.agent.processes import read_boot_id
from workers.agent.registry import Registry
from workers.agent.warm import WarmRanks
from workers.contract import CONTRACT_VERSION
from workers.contract.node_api import HeartbeatReply, HeartbeatRequest, JoinReply

_REJOIN_EVERY_S = 30.0

log = logging.getLogger(__name__)


class Heartbeat:
    """A thread that beats at an interval, and at once when something happened."""

    def __init__(
        self,
        *,
        api: NodeApi,
        registry: Registry,
        warm: WarmRanks,
        joined: JoinReply,
        data_dir: Path,
        rejoin: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._registry = registry
        self._warm = warm
        self._joined = joined
        self._data_dir = data_dir
        self._rejoin = rejoin
        self._clock = clock
        self._boot_id = read_boot_id()
        self._contact = clock()
        self._rejoined = -_REJOIN_EVERY_S
        self._is_orphaned = False
        self._wake = threading.Event()
        self._is_stopped = False
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    def stop(self) -> None:
        """Beat no more."""
        self._is_stopped = True
        self._wake.set()
        self._thread.join(timeout=10)

    def now(self) -> None:
        """Beat at once: there is news at the server, or here."""
        self._wake.set()

    def beat(self) -> HeartbeatReply | None:
        """Beat once and act on the reply; None when there was none."""
        reported = self._registry.statuses()
        usage = measure_host(self._data_dir)
        request = HeartbeatRequest(
            contract_version=CONTRACT_VERSION,
            boot_id=self._boot_id,
            allocations=reported,
            cpu_pct=usage.cpu_pct,
            memory_used_bytes=usage.memory_used_bytes,
            disk_free_bytes=usage.disk_free_bytes,
            forkserver_ready=self._warm.is_ready,
        )
        try:
            reply = self._api.heartbeat(request)
        except TokenRefused as error:
            log.warning("the server refuses this node's token: %s", error)
            self._join_again()
            self._check_orphaned()
            return None
        except (ApiError, NotFound, Refused) as error:
            log.warning("no heartbeat: %s", error)
            self._check_orphaned()
            return None
        self._contact = self._clock()
        self._is_orphaned = False
        self._registry.heed(reply, reported)
        return reply

    def _run(self) -> None:
        while not self._is_stopped:
            try:
                self.beat()
            except Exception:
                log.exception("a bug in the heartbeat; it goes on")
            self._wake.wait(self._joined.heartbeat_s)
            self._wake.clear()

    def _join_again(self) -> None:
        if self._clock() - self._rejoined < _REJOIN_EVERY_S:
            return
        self._rejoined = self._clock()
        self._rejoin()

    def _check_orphaned(self) -> None:
        """Ranks of a node that has long lost the control plane are most likely running elsewhere by now."""
        silence_s = self._clock() - self._contact
        if silence_s > self._joined.orphan_timeout_s and not self._is_orphaned:
            self._is_orphaned = True
            log.error("no contact with the control plane for %.0f s: ending all ranks", silence_s)
            self._registry.end_all(f"no contact with the control plane for {silence_s:.0f} s", is_immediate=False)

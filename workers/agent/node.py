"""The agent as one object: everything that runs beside Celery, started and stopped by its bootstep."""

import fcntl
import logging
import os
import threading

from workers.agent.allocation import NodeServices
from workers.agent.api import GaveUp, NodeApi, Retry
from workers.agent.cache import InputCache
from workers.agent.devices import discover_devices, find_address, find_interface
from workers.agent.heartbeat import Heartbeat
from workers.agent.identity import CannotJoin, Identity
from workers.agent.launch import NodeFacts, inherit_env
from workers.agent.privacy import close_to_others
from workers.agent.registry import Registry
from workers.agent.runtime_cache import RuntimeCache
from workers.agent.scripts.program import make_script_node
from workers.agent.settings import AgentSettings
from workers.agent.warm import WarmRanks
from workers.contract.node_api import JoinReply
from workers.contract.queues import HINT_NEWS, HINT_OFFER

log = logging.getLogger(__name__)


class AlreadyRunning(Exception):  # noqa: N818  named for what happened
    """Another agent works in this data directory."""


class Node:
    """One node of the cluster. Construct, ``join``, then ``start`` and ``stop`` once."""

    def __init__(self, settings: AgentSettings) -> None:
        """Take the data directory.

        Raises:
            AlreadyRunning: another agent has it.
            NoSuchDevice: the node cannot offer what it was told to.
        """
        self.settings = settings
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        self._lock_fd = _lock(settings)
        close_to_others(settings)
        self._stopping = threading.Event()
        self._devices = discover_devices(settings.device, settings.slots)
        self._address = settings.address or find_address(settings.server_url)
        self._api = NodeApi(settings.server_url)
        self._identity = Identity(settings, devices=self._devices, address=self._address)
        self._warm = WarmRanks(
            arguments=settings.forkserver_arguments,
            env=inherit_env(os.environ),
            log_path=settings.data_dir / "forkserver.log",
        )
        self._registry: Registry | None = None
        self._heartbeat: Heartbeat | None = None

    def join(self) -> JoinReply:
        """Become part of the cluster; waits for a server that is down.

        Raises:
            CannotJoin: the server refuses this node.
        """
        # The fork server's imports and the join take their time side by side.
        self._warm.start()
        retry = Retry(self.settings.timing.retry_first_s, self.settings.timing.retry_last_s, self._stopping)
        joined = self._identity.obtain(self._api, retry)
        facts = self._facts()
        services = NodeServices(
            api=self._api,
            cache=InputCache(self.settings.cache_dir, limit_bytes=self.settings.cache_bytes, api=self._api),
            runtime_cache=RuntimeCache(self.settings.runtime_cache_dir, limit_bytes=self.settings.runtime_cache_bytes),
            warm=self._warm,
            facts=facts,
            scripts=make_script_node(
                self.settings.scripts,
                data_dir=self.settings.data_dir,
                api=self._api,
                facts=facts,
                address=self._address,
            ),
            address=self._address,
            timing=self.settings.timing,
        )
        self._registry = Registry(self.settings, services)
        self._heartbeat = Heartbeat(
            api=self._api,
            registry=self._registry,
            warm=self._warm,
            joined=joined,
            data_dir=self.settings.data_dir,
            rejoin=self._rejoin,
        )
        return joined

    def start(self) -> None:
        """Finish what an earlier life left, then serve."""
        assert self._registry is not None  # join comes first
        assert self._heartbeat is not None
        self._registry.recover()
        self._heartbeat.start()
        log.info("node %s serves %d slots at %s", self.settings.name, len(self._devices), self._address)

    def stop(self) -> None:
        """End the ranks with a chance to save, send what can be sent, and leave no process behind. Twice is once."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        if self._registry is not None:
            self._registry.close()
        if self._heartbeat is not None:
            self._heartbeat.stop()
        self._warm.stop()
        self._api.close()
        os.close(self._lock_fd)

    def on_hint(self, kind: str) -> None:
        """Ask the server at once: a hint says only that it is worth it."""
        if kind not in {HINT_OFFER, HINT_NEWS}:
            log.warning("ignoring a hint of unknown kind %.40r", kind)
            return
        if self._heartbeat is not None:
            self._heartbeat.now()

    def _facts(self) -> NodeFacts:
        return NodeFacts(
            device_kind=self._devices[0].kind,
            cpu_count=os.cpu_count() or 1,
            num_slots=len(self._devices),
            runtime_cache=self.settings.runtime_cache_dir,
            interface=find_interface(self._address),
            inherited_env=self._warm.env,
            rank_user=self.settings.rank_user,
            collective_timeout_s=self.settings.collective_timeout_s,
        )

    def _rejoin(self) -> None:
        once = threading.Event()
        once.set()  # the heartbeat comes round again by itself
        try:
            self._identity.join(self._api, Retry(0.0, 0.0, once))
        except (CannotJoin, GaveUp) as error:
            log.warning("cannot join again: %s", error)


def _lock(settings: AgentSettings) -> int:
    """Hold the data directory for the life of the process; the kernel lets go of it even after kill -9."""
    fd = os.open(settings.data_dir / "agent.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        raise AlreadyRunning(f"another agent works in {settings.data_dir}") from error
    return fd

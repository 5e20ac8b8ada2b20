"""The node's fork server as the agent holds it: started, watched, asked for ranks, replaced when the code changes."""

import contextlib
import hashlib
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from pydantic import ValidationError

import workers
from workers.agent.processes import signal_group, wait_until_gone
from workers.contract.forkserver import (
    REPLY_ADAPTER,
    ExitedReply,
    ForkedReply,
    ForkFailedReply,
    ForkRequest,
    ReadyReply,
    Reply,
    Request,
    RetireRequest,
)

FORKSERVER_FD = 3
SIGKILL_CODE = -int(signal.SIGKILL)
_FORK_TIMEOUT_S = 10.0
_DEATH_TIMEOUT_S = 5.0
_BACKOFF_FIRST_S, _BACKOFF_LAST_S = 1.0, 60.0

log = logging.getLogger(__name__)

ExitCallback = Callable[[int], None]


class ForkFailed(Exception):  # noqa: N818  named for what happened
    """The fork server did not start a rank."""


def digest_code(root: Path) -> str:
    """Identify the Python code below ``root`` by names, sizes and times of change; reads no file."""
    lines = []
    for path in sorted(root.rglob("*.py")):
        status = path.stat()
        lines.append(f"{path.relative_to(root)} {status.st_size} {status.st_mtime_ns}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@dataclass
class _Waiting:
    """A fork that was asked for."""

    pid: "Future[int]"
    on_exit: ExitCallback


class ForkServerProcess:
    """One life of a fork server. Its replies are read by a thread of its own."""

    def __init__(self, arguments: tuple[str, ...], env: Mapping[str, str], log_path: Path) -> None:
        self.ready = threading.Event()
        self.dead = threading.Event()
        self.started = time.monotonic()
        self._lock = threading.Lock()
        self._waiting: dict[str, _Waiting] = {}
        self._ranks: dict[int, ExitCallback] = {}
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket = ours
        command = (sys.executable, "-m", "workers.runtime.forkserver", *arguments)
        append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        with theirs:
            self.pid = os.posix_spawn(
                command[0],
                command,
                dict(env),
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 1, str(log_path), append, 0o644),
                    (os.POSIX_SPAWN_DUP2, 1, 2),
                    (os.POSIX_SPAWN_DUP2, theirs.fileno(), FORKSERVER_FD),
                ],
                setsid=True,  # a Ctrl-C in the terminal is the agent's to handle
            )
        self._reader = threading.Thread(target=self._read, name=f"forkserver-{self.pid}", daemon=True)
        self._reader.start()

    def fork(self, request: ForkRequest, on_exit: ExitCallback) -> int:
        """Start a rank; its pid. ``on_exit`` gets its exit code once, from the reader's thread.

        Raises:
            ForkFailed: no rank was started.
        """
        waiting = _Waiting(Future(), on_exit)
        with self._lock:
            if self.dead.is_set():
                raise ForkFailed("the fork server is gone")
            self._waiting[request.request_id] = waiting
        self._send(request)
        try:
            return waiting.pid.result(timeout=_FORK_TIMEOUT_S)
        except FutureTimeout:
            with self._lock:
                self._waiting.pop(request.request_id, None)
            if waiting.pid.done():  # it answered while we gave up
                return waiting.pid.result()
            raise ForkFailed(f"the fork server did not answer in {_FORK_TIMEOUT_S:g} s") from None

    def retire(self) -> None:
        """Let it end after its last rank."""
        self._send(RetireRequest())

    def close(self) -> None:
        """End it and its ranks now."""
        with contextlib.suppress(OSError):  # it was gone already
            self._socket.shutdown(socket.SHUT_RDWR)
        self._reader.join(timeout=10)

    def _send(self, request: Request) -> None:
        try:
            with self._lock:
                self._socket.sendall(request.model_dump_json().encode() + b"\n")
        except OSError as error:
            log.debug("the fork server's socket is closed: %s", error)  # the reader sees it and answers everyone

    def _read(self) -> None:
        with self._socket.makefile("rb") as stream:
            try:
                for line in stream:
                    self._handle(REPLY_ADAPTER.validate_json(line))
            except (OSError, ValidationError) as error:
                log.warning("fork server %d: %s", self.pid, error)
        self._bury()

    def _handle(self, reply: Reply) -> None:
        if isinstance(reply, ReadyReply):
            log.info("fork server %d is ready after %.1f s of imports", self.pid, reply.import_s)
            self.ready.set()
        elif isinstance(reply, ForkedReply):
            with self._lock:
                waiting = self._waiting.pop(reply.request_id, None)
                if waiting is not None:
                    self._ranks[reply.pid] = waiting.on_exit
                    waiting.pid.set_result(reply.pid)
            if waiting is None:  # nobody waits for it any more
                signal_group(reply.pid, signal.SIGKILL)
        elif isinstance(reply, ForkFailedReply):
            with self._lock:
                refused = self._waiting.pop(reply.request_id, None)
            if refused is not None:
                refused.pid.set_exception(ForkFailed(reply.message))
        elif isinstance(reply, ExitedReply):
            with self._lock:
                on_exit = self._ranks.pop(reply.pid, None)
            if on_exit is not None:
                on_exit(reply.code)

    def _bury(self) -> None:
        """The server is gone, and its ranks with it: they get SIGKILL from the kernel, and once more from here."""
        with self._lock:
            self.dead.set()
            waiting, self._waiting = list(self._waiting.values()), {}
            ranks, self._ranks = self._ranks, {}
        self._socket.close()
        for entry in waiting:
            entry.pid.set_exception(ForkFailed("the fork server died"))
        for pid in ranks:
            signal_group(pid, signal.SIGKILL)
        self._wait_for_server()
        for pid, on_exit in ranks.items():
            wait_until_gone(pid, timeout_s=_DEATH_TIMEOUT_S)
            on_exit(SIGKILL_CODE)

    def _wait_for_server(self) -> None:
        """Reap the server, which may still be importing and so not see the closed socket."""
        with contextlib.suppress(ChildProcessError, ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)
            if not wait_until_gone(self.pid, timeout_s=_DEATH_TIMEOUT_S):
                os.kill(self.pid, signal.SIGKILL)
            _, status = os.waitpid(self.pid, 0)
            log.info("fork server %d ended with code %d", self.pid, os.waitstatus_to_exitcode(status))


class WarmRanks:
    """Keeps one fork server ready, whatever happens to it."""

    def __init__(
        self, *, arguments: tuple[str, ...], env: Mapping[str, str], log_path: Path, code_root: Path | None = None
    ) -> None:
        self.env = dict(env)
        self._arguments = arguments
        self._log_path = log_path
        self._code_root = code_root or Path(workers.__file__).parent
        self._lock = threading.Lock()
        self._current: ForkServerProcess | None = None
        self._retired: list[ForkServerProcess] = []
        self._code = ""
        self._stop = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="forkserver-keeper", daemon=True)

    def start(self) -> None:
        """Start the first server and the thread that replaces dead ones."""
        self._spawn()
        self._keeper.start()

    def stop(self) -> None:
        """End every server and the ranks it forked."""
        self._stop.set()
        self._keeper.join(timeout=10)
        with self._lock:
            servers = [*self._retired, *([self._current] if self._current is not None else [])]
        for server in servers:
            server.close()

    @property
    def is_ready(self) -> bool:
        """Tell whether a rank could be forked now."""
        server = self._current
        return server is not None and server.ready.is_set() and not server.dead.is_set()

    def server(self, wait_s: float) -> ForkServerProcess | None:
        """Return a server with today's code, waiting for its imports; None when a cold start is better.

        Waiting beats a cold start while the server is importing, because a cold rank would begin the same
        imports later and once per rank.
        """
        with self._lock:
            if digest_code(self._code_root) != self._code:
                log.info("the code changed: replacing the fork server")
                self._replace()
            server = self._current
        if server is None:
            return None
        deadline = server.started + wait_s
        while not server.ready.is_set() and not server.dead.is_set() and time.monotonic() < deadline:
            server.ready.wait(0.02)
        return server if server.ready.is_set() and not server.dead.is_set() else None

    def _spawn(self) -> None:
        with self._lock:
            self._replace()

    def _replace(self) -> None:
        if self._current is not None and not self._current.dead.is_set():
            self._current.retire()
            self._retired.append(self._current)
        self._retired = [server for server in self._retired if not server.dead.is_set()]
        self._code = digest_code(self._code_root)
        self._current = ForkServerProcess(self._arguments, self.env, self._log_path)

    def _keep(self) -> None:
        backoff_s = _BACKOFF_FIRST_S
        while not self._stop.wait(0.2):
            server = self._current
            if server is None or not server.dead.is_set():
                continue
            if time.monotonic() - server.started > _BACKOFF_LAST_S:
                backoff_s = _BACKOFF_FIRST_S
            log.error("the fork server died (see %s); the next one starts in %.0f s", self._log_path, backoff_s)
            if self._stop.wait(backoff_s):
                return
            backoff_s = min(2 * backoff_s, _BACKOFF_LAST_S)
            self._spawn()


def new_request_id() -> str:
    """A name for one fork."""
    return uuid4().hex

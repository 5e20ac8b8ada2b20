"""One supervised process: how it is started, when it counts as ready, when it is started again."""

import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from coxswain.stack.logs import OutputPump
from coxswain.stack.spawn import Account, spawn, stop_group
from coxswain.stack.state import ChildState, ProcessId, process_id

FIRST_BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 30.0
PROBE_INTERVAL_S = 0.2
STABLE_AFTER_S = 60.0
"""A process that ran this long starts over with the shortest wait when it dies."""


@dataclass(frozen=True)
class ProcessSpec:
    """What to run and how to tell that it works."""

    name: str
    command: Callable[[], Sequence[str]]
    """Called before every start: a service prepares its data directory there."""
    env: Mapping[str, str]
    cwd: Path
    probe: Callable[[], bool] | None = None
    """Answers quickly; None: ready when ``ready_line`` was printed, or at once."""
    ready_line: bytes | None = None
    account: Account | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    start_timeout_s: float = 60.0
    stop_timeout_s: float = 10.0


@dataclass
class Child:
    """A process that is kept alive."""

    spec: ProcessSpec
    output: OutputPump
    restarts: int = 0
    is_ready: bool = False
    _process: subprocess.Popen[bytes] | None = None
    _identity: ProcessId | None = None
    _saw_ready_line: bool = False
    _backoff_s: float = FIRST_BACKOFF_S
    _started_at: float = field(default_factory=time.monotonic)
    _restart_at: float | None = None
    _probe_at: float = 0.0

    def start(self) -> None:
        """Start the process; its output goes to the log under its name."""
        self.is_ready = self._saw_ready_line = False
        self._restart_at = None
        self._process = spawn(
            self.spec.command(),
            account=self.spec.account,
            env=self.spec.env,
            cwd=self.spec.cwd,
            output=subprocess.PIPE,
            death_signal=self.spec.stop_signal,
        )
        assert self._process.stdout is not None
        self._identity = process_id(self._process.pid)
        self._started_at = time.monotonic()
        self.output.attach(self.spec.name, self._process.stdout, self._watch_line)

    def exit_code(self) -> int | None:
        """How the process ended; None while it runs or before it was started."""
        return self._process.poll() if self._process else None

    def check_ready(self) -> bool:
        """Probe, at most every ``PROBE_INTERVAL_S``, unless it was found ready since its last start."""
        if not self.is_ready and self.exit_code() is None and time.monotonic() >= self._probe_at:
            self._probe_at = time.monotonic() + PROBE_INTERVAL_S
            if self.spec.probe is not None:
                self.is_ready = self.spec.probe()
            else:
                self.is_ready = self._saw_ready_line or self.spec.ready_line is None
        return self.is_ready

    def tend(self) -> bool:
        """Start the process again when it has died and its wait is over; answer whether anything changed."""
        code = self.exit_code()
        if code is None:
            return not self.is_ready and self.check_ready()
        if self._restart_at is None:
            if time.monotonic() - self._started_at >= STABLE_AFTER_S:
                self._backoff_s = FIRST_BACKOFF_S
            self._clear_group()
            self.is_ready = False
            self._restart_at = time.monotonic() + self._backoff_s
            self.output.say(self.spec.name, f"ended with {_describe(code)}; starts again in {self._backoff_s:g} s")
            self._backoff_s = min(self._backoff_s * 2, LONGEST_BACKOFF_S)
            return True
        if time.monotonic() >= self._restart_at:
            self.restarts += 1
            self.start()
            return True
        return False

    def stop(self) -> None:
        """Stop the process and everything in its group; its last words still reach the log."""
        if self._process is None:
            return
        deadline = time.monotonic() + self.spec.stop_timeout_s
        if self._process.poll() is None:
            self._process.send_signal(self.spec.stop_signal)
        while self._process.poll() is None and time.monotonic() < deadline:
            self.output.pump(0.05)
        self._clear_group()
        self.output.pump(0)
        self.is_ready = False

    def state(self) -> ChildState:
        """The process as others may see it."""
        running = self._process is not None and self.exit_code() is None
        if running:
            status = "ready" if self.is_ready else "starting"
        else:
            status = "waiting" if self._restart_at is not None else "stopped"
        return ChildState(self.spec.name, status, self._identity if running else None, self.restarts)

    def _watch_line(self, line: bytes) -> None:
        if self.spec.ready_line is not None and self.spec.ready_line in line:
            self._saw_ready_line = True

    def _clear_group(self) -> None:
        if self._process is not None:
            stop_group(self._process, stop_signal=signal.SIGKILL, timeout_s=5)


def _describe(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

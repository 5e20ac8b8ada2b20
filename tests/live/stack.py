"""The embedded stack without its supervisor: tests start, freeze and kill each process themselves.

Everything is real: Postgres, Redis, uvicorn, the scheduler, a Celery worker, the agent with its fork server. The
processes and their environment are those of ``cox up`` (``coxswain.stack.plan``); only who restarts them differs.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from coxswain.stack.paths import StackPaths
from coxswain.stack.plan import Plan, StackOptions, build_plan
from coxswain.stack.ports import choose_port
from coxswain.stack.postgres import PostgresServer
from coxswain.stack.processes import ProcessSpec
from coxswain.stack.redis import RedisServer
from coxswain.stack.secrets import load_secrets
from coxswain.stack.spawn import spawn, stop_group, wait_until

T = TypeVar("T")

# What the test run's own services are named by: this stack has others.
_OF_THE_TEST_RUN = ("DATABASE_", "REDIS_", "COX_", "DJANGO_")


@dataclass
class LiveStack:
    """Processes by name: postgres, redis, web, scheduler, worker, agent."""

    root: Path
    slots: int = 2
    paths: StackPaths = field(init=False)
    plan: Plan = field(init=False)
    specs: dict[str, ProcessSpec] = field(init=False, default_factory=dict)
    """What will be started; a test may replace one before it starts it."""
    _processes: dict[str, subprocess.Popen[bytes]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.paths = StackPaths(self.root)
        self.paths.create()
        secrets = load_secrets(self.paths.secrets)
        self.plan = build_plan(
            StackOptions(self.root, slots=self.slots, device="cpu"),
            self.paths,
            secrets,
            port=choose_port(),
            postgres=PostgresServer(self.paths.postgres, password=secrets.postgres_password),
            redis=RedisServer(self.paths.redis, password=secrets.redis_password),
            inherited={name: value for name, value in os.environ.items() if not name.startswith(_OF_THE_TEST_RUN)},
        )
        assert self.plan.agent is not None
        for spec in (*self.plan.services, *self.plan.servers, self.plan.agent):
            self.specs[spec.name] = spec

    @property
    def url(self) -> str:
        """Where the web server answers."""
        return self.plan.url

    @property
    def admin_password(self) -> str:
        """The generated password of the user ``admin``."""
        return load_secrets(self.paths.secrets).admin_password_file.read_text().strip()

    def pid(self, name: str) -> int:
        """The process id of a running part."""
        return self._processes[name].pid

    def start_all(self, *, with_agent: bool = True) -> None:
        """Start everything in the order of ``cox up``, each part waited for."""
        for name in ("postgres", "redis"):
            self.start(name)
        done = subprocess.run(
            self.plan.setup,
            env=dict(self.plan.env),
            cwd=self.root,
            check=False,
            timeout=300,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        for name in ("web", "scheduler", "worker", *(("agent",) if with_agent else ())):
            self.start(name)

    def start(self, name: str, *, wait: bool = True) -> None:
        """Start one part, and wait until it is ready."""
        spec = self.specs[name]
        log = self.paths.logs / f"{name}.log"
        offset = log.stat().st_size if log.exists() else 0
        with log.open("ab") as output:
            self._processes[name] = spawn(
                spec.command(), account=spec.account, env=spec.env, cwd=spec.cwd, output=output,
                death_signal=spec.stop_signal,
            )  # fmt: skip
        if wait and not wait_until(lambda: self._is_ready(spec, log, offset), timeout_s=90):
            raise AssertionError(f"{name} did not start:\n{log.read_text(errors='replace')[-3000:]}")

    def stop(self, name: str) -> None:
        """Stop one part the way ``cox down`` does."""
        stop_group(self._processes.pop(name), stop_signal=self.specs[name].stop_signal, timeout_s=20)

    def kill(self, name: str) -> None:
        """End one part with SIGKILL: it gets no chance to say goodbye."""
        process = self._processes.pop(name)
        process.kill()
        process.wait()

    def restart(self, name: str) -> None:
        """Stop and start one part."""
        self.stop(name)
        self.start(name)

    def stop_all(self) -> None:
        """Stop everything in reverse order."""
        for name in reversed(list(self._processes)):
            self._processes[name].send_signal(signal.SIGCONT)
            self.stop(name)

    def log(self, name: str) -> str:
        """What a part has printed."""
        return (self.paths.logs / f"{name}.log").read_text(errors="replace")

    def _is_ready(self, spec: ProcessSpec, log: Path, offset: int) -> bool:
        if (code := self._processes[spec.name].poll()) is not None:
            raise AssertionError(f"{spec.name} ended with {code}:\n{log.read_text(errors='replace')[-3000:]}")
        if spec.probe is not None:
            return spec.probe()
        return spec.ready_line is None or spec.ready_line in log.read_bytes()[offset:]


def eventually(read: Callable[[], T], holds: Callable[[T], bool], *, timeout_s: float = 60.0) -> T:
    """Read until ``holds`` is true, and return what was read then."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = read()
        if holds(value):
            return value
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s; last read: {value!r}"
        time.sleep(0.1)

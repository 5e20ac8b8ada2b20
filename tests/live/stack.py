"""The embedded stack without its supervisor: tests start, freeze and kill each process themselves.

Everything is real: Postgres, Redis, uvicorn, the scheduler, a Celery worker, the agent with its fork server. The
processes and their environment are those of ``cox up`` (``coxswain.stack.plan``); only who restarts them differs.
With ``hosts`` there is an agent on each of them, under the host's name, in place of the one called ``agent``.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from coxswain.stack.paths import StackPaths
from coxswain.stack.plan import Plan, StackOptions, build_plan
from coxswain.stack.ports import LOOPBACK, choose_port
from coxswain.stack.postgres import PostgresServer
from coxswain.stack.processes import ProcessSpec
from coxswain.stack.redis import RedisServer
from coxswain.stack.secrets import load_secrets
from coxswain.stack.spawn import spawn, stop_group, wait_until
from tests.live.network import Host

T = TypeVar("T")

# What the test run's own services are named by: this stack has others.
_OF_THE_TEST_RUN = ("DATABASE_", "REDIS_", "COX_", "DJANGO_")


@dataclass
class LiveStack:
    """Processes by name: postgres, redis, web, scheduler, worker, and agent or the names of the hosts."""

    root: Path
    slots: int = 2
    """Of each node."""
    hosts: Sequence[Host] = ()
    gateway: str = LOOPBACK
    """Where web server and broker listen: the side of the hosts' network that is ours."""
    settings: dict[str, str] = field(default_factory=dict)
    """Variables of the control plane's environment that differ from ``cox up``'s."""
    paths: StackPaths = field(init=False)
    plan: Plan = field(init=False)
    specs: dict[str, ProcessSpec] = field(init=False, default_factory=dict)
    """What will be started; a test may replace one before it starts it."""
    _processes: dict[str, subprocess.Popen[bytes]] = field(init=False, default_factory=dict)
    _offsets: dict[str, int] = field(init=False, default_factory=dict)
    """Where in its log a part's present life begins."""

    def __post_init__(self) -> None:
        self.paths = StackPaths(self.root)
        self.paths.create()
        secrets = load_secrets(self.paths.secrets)
        redis = RedisServer(self.paths.redis, password=secrets.redis_password, also_on=self.gateway)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OF_THE_TEST_RUN)}
        self.plan = build_plan(
            StackOptions(self.root, slots=self.slots, device="cpu", host=self.gateway),
            self.paths,
            secrets,
            port=choose_port(),
            postgres=PostgresServer(self.paths.postgres, password=secrets.postgres_password),
            redis=redis,
            inherited=inherited | {"COX_BROKER_URL": redis.url_for_nodes(1)} | self.settings,
        )
        assert self.plan.agent is not None
        agents = [self._agent_on(host) for host in self.hosts] or [self.plan.agent]
        for spec in (*self.plan.services, *self.plan.servers, *agents):
            self.specs[spec.name] = spec

    def _agent_on(self, host: Host) -> ProcessSpec:
        """The plan's agent as ``host`` runs it: the hosts share this machine's cores, so a rank gets one thread."""
        agent = self.plan.agent
        assert agent is not None
        own = ["--name", host.name, "--address", host.address, "--data-dir", str(self.root / host.name)]
        command = host.command([*agent.command(), *own])
        return replace(agent, name=host.name, command=lambda: command, env={**agent.env, "OMP_NUM_THREADS": "1"})

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
        for name in ("web", "scheduler", "worker"):
            self.start(name)
        if with_agent:
            self.start_agents([host.name for host in self.hosts] or ["agent"])

    def start_agents(self, names: Sequence[str]) -> None:
        """Start agents side by side, then wait for each."""
        for name in names:
            self.start(name, wait=False)
        for name in names:
            self.wait_ready(name)

    def start(self, name: str, *, wait: bool = True) -> None:
        """Start one part, and wait until it is ready."""
        spec = self.specs[name]
        log = self.paths.logs / f"{name}.log"
        self._offsets[name] = log.stat().st_size if log.exists() else 0
        with log.open("ab") as output:
            self._processes[name] = spawn(
                spec.command(), account=spec.account, env=spec.env, cwd=spec.cwd, output=output,
                death_signal=spec.stop_signal,
            )  # fmt: skip
        if wait:
            self.wait_ready(name)

    def wait_ready(self, name: str) -> None:
        """Wait until a part that was started is ready."""
        if not wait_until(lambda: self._is_ready(self.specs[name]), timeout_s=90):
            raise AssertionError(f"{name} did not start:\n{self.log(name)[-3000:]}")

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

    def _is_ready(self, spec: ProcessSpec) -> bool:
        if (code := self._processes[spec.name].poll()) is not None:
            raise AssertionError(f"{spec.name} ended with {code}:\n{self.log(spec.name)[-3000:]}")
        if spec.probe is not None:
            return spec.probe()
        log = (self.paths.logs / f"{spec.name}.log").read_bytes()
        return spec.ready_line is None or spec.ready_line in log[self._offsets[spec.name] :]


def eventually(read: Callable[[], T], holds: Callable[[T], bool], *, timeout_s: float = 60.0) -> T:
    """Read until ``holds`` is true, and return what was read then."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = read()
        if holds(value):
            return value
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s; last read: {value!r}"
        time.sleep(0.1)

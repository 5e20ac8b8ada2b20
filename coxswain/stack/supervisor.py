"""`cox up`: starts the embedded stack in order, keeps it alive, and stops it in reverse.

One thread, one loop: pump output, tend children, look at the wish to stop. No process outlives it: children ask the
kernel to be told when it dies, and what a killed one left behind is stopped by the next start.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType

from coxswain.stack.errors import StackError
from coxswain.stack.logs import OutputPump
from coxswain.stack.paths import StackPaths
from coxswain.stack.plan import ADMIN_USERNAME, DEFAULT_PORT, Plan, StackOptions, build_plan
from coxswain.stack.ports import choose_port, is_free
from coxswain.stack.postgres import PostgresServer
from coxswain.stack.processes import Child, ProcessSpec
from coxswain.stack.redis import RedisServer
from coxswain.stack.secrets import StackSecrets, load_secrets
from coxswain.stack.spawn import spawn, stop_group, wait_until
from coxswain.stack.state import ProcessId, StackState, hold_lock, is_running, load_state, process_id

_MAX_START_FAILURES = 3
_SETUP_TIMEOUT_S = 300.0
_TICK_S = 0.1


class StopRequested(Exception):  # noqa: N818 (not an error: a person's wish)
    """Someone asked the stack to stop while it was starting."""


@dataclass(frozen=True)
class ReadyStack:
    """A stack that answers."""

    url: str
    username: str
    secrets: StackSecrets


class Supervisor:
    """Runs one plan until it is asked to stop."""

    def __init__(self, plan: Plan, paths: StackPaths, state: StackState, *, echo: bool) -> None:
        self._plan = plan
        self._paths = paths
        self._state = state
        self._output = OutputPump(paths.logs, echo=echo)
        self._children: list[Child] = []
        self._num_stop_signals = 0

    def run(self, on_ready: Callable[[], None]) -> None:
        """Start everything, call ``on_ready``, supervise until SIGINT, SIGTERM or SIGHUP, then stop everything.

        Raises:
            StackError: a part did not start; the rest has been stopped again.
        """
        with self._signals():
            try:
                with contextlib.suppress(StopRequested):
                    self._start_all()
                    self._state.is_ready = True
                    self._save()
                    on_ready()
                    while True:
                        self._turn()
            finally:
                self._stop_all()

    def _start_all(self) -> None:
        self._start_group(self._plan.services)
        if self._plan.setup:
            self._run_setup()
        self._start_group(self._plan.servers)
        if self._plan.agent:
            self._start_group((self._plan.agent,))

    def _start_group(self, specs: tuple[ProcessSpec, ...]) -> None:
        group = [Child(spec, self._output) for spec in specs]
        for child in group:
            child.start()
            self._children.append(child)
            self._save()
        for child in group:
            self._wait_for(child)

    def _wait_for(self, child: Child) -> None:
        deadline = time.monotonic() + child.spec.start_timeout_s
        while not child.check_ready():
            self._turn()
            if child.restarts >= _MAX_START_FAILURES or time.monotonic() > deadline:
                raise StackError(
                    f"{child.spec.name} did not start. The end of {self._paths.logs / child.spec.name}.log:\n"
                    f"{self._output.tail(child.spec.name)}"
                )
        self._save()

    def _run_setup(self) -> None:
        """Migrate and create what the first start needs, in one process, while output is pumped."""
        process = spawn(self._plan.setup, env=self._plan.env, cwd=self._paths.root, output=subprocess.PIPE)
        assert process.stdout is not None
        self._output.attach("setup", process.stdout, lambda _: None)
        deadline = time.monotonic() + _SETUP_TIMEOUT_S
        try:
            while process.poll() is None and time.monotonic() < deadline:
                self._turn()
        finally:
            stop_group(process)
            self._output.pump(0)
        if process.returncode != 0:
            raise StackError(f"Setting up the database failed:\n{self._output.tail('setup', 30)}")

    def _turn(self) -> None:
        """One turn of the loop.

        Raises:
            StopRequested: a signal came.
        """
        if self._num_stop_signals:
            raise StopRequested
        self._output.pump(_TICK_S)
        changed = False
        for child in self._children:
            try:
                changed |= child.tend()
            except StackError as error:  # a service could not be prepared: it is tried again after its wait
                self._output.say(child.spec.name, str(error))
        if changed:
            self._save()

    def _stop_all(self) -> None:
        self._state.is_ready = False
        for child in reversed(self._children):
            child.stop()
            self._save()
        self._state.supervisor = None
        self._save()
        self._output.close()

    def _save(self) -> None:
        self._state.children = [child.state() for child in self._children]
        self._state.save(self._paths.state)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        def note(_number: int, _frame: FrameType | None) -> None:
            self._num_stop_signals += 1

        watched = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, note) for number in watched}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def stop_leftovers(state: StackState, *, timeout_s: float = 10.0) -> None:
    """Stop what a killed supervisor left running, newest first; the database gets a fast shutdown."""
    for child in reversed(state.children):
        if child.process and child.process.is_alive:
            _end(child.process, signal.SIGINT if child.name == "postgres" else signal.SIGTERM, timeout_s=timeout_s)


def _end(process: ProcessId, stop_signal: signal.Signals, *, timeout_s: float) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, stop_signal)
    if not wait_until(lambda: not process.is_alive, timeout_s=timeout_s):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _is_alive(process: ProcessId | None) -> bool:
    return process is not None and process.is_alive


def _web_port(options: StackOptions, last_port: int) -> int:
    wanted = options.port if options.port is not None else (last_port or DEFAULT_PORT)
    if wanted == 0:
        return choose_port()
    if not is_free(wanted, host=options.host):
        raise StackError(f"Port {wanted} of {options.host} is in use. Choose another with --port.")
    return wanted


def run_stack(options: StackOptions, *, echo: bool, on_ready: Callable[[ReadyStack], None]) -> None:
    """Run the stack of a data directory until it is asked to stop; ``on_ready`` is called once when all parts answer.

    Raises:
        StackError: it runs already, its port is taken, or a part does not start.
    """
    paths = StackPaths(options.data_dir.absolute())
    paths.create()
    with hold_lock(paths):
        last = load_state(paths.state)
        stop_leftovers(last)
        secrets = load_secrets(paths.secrets)
        port = _web_port(options, last.port)
        postgres = None
        if "DATABASE_URL" not in os.environ:
            postgres = PostgresServer(paths.postgres, password=secrets.postgres_password, port=last.postgres_port)
        redis = None
        if "REDIS_URL" not in os.environ:
            redis = RedisServer(paths.redis, password=secrets.redis_password, port=last.redis_port)
            if redis.port != last.redis_port:  # the agent learns the broker's address by joining, so it joins again
                (paths.agent / "node.json").unlink(missing_ok=True)
        plan = build_plan(options, paths, secrets, port=port, postgres=postgres, redis=redis)
        state = StackState(
            url=plan.url, host=options.host, port=port,
            postgres_port=postgres.port if postgres else None, redis_port=redis.port if redis else None,
            supervisor=process_id(os.getpid()),
        )  # fmt: skip
        Supervisor(plan, paths, state, echo=echo).run(lambda: on_ready(ready_stack(plan.url, secrets)))


def ready_stack(url: str, secrets: StackSecrets) -> ReadyStack:
    """Describe a running stack to the person who started it."""
    return ReadyStack(url, ADMIN_USERNAME, secrets)


def stop_stack(paths: StackPaths, *, timeout_s: float = 90.0) -> bool:
    """Stop the stack on a data directory; answer False when none was running.

    Raises:
        StackError: it did not stop in time.
    """
    state = load_state(paths.state)
    if not is_running(paths):
        stop_leftovers(state)
        return False
    if state.supervisor and state.supervisor.is_alive:
        os.kill(state.supervisor.pid, signal.SIGTERM)
    if not wait_until(lambda: not is_running(paths) and not _is_alive(state.supervisor), timeout_s=timeout_s):
        raise StackError(f"The stack on {paths.root} did not stop within {timeout_s:g} s; see {paths.logs}.")
    return True

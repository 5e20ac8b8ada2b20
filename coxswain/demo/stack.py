"""The stack under the demonstration: one that runs already, or one of its own that ends with it."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from coxswain.client import ApiError, Client
from coxswain.client.session import create_token
from coxswain.stack.errors import StackError
from coxswain.stack.paths import StackPaths
from coxswain.stack.plan import ADMIN_USERNAME
from coxswain.stack.secrets import load_secrets
from coxswain.stack.spawn import spawn
from coxswain.stack.state import is_running, load_state

NUM_RANKS = 2
_START_TIMEOUT_S = 300.0
_STOP_TIMEOUT_S = 90.0


@dataclass(frozen=True)
class DemoStack:
    """A stack that answers, and whether it is the demonstration's own."""

    url: str
    username: str
    password_file: Path
    token_file: Path
    is_own: bool

    def password(self) -> str:
        """The generated password of the first user."""
        return self.password_file.read_text().strip()

    def client(self) -> Client:
        """Connect with a token kept between runs.

        Raises:
            ApiError: the stored token is no longer valid and the generated password was changed.
        """
        if self.token_file.exists():
            client = Client(self.url, self.token_file.read_text().strip())
            try:
                client.projects()
            except ApiError:  # revoked, or the database was made anew
                client.close()
            else:
                return client
        token = create_token(self.url, username=self.username, password=self.password(), name="make demo")
        self.token_file.unlink(missing_ok=True)
        self.token_file.touch(mode=0o600)
        self.token_file.write_text(token + "\n")
        return Client(self.url, token)


def _num_gpus() -> int:
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:  # no driver
        return 0
    try:
        return int(pynvml.nvmlDeviceGetCount())
    finally:
        pynvml.nvmlShutdown()


def agent_options() -> list[str]:
    """Give the agent as many slots as the demonstration has ranks, on GPUs only where there are that many."""
    if _num_gpus() >= NUM_RANKS:
        return []
    return ["--device", "cpu", "--slots", str(max(NUM_RANKS, os.cpu_count() or 1))]


def _describe(paths: StackPaths, url: str, *, is_own: bool) -> DemoStack:
    secrets = load_secrets(paths.secrets)
    return DemoStack(url, ADMIN_USERNAME, secrets.admin_password_file, paths.secrets / "demo-token", is_own)


@contextlib.contextmanager
def running_stack(paths: StackPaths) -> Iterator[DemoStack]:
    """Use the stack on this data directory, or run one for the length of the block; its output goes to its log.

    Raises:
        StackError: it did not start.
    """
    if is_running(paths):
        yield _describe(paths, load_state(paths.state).url, is_own=False)
        return
    paths.create()
    log_path = paths.logs / "supervisor.log"
    command = [sys.executable, "-m", "coxswain.cli.app", "up", "--data-dir", str(paths.root), *agent_options()]
    with log_path.open("wb") as log:
        process = spawn(command, env=dict(os.environ), cwd=paths.root, output=log)
    try:
        yield _describe(paths, _wait_until_ready(process, paths, log_path), is_own=True)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(_STOP_TIMEOUT_S)


def _wait_until_ready(process: subprocess.Popen[bytes], paths: StackPaths, log_path: Path) -> str:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        state = load_state(paths.state)
        if state.is_ready and state.supervisor and state.supervisor.pid == process.pid:
            return state.url
        time.sleep(0.1)
    raise StackError(f"The stack did not start. The end of {log_path}:\n{log_path.read_text()[-2000:]}")

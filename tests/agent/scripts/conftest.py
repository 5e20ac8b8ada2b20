"""An agent that runs scripts, as root with users of their own for them, and a git server on loopback."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.agent.stub_server import JOIN_TOKEN, ControlPlane, Stored
from tests.live.view import in_view, view_environment
from workers.contract.node_api import ExitReport, InputRef, LaunchOrder
from workers.contract.scripting import ScriptSpec

ROOT = Path(__file__).parents[3]
SECRET = "s3cr3t-value-of-the-test"


@dataclass
class Repository:
    """A git repository, served by ``git daemon``."""

    folder: Path
    url: str = ""

    def git(self, *arguments: str) -> str:
        env = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main")
        done = subprocess.run(
            ["git", *identity, *arguments], cwd=self.folder, env=env, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def commit(self, files: dict[str, str]) -> str:
        """Commit these files; the commit."""
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.git("add", "-A")
        self.git("commit", "-qm", "more")
        return self.git("rev-parse", "HEAD")


@dataclass
class ScriptHost:
    """A control plane, and an agent process in a folder that every user may pass through."""

    plane: ControlPlane
    folder: Path
    repository: Repository

    def order(self, spec: dict[str, Any], *, slots: int = 1, inputs: tuple[InputRef, ...] = ()) -> LaunchOrder:
        return LaunchOrder(
            allocation_id=uuid4(),
            job_id=uuid4(),
            attempt_id=uuid4(),
            attempt_number=1,
            fence=1,
            spec=ScriptSpec.model_validate({"kind": "script", "max_restarts": 0, **spec}),
            node_rank=0,
            num_nodes=1,
            slots_per_node=slots,
            device_indices=tuple(range(slots)),
            master_addr="127.0.0.1",
            master_port=1,
            inputs=inputs,
        )

    def from_git(self, commit: str, **more: Any) -> dict[str, Any]:
        return {"source": "git", "url": self.repository.url, "commit": commit, **more}


def exit_of(stored: Stored, *, timeout_s: float = 90.0) -> ExitReport:
    """Wait for the exit report."""
    eventually(lambda: stored.exit, timeout_s=timeout_s)
    assert stored.exit is not None
    return stored.exit


def eventually(condition: Callable[[], object], *, timeout_s: float = 90.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "condition did not come true in time"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def host() -> Iterator[ScriptHost]:
    folder = Path(tempfile.mkdtemp(prefix="cox-scripts-"))
    folder.chmod(0o711)
    processes: list[subprocess.Popen[bytes]] = []
    try:
        repository = _serve_repository(folder, processes)
        with ControlPlane() as plane:
            _start_agent(folder, plane, processes)
            yield ScriptHost(plane, folder, repository)
            processes[-1].send_signal(signal.SIGTERM)
            processes[-1].wait(30)
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _serve_repository(folder: Path, processes: list[subprocess.Popen[bytes]]) -> Repository:
    served = folder / "repositories"
    repository = Repository(served / "project")
    repository.folder.mkdir(parents=True)
    repository.git("init", "-q")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    # not by `git daemon`, which would start it as a child that outlives it
    programs = subprocess.run(["git", "--exec-path"], check=True, capture_output=True, text=True).stdout.strip()
    command = [f"{programs}/git-daemon", "--export-all", "--reuseaddr", "--listen=127.0.0.1", f"--port={port}"]
    command += [f"--base-path={served}", str(served)]
    processes.append(subprocess.Popen(command, stderr=subprocess.DEVNULL, env={**os.environ, "HOME": str(folder)}))
    repository.url = f"git://127.0.0.1:{port}/project"
    return repository


def _start_agent(folder: Path, plane: ControlPlane, processes: list[subprocess.Popen[bytes]]) -> None:
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text(JOIN_TOKEN)
    command = ["-m", "workers.agent", "--server", plane.url, "--join-token-file", str(token), "--name", "node-a"]
    command += ["--data-dir", str(folder / "node"), "--slots", "2", "--device", "cpu"]
    for protocol in ("git", "http", "ssh"):
        command += ["--git-protocol", protocol]
    command += ["--forkserver-arg=--entry=tests.agent.tiny_rank:run"]
    command += ["--forkserver-arg=--preload=tests.agent.tiny_rank:preload", "--output-gib", "0.001"]
    env = {**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder / "wheels")}
    if os.geteuid() == 0:
        (folder / "view").mkdir()
        whole, cwd = in_view(folder / "view", command), folder
        env |= view_environment(folder / "view")
    else:
        whole, cwd = [sys.executable, *command, "--scripts-as-agent"], ROOT
    with (folder / "agent.log").open("wb") as log:
        processes.append(subprocess.Popen(whole, cwd=cwd, env=env, stdout=log, stderr=log))

"""A stack to measure on: started in a temporary folder, used through the REST API, stopped again.

Nothing here is faked: it is `cox up`, and every number is taken at the outside (the API, /proc, the clock).
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from coxswain.client import Client, Job
from coxswain.client.session import create_token

Spec = Mapping[str, Any]
_COX = [sys.executable, "-m", "coxswain.cli.app"]
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Lab:
    """A running stack and a client of it."""

    data_dir: Path
    url: str
    client: Client
    token: str

    def processes(self) -> dict[str, int]:
        """Process ids of the stack's parts by name."""
        return {row["name"]: row["pid"] for row in self.status()["processes"]}

    def supervisor_pid(self) -> int:
        """Process id of `cox up` itself."""
        from coxswain.stack.paths import StackPaths
        from coxswain.stack.state import load_state

        supervisor = load_state(StackPaths(self.data_dir).state).supervisor
        assert supervisor is not None, "the stack does not run"
        return supervisor.pid

    def status(self) -> Any:
        """What ``cox status --json`` says."""
        answer = subprocess.run(
            [*_COX, "status", "--data-dir", str(self.data_dir), "--json"], capture_output=True, check=True, text=True
        )
        return json.loads(answer.stdout)

    def run(self, spec: Spec, *, name: str, slots: int = 2) -> Job:
        """Submit a job and wait until it has succeeded."""
        job = self.client.jobs.submit(spec, name=name, slots_per_node=slots)
        return self.client.jobs.wait(job.id, timeout_s=900)

    def get(self, path: str, **params: Any) -> Any:
        """GET what the client has no verb for: charts, attempts, nodes."""
        answer = httpx.get(
            f"{self.url}/api/v1/{path}", params=params, headers={"Authorization": f"Bearer {self.token}"}, timeout=30
        )
        return answer.raise_for_status().json()

    def points(self, job_id: str, key: str) -> Any:
        """The series of one metric of rank 0: steps, times_us, values."""
        return self.get(f"jobs/{job_id}/metrics/points", key=key, rank=0, max_points=100_000)

    def last_attempt(self, job_id: str) -> Any:
        """The newest attempt of a job."""
        return max(self.get(f"jobs/{job_id}/attempts")["results"], key=lambda attempt: attempt["number"])


def up(data_dir: Path) -> float:
    """Start a stack in the background; return the seconds until it was ready."""
    started = time.perf_counter()
    subprocess.run(
        [*_COX, "up", "--data-dir", str(data_dir), "--port", "0", "--slots", "2", "--device", "cpu", "--detach"],
        check=True,
        capture_output=True,
    )
    return time.perf_counter() - started


def down(data_dir: Path) -> None:
    """Stop the stack."""
    subprocess.run([*_COX, "down", "--data-dir", str(data_dir)], check=True, capture_output=True)


@contextlib.contextmanager
def open_lab() -> Iterator[Lab]:
    """Start a stack on a fresh data directory and wait until its ranks are warm."""
    with tempfile.TemporaryDirectory(prefix="cox-bench-") as folder:
        root = Path(folder)
        root.chmod(0o711)  # Postgres enters it as another account when this runs as root
        data_dir = root / "data"
        up(data_dir)
        try:
            yield connect(data_dir)
        finally:
            down(data_dir)


def connect(data_dir: Path) -> Lab:
    """Sign in to the stack of a data directory and wait for its fork server."""
    from coxswain.stack.paths import StackPaths
    from coxswain.stack.secrets import load_secrets
    from coxswain.stack.state import load_state

    paths = StackPaths(data_dir)
    url = load_state(paths.state).url
    token = create_token(
        url, username="admin", password=load_secrets(paths.secrets).admin_password, name="benchmark",
        scopes=("read", "write", "admin"),
    )  # fmt: skip
    lab = Lab(data_dir, url, Client(url, token), token)
    wait_for_warm_ranks(lab)
    return lab


@contextlib.contextmanager
def cold_node(lab: Lab, *, pool: str) -> Iterator[None]:
    """Run a second agent, alone in ``pool``, whose fork server cannot start: each of its ranks starts cold."""
    from coxswain.stack.paths import StackPaths

    paths = StackPaths(lab.data_dir)
    command = [
        sys.executable, "-m", "workers.agent", "--server", lab.url, "--name", pool, "--pool", pool, "--slots", "2",
        "--device", "cpu", "--join-token-file", str(paths.secrets / "join-token"),
        "--data-dir", str(lab.data_dir.parent / pool),
        "--forkserver-arg=--preload", "--forkserver-arg=os:no_such_function",
    ]  # fmt: skip
    agent = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not any(node["name"] == pool for node in lab.get("nodes")["results"]):
            if time.monotonic() > deadline:
                raise TimeoutError("the second agent did not join")
            time.sleep(0.5)
        yield
    finally:
        agent.terminate()
        agent.wait(timeout=60)


def wait_for_warm_ranks(lab: Lab, *, timeout_s: float = 120) -> None:
    """Wait until every node's fork server has done its imports.

    Raises:
        TimeoutError: it has not.
    """
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        nodes = lab.get("nodes")["results"]
        if nodes and all(node["forkserver_ready"] for node in nodes):
            return
        time.sleep(0.5)
    raise TimeoutError("the fork server did not become ready")


def stdlib_files(folder: Path, *, max_bytes: int) -> Path:
    """Copy source files of the standard library, up to ``max_bytes``, into ``folder``; real text every machine has."""
    total = 0
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(Path(os.__file__).parent.glob("*.py")):
        content = path.read_bytes()
        if total + len(content) > max_bytes:
            continue
        total += len(content)
        (folder / path.name).write_bytes(content)
    return folder


def cpu_seconds(pid: int) -> float:
    """CPU seconds a process and its living descendants have used, ended children included."""
    from coxswain.stack.memory import descendants

    total = 0.0
    for member in descendants(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
            own_and_ended = fields[11:15] if member == pid else fields[11:13]
            total += sum(int(ticks) for ticks in own_and_ended) / _TICKS_PER_S
    return total

"""`cox up` as people run it: started, hurt, stopped and started again, and beside another user's stack."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from coxswain.stack.ports import choose_port
from coxswain.stack.spawn import wait_until
from coxswain.stack.state import process_id
from tests.live.api import Api
from tests.live.view import in_view, view_environment

pytestmark = pytest.mark.faults

# What would make it use the services of the test run.
_NOT_PASSED_ON = ("DATABASE_", "REDIS_", "COX_", "DJANGO_")
_CONTROL_PLANE = {"postgres", "redis", "web", "scheduler", "worker"}
_ORDINARY_USER = "nobody"
_ORDINARY_UID = 65534


class Cox:
    """Runs `cox` on one data directory, in an environment without services."""

    def __init__(self, folder: Path, command: list[str], env: dict[str, str]) -> None:
        self.folder = folder
        self._command = command
        self._env = {key: value for key, value in os.environ.items() if not key.startswith(_NOT_PASSED_ON)} | env

    def __call__(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*self._command, *arguments], env=self._env, capture_output=True, text=True, check=False, timeout=200
        )

    def up(self, *arguments: str) -> str:
        """Start the stack; its address."""
        done = self("up", "--detach", *arguments)
        assert done.returncode == 0, done.stderr
        return self.url

    def status(self) -> dict[str, object]:
        """What `cox status` says."""
        found: dict[str, object] = json.loads(self("status", "--json").stdout)
        return found

    @property
    def url(self) -> str:
        """Where it answers."""
        return str(self.status()["url"])

    def pids(self) -> dict[str, int]:
        """Process ids by name."""
        processes = self.status()["processes"]
        assert isinstance(processes, list)
        return {process["name"]: process["pid"] for process in processes if process["pid"]}

    def supervisor(self) -> int:
        """The process id of the supervisor."""
        return int(json.loads((self.folder / "stack.json").read_text())["supervisor"]["pid"])

    def processes(self) -> list[psutil.Process]:
        """Everything that runs, the children of children included."""
        supervisor = psutil.Process(self.supervisor())
        return [supervisor, *supervisor.children(recursive=True)]

    def secrets(self) -> list[Path]:
        """The files of the generated passwords and keys."""
        return list((self.folder / "secrets").iterdir())

    def api(self) -> Api:
        """Sign in as the admin that it made."""
        return Api(self.url, username="admin", password=(self.folder / "secrets/admin-password").read_text().strip())


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder everyone may enter: pytest's own temporary folders are closed to other accounts."""
    with tempfile.TemporaryDirectory(prefix="cox-up-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture(scope="module")
def stopped(folder: Path) -> Iterator[Cox]:
    """The stack of whoever runs the tests, before its first start; stopped in the end."""
    data = folder / "data"
    cox = Cox(data, [sys.executable, "-m", "coxswain.cli.app"], {"COX_DATA_DIR": str(data)})
    yield cox
    cox("down")


@pytest.fixture
def cox(stopped: Cox) -> Cox:
    """That stack, running: started by the first test, and by one that comes after it was stopped."""
    if not stopped.status()["running"]:
        stopped.up("--port", "0", "--slots", "2", "--device", "cpu")
    return stopped


@pytest.fixture
def ordinary(folder: Path) -> Iterator[Cox]:
    """An ordinary user's `cox`, who names no data directory."""
    if os.geteuid() != 0:
        assert "CI" not in os.environ, "run the tests as root: only root can become another user"
        pytest.skip("only root can become another user")
    home, view = folder / "home", folder / "view"
    view.mkdir()
    home.mkdir()
    os.chown(home, _ORDINARY_UID, _ORDINARY_UID)
    command = in_view(view, ["-m", "coxswain.cli.app"], user=_ORDINARY_USER)
    cox = Cox(home / ".local/share/coxswain", command, {"HOME": str(home), **view_environment(view)})
    yield cox
    cox("down")


def is_ready(url: str) -> bool:
    """Say whether the whole control plane answers."""
    try:
        return httpx.get(f"{url}/readyz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def addresses(cox: Cox) -> set[str]:
    """The local ends of all sockets of a stack, those that wait for a peer included."""
    return {
        socket.laddr.ip for process in cox.processes() for socket in process.net_connections(kind="inet")
        if socket.laddr
    }  # fmt: skip


def test_stack_is_closed_to_the_network_and_to_other_users(cox: Cox) -> None:
    assert is_ready(cox.url)
    assert set(cox.pids()) == _CONTROL_PLANE | {"agent"}
    assert addresses(cox) == {"127.0.0.1"}
    assert len(cox.secrets()) >= 6
    assert {path.stat().st_mode & 0o777 for path in cox.secrets()} == {0o600}
    secrets = {path.read_text().strip() for path in cox.secrets()}
    words = [word for process in cox.processes() for word in process.cmdline()]
    assert not [word for word in words if any(secret in word for secret in secrets)]
    if os.geteuid() == 0:
        services = [psutil.Process(cox.pids()[name]) for name in ("postgres", "redis")]
        assert all(0 not in process.uids() for process in services), "services run unprivileged under root's stack"


def test_second_start_on_the_same_folder_is_refused(cox: Cox) -> None:
    refused = cox("up", "--detach", "--port", "0")
    assert refused.returncode == 1
    assert "already runs" in refused.stderr


def test_ordinary_users_stack_without_an_agent_runs_beside_it(cox: Cox, ordinary: Cox) -> None:
    port = choose_port()
    assert ordinary.up("--port", str(port), "--no-agent") == f"http://127.0.0.1:{port}"
    assert cox.url != ordinary.url
    assert set(ordinary.pids()) == _CONTROL_PLANE
    processes = ordinary.processes()
    assert {process.uids().real for process in processes} == {_ORDINARY_UID}
    assert {(path.stat().st_uid, path.stat().st_mode & 0o777) for path in ordinary.secrets()} == {
        (_ORDINARY_UID, 0o600)
    }
    assert addresses(ordinary) == {"127.0.0.1"}

    first, second = cox.api(), ordinary.api()
    assert len(first.get("nodes")["results"]) == 1
    assert second.get("nodes")["results"] == []
    headers = {"Authorization": f"Bearer {first.token}"}
    assert httpx.get(f"{ordinary.url}/api/v1/jobs", headers=headers).status_code == 401

    assert ordinary("down").returncode == 0
    assert wait_until(lambda: not any(process_id(process.pid) for process in processes), timeout_s=5)
    assert is_ready(cox.url), "the other stack goes on"


def test_stack_survives_crashes_of_its_parts_and_of_its_supervisor(cox: Cox) -> None:
    url, first = cox.url, cox.pids()
    os.kill(first["web"], signal.SIGKILL)
    os.kill(first["postgres"], signal.SIGKILL)
    assert wait_until(lambda: cox.pids().get("web") not in {None, first["web"]} and is_ready(url), timeout_s=60)

    before = cox.pids()
    os.kill(cox.supervisor(), signal.SIGKILL)
    assert wait_until(lambda: not any(process_id(pid) for pid in before.values()), timeout_s=40)

    url = cox.up("--slots", "2", "--device", "cpu")
    assert is_ready(url)
    running = [*cox.pids().values(), cox.supervisor()]
    assert len(running) == 7
    stopped = cox("down")
    assert stopped.returncode == 0, stopped.stderr
    assert not any(process_id(pid) for pid in running)
    assert cox("status").returncode == 5

"""`cox up` as people run it: the whole stack, started, hurt, stopped and started again."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from coxswain.stack.spawn import wait_until
from coxswain.stack.state import process_id

# What would make it use the services of the test run.
_NOT_PASSED_ON = ("DATABASE_", "REDIS_", "COX_", "DJANGO_")


class Cox:
    """Runs `cox` on one data directory, in an environment without services."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._env = {key: value for key, value in os.environ.items() if not key.startswith(_NOT_PASSED_ON)}

    def __call__(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "coxswain.cli.app", *arguments, "--data-dir", str(self.folder)]
        return subprocess.run(command, env=self._env, capture_output=True, text=True, check=False, timeout=200)

    def up(self) -> str:
        """Start the stack; its address."""
        done = self("up", "--detach", "--port", "0", "--slots", "2", "--device", "cpu")
        assert done.returncode == 0, done.stderr
        return str(self.status()["url"])

    def status(self) -> dict[str, object]:
        """What `cox status` says."""
        found: dict[str, object] = json.loads(self("status", "--json").stdout)
        return found

    def pids(self) -> dict[str, int]:
        """Process ids by name."""
        processes = self.status()["processes"]
        assert isinstance(processes, list)
        return {process["name"]: process["pid"] for process in processes if process["pid"]}

    def supervisor(self) -> int:
        """The process id of the supervisor."""
        return int(json.loads((self.folder / "stack.json").read_text())["supervisor"]["pid"])


def is_ready(url: str) -> bool:
    """Say whether the whole control plane answers."""
    try:
        return httpx.get(f"{url}/readyz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.faults
def test_stack_survives_crashes_of_its_parts_and_of_its_supervisor(stack_dir: Path) -> None:
    cox = Cox(stack_dir / "data")
    url = cox.up()
    try:
        assert is_ready(url)
        assert not any(
            b"cox" in line for line in Path(f"/proc/{cox.pids()['redis']}/cmdline").read_bytes().split(b"\0")
        )
        secrets = list((stack_dir / "data" / "secrets").iterdir())
        assert secrets
        assert {path.stat().st_mode & 0o777 for path in secrets} == {0o600}

        refused = cox("up", "--detach", "--port", "0")
        assert refused.returncode == 1
        assert "already runs" in refused.stderr

        first = cox.pids()
        os.kill(first["web"], signal.SIGKILL)
        os.kill(first["postgres"], signal.SIGKILL)
        assert wait_until(lambda: cox.pids().get("web") not in {None, first["web"]} and is_ready(url), timeout_s=60)

        before = cox.pids()
        os.kill(cox.supervisor(), signal.SIGKILL)
        assert wait_until(lambda: not any(process_id(pid) for pid in before.values()), timeout_s=40)

        url = cox.up()
        assert is_ready(url)
        running = [*cox.pids().values(), cox.supervisor()]
        assert len(running) == 7
    finally:
        stopped = cox("down")
    assert stopped.returncode == 0, stopped.stderr
    assert not any(process_id(pid) for pid in running)
    assert cox("status").returncode == 5

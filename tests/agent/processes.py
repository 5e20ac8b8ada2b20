"""The agent as a real process."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from tests.agent.stub_server import JOIN_TOKEN

ROOT = Path(__file__).parents[2]


class AgentProcess:
    """``python -m workers.agent`` with tiny ranks; may be started again after it ended."""

    def __init__(self, server_url: str, root: Path, *, entry: str = "tests.agent.tiny_rank:run") -> None:
        self.data_dir = root / "node"
        self._server_url = server_url
        self._entry = entry
        self._log_path = root / "agent.log"
        self._token_file = root / "token"
        self._token_file.write_text(JOIN_TOKEN)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self, *extra: str) -> None:
        command = [sys.executable, "-m", "workers.agent", "--server", self._server_url]
        command += ["--join-token-file", str(self._token_file), "--name", "node-a", "--data-dir", str(self.data_dir)]
        command += ["--slots", "4", "--device", "cpu"]
        command += [
            f"--forkserver-arg=--entry={self._entry}",
            "--forkserver-arg=--preload=tests.agent.tiny_rank:preload",
        ]
        with self._log_path.open("ab") as log:
            self._process = subprocess.Popen([*command, *extra], cwd=ROOT, stdout=log, stderr=log)

    def stop(self, *, timeout_s: float = 30.0) -> int:
        """End it as an operator does; its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout_s)

    def wait(self, *, timeout_s: float = 30.0) -> int:
        """Wait until it ends by itself; its exit code."""
        assert self._process is not None
        return self._process.wait(timeout_s)

    def kill(self) -> None:
        """End it as the kernel does."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def descendants(self) -> list[psutil.Process]:
        return psutil.Process(self.pid).children(recursive=True)

    def log(self) -> str:
        return self._log_path.read_text(encoding="utf-8", errors="replace")

    @staticmethod
    def imports(module: str) -> set[str]:
        """Modules that are loaded once ``module`` is."""
        code = f"import sys, json, {module}; print(json.dumps(sorted(sys.modules)))"
        output = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True).stdout
        return set(json.loads(output))

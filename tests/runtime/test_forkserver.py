"""The fork server as a process: its protocol, what a forked rank looks like, and who dies with whom."""

import json
import os
import pwd
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import psutil
import pytest

from workers.contract.forkserver import (
    REPLY_ADAPTER,
    ExitedReply,
    ForkedReply,
    ForkFailedReply,
    ForkRequest,
    ReadyReply,
    Reply,
    Request,
    RetireRequest,
)
from workers.runtime.forkserver import SINGLE_THREAD_ENV, SOCKET_FD

ROOT = Path(__file__).parents[2]

PROGRAM = """
import json, os, signal, subprocess, sys, threading, time

def preload():
    pass

def leave_a_thread():
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()

def describe(path):
    print(json.dumps({
        "env": dict(os.environ), "cwd": os.getcwd(), "sid": os.getsid(0), "pid": os.getpid(), "uid": os.getuid(),
        "argv": sys.argv, "fds": sorted(int(fd) for fd in os.listdir("/proc/self/fd")),
        "term": signal.getsignal(signal.SIGTERM) == signal.SIG_DFL, "file": path.read_text(),
    }))
    print("to stderr", file=sys.stderr)
    return 7

def act(path):
    what = path.read_text()
    if what == "sleep":
        print("up", flush=True)
        time.sleep(60)
    elif what == "exit":
        sys.exit("a message")
    elif what == "raise":
        raise ValueError("a bug")
    elif what == "none":
        return None
    elif what == "children":
        child = subprocess.Popen(["sleep", "60"])
        print(child.pid, flush=True)
        return 0
"""


class Server:
    """A fork server and this end of its socket."""

    def __init__(self, tmp_path: Path, *, entry: str, preload: str = "program:preload") -> None:
        (tmp_path / "program.py").write_text(PROGRAM)
        self.tmp_path = tmp_path
        ours, theirs = socket.socketpair()
        self.socket = ours
        self._stream = ours.makefile("rb")
        ours.settimeout(60)
        self.errors = tmp_path / "server.stderr"
        with theirs, self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "workers.runtime.forkserver", "--entry", entry, "--preload", preload],
                env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"},
                preexec_fn=lambda: os.dup2(theirs.fileno(), SOCKET_FD),  # noqa: PLW1509  this test process has one thread
                pass_fds=(SOCKET_FD,),
                stdout=errors,
                stderr=errors,
            )

    def send(self, request: Request) -> None:
        self.socket.sendall(request.model_dump_json().encode() + b"\n")

    def receive(self) -> Reply:
        line = self._stream.readline()
        assert line, self.errors.read_text()
        return REPLY_ADAPTER.validate_json(line)

    def request(self, what: str = "", **changes: object) -> ForkRequest:
        run_file = self.tmp_path / f"run-{uuid4().hex}"
        run_file.write_text(what)
        request = ForkRequest(
            request_id=uuid4().hex,
            run_file=str(run_file),
            env={"PATH": os.environ["PATH"], "RANK": "0"},
            cwd=str(self.tmp_path),
            stdout_path=f"{run_file}.out",
            stderr_path=f"{run_file}.err",
        )
        return request.model_copy(update=changes)

    def fork(self, request: ForkRequest) -> int:
        self.send(request)
        reply = self.receive()
        assert isinstance(reply, ForkedReply), reply
        assert reply.request_id == request.request_id
        return reply.pid

    def exit_code(self, pid: int) -> int:
        reply = self.receive()
        assert isinstance(reply, ExitedReply)
        assert reply.pid == pid
        return reply.code

    def close(self) -> None:
        self._stream.close()
        self.socket.close()
        self.process.wait(20)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[str], Server]]:
    servers: list[Server] = []

    def start(entry: str) -> Server:
        server = Server(tmp_path, entry=entry)
        servers.append(server)
        assert isinstance(server.receive(), ReadyReply)
        return server

    yield start
    for server in servers:
        server.close()


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 10
    while not is_gone(pid):
        assert time.monotonic() < deadline, f"process {pid} still runs"
        time.sleep(0.01)


def wait_for_text(path: str) -> str:
    deadline = time.monotonic() + 10
    while not (Path(path).exists() and Path(path).read_text().endswith("\n")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return Path(path).read_text()


def test_rank_has_its_own_session_environment_output_and_nothing_else(serve: Callable[[str], Server]) -> None:
    server = serve("program:describe")
    request = server.request("the run file")
    pid = server.fork(request)
    assert server.exit_code(pid) == 7
    said = json.loads(Path(request.stdout_path).read_text())
    assert said["pid"] == said["sid"] == pid
    assert {key: said["env"][key] for key in request.env} == request.env
    assert set(said["env"]) <= {*request.env, "LC_CTYPE"}
    assert said["cwd"] == request.cwd
    assert said["argv"] == ["workers.runtime", request.run_file]
    assert said["file"] == "the run file"
    assert said["term"]
    assert [fd for fd in said["fds"] if fd > 2][1:] == []  # one is the listing of the directory itself
    assert Path(request.stderr_path).read_text() == "to stderr\n"


@pytest.mark.parametrize(
    ("what", "code", "complaint"),
    [("exit", 1, "a message\n"), ("raise", 1, "ValueError: a bug\n"), ("none", 0, "")],
)
def test_exit_code_and_last_words_are_as_of_a_process(
    serve: Callable[[str], Server], what: str, code: int, complaint: str
) -> None:
    server = serve("program:act")
    request = server.request(what)
    assert server.exit_code(server.fork(request)) == code
    assert Path(request.stderr_path).read_text().endswith(complaint)


def test_signal_is_a_negative_code_told_at_once(serve: Callable[[str], Server]) -> None:
    server = serve("program:act")
    pid = server.fork(server.request("sleep"))
    os.kill(pid, signal.SIGKILL)
    started = time.monotonic()
    assert server.exit_code(pid) == -9
    assert time.monotonic() - started < 1


def test_what_a_rank_started_ends_with_it(serve: Callable[[str], Server]) -> None:
    server = serve("program:act")
    request = server.request("children")
    assert server.exit_code(server.fork(request)) == 0
    wait_until_gone(int(Path(request.stdout_path).read_text()))


def test_closed_socket_ends_server_and_ranks(serve: Callable[[str], Server]) -> None:
    server = serve("program:act")
    pids = [server.fork(server.request("sleep")) for _ in range(3)]
    server.socket.shutdown(socket.SHUT_RDWR)
    assert server.process.wait(10) == 0
    for pid in pids:
        wait_until_gone(pid)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_ranks_die_with_their_server(serve: Callable[[str], Server], number: signal.Signals) -> None:
    server = serve("program:act")
    request = server.request("sleep")
    pid = server.fork(request)
    wait_for_text(request.stdout_path)
    server.process.send_signal(number)
    server.process.wait(10)
    wait_until_gone(pid)


def test_retired_server_forks_no_more_and_ends_after_its_last_rank(serve: Callable[[str], Server]) -> None:
    server = serve("program:act")
    pid = server.fork(server.request("sleep"))
    server.send(RetireRequest())
    server.send(server.request("sleep"))
    assert isinstance(server.receive(), ForkFailedReply)
    assert server.process.poll() is None
    os.kill(pid, signal.SIGKILL)
    assert server.exit_code(pid) == -9
    assert server.process.wait(10) == 0


def test_request_that_cannot_be_met_starts_nothing(serve: Callable[[str], Server]) -> None:
    server = serve("program:act")
    for changes in ({"cwd": "/nowhere"}, {"user": "no-such-user"}, {"stdout_path": "/nowhere/out"}):
        server.send(server.request("sleep", **changes))
        assert isinstance(server.receive(), ForkFailedReply)
    assert psutil.Process(server.process.pid).children() == []
    assert server.exit_code(server.fork(server.request("none"))) == 0


def test_unreadable_request_ends_the_connection(serve: Callable[[str], Server]) -> None:
    server = serve("program:act")
    server.socket.sendall(b"nonsense\n")
    assert server.process.wait(10) == 0
    assert "unreadable request" in server.errors.read_text()


def test_rank_becomes_another_user(
    serve: Callable[[str], Server], tmp_path: Path, admit_others: Callable[[Path], None]
) -> None:
    account = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    admit_others(tmp_path)
    server = serve("program:describe")
    request = server.request("x", user=account.pw_name)
    pid = server.fork(request)
    assert server.exit_code(pid) == 7, Path(request.stderr_path).read_text()
    assert json.loads(Path(request.stdout_path).read_text())["uid"] == account.pw_uid


def test_preload_that_leaves_a_thread_is_refused(tmp_path: Path) -> None:
    server = Server(tmp_path, entry="program:act", preload="program:leave_a_thread")
    assert server.process.wait(20) != 0
    assert "cannot be forked safely" in server.errors.read_text()
    server.close()


PRELOAD_WITHOUT_CUDA = """
import json, sys
from pathlib import Path
import torch

def refuse(name):
    def refused(*arguments, **options):
        raise AssertionError(f"the preload called torch.cuda.{name}")
    return refused

# Looks at how torch was built, and at no device.
HARMLESS = {"_is_compiled"}

for name, value in list(vars(torch.cuda).items()):
    if callable(value) and not isinstance(value, type) and not name.startswith("__") and name not in HARMLESS:
        setattr(torch.cuda, name, refuse(name))
for name in dir(torch._C):
    if name.startswith("_cuda_") and callable(getattr(torch._C, name)):
        setattr(torch._C, name, refuse(name))

from workers.runtime.forkserver import DEFAULT_ENTRY, DEFAULT_PRELOAD, resolve
resolve(DEFAULT_PRELOAD)()
resolve(DEFAULT_ENTRY)
print(json.dumps({
    "threads": len(list(Path("/proc/self/task").iterdir())),
    "modules": [name for name in ("torch", "transformers", "celery", "redis", "django") if name in sys.modules],
}))
"""


def test_preload_makes_no_cuda_query_and_leaves_one_thread() -> None:
    # A CPU build of torch would answer every query harmlessly, and so hide one that ruins forks on a GPU machine.
    result = subprocess.run(
        [sys.executable, "-c", PRELOAD_WITHOUT_CUDA],
        cwd=ROOT,
        env={**os.environ, **SINGLE_THREAD_ENV},
        check=False,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout.splitlines()[-1]) == {"threads": 1, "modules": ["torch", "transformers"]}

"""The agent's hold on its fork server."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import psutil
import pytest

from tests.agent.conftest import TINY, make_order, wait_for
from workers.agent.launch import inherit_env
from workers.agent.warm import ForkFailed, ForkServerProcess, WarmRanks, digest_code
from workers.contract.forkserver import ForkRequest
from workers.contract.run import RunFile


@pytest.fixture
def code(tmp_path: Path) -> Path:
    root = tmp_path / "code"
    (root / "runtime").mkdir(parents=True)
    (root / "runtime" / "trainer.py").write_text("one")
    return root


@pytest.fixture
def warm(tmp_path: Path, code: Path) -> Iterator[WarmRanks]:
    ranks = WarmRanks(arguments=TINY, env=inherit_env(os.environ), log_path=tmp_path / "log", code_root=code)
    ranks.start()
    yield ranks
    ranks.stop()


@pytest.fixture
def make_request(tmp_path: Path) -> Callable[..., ForkRequest]:
    def make(*steps: list[object], **changes: object) -> ForkRequest:
        run = RunFile(spec=make_order(steps).spec, output_dir=str(tmp_path / "out"), cache_dir=str(tmp_path))
        path = tmp_path / f"run-{uuid4().hex}.json"
        path.write_text(run.model_dump_json())
        return ForkRequest(
            request_id=uuid4().hex,
            run_file=str(path),
            env={"RANK": "0"},
            cwd=str(tmp_path),
            stdout_path=str(tmp_path / "out.txt"),
            stderr_path=str(tmp_path / "err.txt"),
        ).model_copy(update=changes)

    return make


def server_of(warm: WarmRanks) -> ForkServerProcess:
    server = warm.server(20)
    assert server is not None
    return server


class Exit:
    """Collects exit codes."""

    def __init__(self) -> None:
        self.codes: list[int] = []
        self.happened = threading.Event()

    def __call__(self, code: int) -> None:
        self.codes.append(code)
        self.happened.set()


def test_rank_is_forked_and_its_exit_told(warm: WarmRanks, make_request: Callable[..., ForkRequest]) -> None:
    ended = Exit()
    started = time.monotonic()
    pid = server_of(warm).fork(make_request(["exit", 5]), ended)
    assert pid > 0
    assert ended.happened.wait(10)
    assert ended.codes == [5]
    assert time.monotonic() - started < 10


def test_refused_fork_is_told(warm: WarmRanks, make_request: Callable[..., ForkRequest]) -> None:
    with pytest.raises(ForkFailed, match="no such directory"):
        server_of(warm).fork(make_request(cwd="/nowhere"), Exit())


def test_many_forks_at_once_keep_their_answers_apart(warm: WarmRanks, make_request: Callable[..., ForkRequest]) -> None:
    server = server_of(warm)
    ends = {code: Exit() for code in range(1, 21)}
    threads = [threading.Thread(target=server.fork, args=(make_request(["exit", c]), ends[c])) for c in ends]
    for thread in threads:
        thread.start()
    for code, ended in ends.items():
        assert ended.happened.wait(20)
        assert ended.codes == [code]


@pytest.mark.faults
def test_dead_server_takes_its_ranks_and_is_replaced(warm: WarmRanks, make_request: Callable[..., ForkRequest]) -> None:
    server, ended = server_of(warm), Exit()
    pid = server.fork(make_request(["stubborn"], ["sleep", 60]), ended)
    os.kill(server.pid, signal.SIGKILL)
    assert ended.happened.wait(10)
    assert ended.codes == [-9]
    wait_for(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    with pytest.raises(ForkFailed, match="gone"):
        server.fork(make_request(["finish"]), Exit())
    wait_for(lambda: warm.is_ready)
    assert server_of(warm).pid != server.pid


def test_code_change_replaces_the_server_and_spares_its_ranks(
    warm: WarmRanks, code: Path, make_request: Callable[..., ForkRequest], tmp_path: Path
) -> None:
    old, ended = server_of(warm), Exit()
    old.fork(make_request(["wait_stop"]), ended)
    assert server_of(warm) is old
    (code / "runtime" / "trainer.py").write_text("another")
    new = server_of(warm)
    assert new.pid != old.pid
    assert not old.dead.is_set()
    assert not ended.codes
    (tmp_path / "out" / "control.json").write_text('{"stop": "save"}')
    assert ended.happened.wait(10)
    assert ended.codes == [0]
    assert old.dead.wait(10)  # a retired server ends after its last rank
    wait_for(lambda: not psutil.pid_exists(old.pid))


def test_stop_ends_every_server_and_rank(warm: WarmRanks, make_request: Callable[..., ForkRequest]) -> None:
    server, ended = server_of(warm), Exit()
    pid = server.fork(make_request(["stubborn"], ["sleep", 60]), ended)
    warm.stop()
    assert not psutil.pid_exists(server.pid)
    wait_for(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def test_code_digest_sees_changes_additions_and_removals(code: Path) -> None:
    digests = [digest_code(code)]
    (code / "new.py").write_text("")
    digests.append(digest_code(code))
    (code / "new.py").write_text("x")
    digests.append(digest_code(code))
    (code / "notes.txt").write_text("not code")
    assert digest_code(code) == digests[-1]
    (code / "new.py").unlink()
    assert digest_code(code) == digests[0]
    assert len(set(digests)) == 3

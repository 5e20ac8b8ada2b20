"""Fixtures of the runtime's tests: a small corpus of real text, and a warm server that forks ranks."""

import shutil
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runtime.ranks import Launcher, RankServer, Run, tiny_train_spec

_MODULES = ("argparse", "ast", "bdb", "cmd", "copy", "csv", "enum", "heapq", "inspect", "pdb", "shelve", "typing")


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the source text of a few modules of the standard library."""
    directory = tmp_path_factory.mktemp("corpus")
    for name in _MODULES:
        shutil.copyfile(Path(sysconfig.get_paths()["stdlib"]) / f"{name}.py", directory / f"{name}.txt")
    return directory


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tokenizers and shards that all tests of the session share."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def rank_server() -> Iterator[RankServer]:
    """One warm fork server for the session."""
    server = RankServer()
    yield server
    server.close()


@pytest.fixture
def launcher(rank_server: RankServer, tmp_path: Path, corpus: Path, cache_dir: Path) -> Launcher:
    """Starts real ranks whose output goes below the test's directory."""
    return Launcher(rank_server, tmp_path, corpus, cache_dir)


@pytest.fixture(scope="session")
def trained(rank_server: RankServer, tmp_path_factory: pytest.TempPathFactory, corpus: Path, cache_dir: Path) -> Run:
    """A finished two-rank run that many tests look at."""
    launcher = Launcher(rank_server, tmp_path_factory.mktemp("trained"), corpus, cache_dir)
    run = launcher.run(tiny_train_spec(), world_size=2)
    assert run.codes == [0, 0], run.stderr(0) + run.stderr(1)
    return run

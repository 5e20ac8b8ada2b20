"""Private services for the tests: every pytest run has a Postgres and a Redis of its own, and a storage folder.

Addresses are chosen and exported before Django's settings are read; the servers start only when a collected test may
need them, so contract and runtime tests cost nothing. A server named in the caller's environment is never touched.
"""

import os
import secrets
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import django
import pytest

from coxswain.stack.postgres import THROWAWAY_SETTINGS, PostgresServer
from coxswain.stack.redis import RedisServer

_TESTS = Path(__file__).parent
_WITHOUT_SERVICES = {"architecture", "contract", "e2e", "faults", "gpu", "runtime"}
_OWNED_BY = "COX_TEST_SERVICES"  # set by the run that owns the services; xdist workers inherit it


class Services:
    """The servers of this run, started at most once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.postgres = PostgresServer(
            root / "postgres", password=secrets.token_urlsafe(16), settings=THROWAWAY_SETTINGS
        )
        self.redis = RedisServer(root / "redis", password=secrets.token_urlsafe(16))
        self.is_started = False

    def export(self) -> None:
        """Put every address into the environment, where the settings and child processes read it."""
        (self.root / "storage").mkdir()
        os.environ.update({
            _OWNED_BY: str(os.getpid()),
            "DJANGO_SETTINGS_MODULE": "controlplane.settings.test",
            "DATABASE_URL": self.postgres.url,
            "DATABASE_DIRECT_URL": self.postgres.url,
            "REDIS_URL": self.redis.url(0),
            "COX_BROKER_URL": self.redis.url(1),
            "COX_STORAGE_URL": (self.root / "storage").as_uri(),
            "COX_DATA_DIR": str(self.root),
            "COX_SECRET_KEY": secrets.token_urlsafe(50),
        })  # fmt: skip

    def start(self) -> None:
        if not self.is_started:
            self.is_started = True
            self.postgres.__enter__()
            self.redis.__enter__()

    def stop(self) -> None:
        self.redis.stop()
        self.postgres.stop()
        shutil.rmtree(self.root, ignore_errors=True)


def _make_services() -> Services | None:
    if _OWNED_BY in os.environ:
        return None
    root = Path(tempfile.mkdtemp(prefix="cox-test-"))
    root.chmod(0o711)  # Postgres enters it as another account when the tests run as root
    services = Services(root)
    services.export()
    return services


_services = _make_services()
django.setup()  # before the conftest files of subfolders, which import models


def _needs_services(item: pytest.Item) -> bool:
    relative = item.path.relative_to(_TESTS) if item.path.is_relative_to(_TESTS) else Path("elsewhere")
    return relative.parts[0] not in _WITHOUT_SERVICES


def pytest_sessionstart(session: pytest.Session) -> None:
    """Under xdist the controller collects nothing itself, so it starts the services for its workers."""
    if _services and getattr(session.config.option, "numprocesses", None):
        _services.start()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start the services if any collected test may need them."""
    if _services and not session.config.option.collectonly and any(_needs_services(item) for item in session.items):
        _services.start()


def pytest_unconfigure() -> None:
    """Stop the services and remove what they wrote."""
    if _services:
        _services.stop()


@pytest.fixture(scope="session")
def admit_others() -> Callable[[Path], None]:
    """Let other accounts into a folder of pytest's, which are closed to them, whoever runs the tests."""

    def admit(folder: Path) -> None:
        for directory in (folder, *folder.parents):
            if directory == Path(tempfile.gettempdir()):
                break
            directory.chmod(0o755)

    return admit

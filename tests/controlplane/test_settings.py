"""Settings: one table, and a production that refuses to start half-configured."""

import importlib
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from django.core.exceptions import ImproperlyConfigured

from controlplane.settings import environment
from controlplane.settings.base import database, default_broker

Load = Callable[[str, dict[str, str]], ModuleType]
ROOT = Path(__file__).parents[2]
GOOD = {
    "DATABASE_URL": "postgresql://cox:pw@db.example.org/cox",
    "REDIS_URL": "redis://redis.example.org:6379/0",
    "COX_STORAGE_URL": "s3://bucket",
    "COX_SECRET_KEY": "k3Jx9vQ2mN8bR5tY7wZ1cF4gH6jL0pS-dA_eU+iO=xW!qE?uT.",
    "COX_SECRETS_KEYS": "bm90LXRoZS1wdWJsaXNoZWQta2V5LW9mLXRlc3RzISE",
    "COX_ALLOWED_HOSTS": "cox.example.org",
    "COX_PUBLIC_URL": "https://cox.example.org",
}


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Load:
    """Return a function that imports a settings module afresh under exactly this environment."""

    def fresh(name: str, environ: dict[str, str]) -> ModuleType:
        for listed in environment.SETTINGS:
            monkeypatch.delenv(listed.name, raising=False)
        for key, value in environ.items():
            monkeypatch.setenv(key, value)
        for module in [key for key in sys.modules if key.startswith("controlplane.settings.")]:
            monkeypatch.delitem(sys.modules, module)
        return importlib.import_module(f"controlplane.settings.{name}")

    return fresh


def test_no_setting_is_read_that_the_table_does_not_list() -> None:
    listed = {setting.name for setting in environment.SETTINGS}
    read = set()
    for folder in ("apps", "controlplane"):
        for file in (ROOT / folder).rglob("*.py"):
            text = file.read_text(encoding="utf-8")
            read |= set(re.findall(r"env(?:ironment)?\.(?:text|flag|number|names)\(\"(\w+)\"\)", text))
            read |= set(re.findall(r"\"(COX_[A-Z_]+)\"", text))
            if file.parent.name != "settings":
                assert not re.search(r"environ(?:\.get)?[\[(]\"(?!DJANGO_SETTINGS_MODULE)", text), (
                    f"{file} reads the environment"
                )
    assert read <= listed
    in_server = {setting.name for setting in environment.SETTINGS if setting.read_by == "server"}
    assert in_server <= read, "listed and read by nothing"


def test_agent_and_tools_read_no_setting_that_the_table_does_not_list() -> None:
    """But what the agent tells each script, in modules of its own; its table is in the user guide."""
    told = {"COX_RANK"}  # by the rank itself, to the script it runs
    for file in (ROOT / "workers" / "agent" / "scripts").glob("*.py"):
        told |= set(re.findall(r"\"(COX_[A-Z_]+)\"", file.read_text(encoding="utf-8")))
    read = {
        name
        for folder in ("workers", "coxswain")
        for file in (ROOT / folder).rglob("*.py")
        for name in re.findall(r"\"(COX_[A-Z_]+)\"", file.read_text(encoding="utf-8"))
    }
    assert read - told <= {setting.name for setting in environment.SETTINGS}


def test_complete_production_starts(load: Load) -> None:
    made = load("production", GOOD)
    assert (made.DEBUG, made.SESSION_COOKIE_SECURE) == (False, True)
    assert made.BROKER_URL == "redis://redis.example.org:6379/1"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        *(({name: ""}, name) for name in GOOD),
        ({"COX_DEBUG": "1"}, "COX_DEBUG"),
        ({"COX_SECRET_KEY": "tests-only"}, "COX_SECRET_KEY"),
        ({"COX_SECRET_KEY": "changeme" * 10}, "COX_SECRET_KEY"),
        ({"COX_SECRET_KEY": "x" * 80}, "COX_SECRET_KEY"),
        ({"COX_SECRETS_KEYS": "dGVzdHMtb25seS10ZXN0cy1vbmx5LXRlc3RzLW9ubHk"}, "COX_SECRETS_KEYS"),
        ({"COX_ALLOWED_HOSTS": "*"}, "COX_ALLOWED_HOSTS"),
        ({"COX_PUBLIC_URL": "http://cox.example.org"}, "https"),
        ({"COX_LOGIN_FAILURES": "many"}, "COX_LOGIN_FAILURES must be a whole number"),
    ],
)
def test_half_configured_production_refuses_to_start(load: Load, changes: dict[str, str], message: str) -> None:
    with pytest.raises((ImproperlyConfigured, ValueError), match=message):
        load("production", {**GOOD, **changes})


def test_embedded_needs_a_key_and_answers_loopback_only(load: Load) -> None:
    with pytest.raises(ImproperlyConfigured, match="COX_SECRET_KEY"):
        load("embedded", {})
    made = load("embedded", {"COX_SECRET_KEY": "x"})
    assert (made.ALLOWED_HOSTS, made.DEBUG) == (["localhost", "127.0.0.1", "[::1]"], False)


def test_two_stacks_on_one_host_keep_their_cookies_apart(load: Load) -> None:
    one, two = (load("embedded", {"COX_SECRET_KEY": "x", "COX_PORT": port}) for port in ("8700", "8701"))
    assert one.SESSION_COOKIE_NAME != two.SESSION_COOKIE_NAME
    assert one.CSRF_COOKIE_NAME != two.CSRF_COOKIE_NAME


def test_production_passes_the_deployment_checks() -> None:
    environ = {**GOOD, "DJANGO_SETTINGS_MODULE": "controlplane.settings.production", "PATH": os.environ["PATH"]}
    command = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"]
    result = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_database_urls_are_translated() -> None:
    plain = database("postgresql://us%40er:p%2Fw@host:5433/na%20me?sslmode=require")
    assert {key: plain[key] for key in ("USER", "PASSWORD", "HOST", "PORT", "NAME")} == {
        "USER": "us@er",
        "PASSWORD": "p/w",
        "HOST": "host",
        "PORT": "5433",
        "NAME": "na me",
    }
    assert database("postgresql:///cox?host=/run/pg&port=5555")["HOST"] == "/run/pg"
    assert default_broker("redis://:pw@h:1/0") == "redis://:pw@h:1/1"
    assert default_broker("") == ""

"""Settings: one table, and a production that refuses to start half-configured."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from controlplane.settings import environment
from controlplane.settings.base import database, default_broker

ROOT = Path(__file__).parents[2]
GOOD = {
    "DATABASE_URL": "postgresql://cox:pw@db.example.org/cox",
    "REDIS_URL": "redis://redis.example.org:6379/0",
    "COX_STORAGE_URL": "s3://bucket",
    "COX_SECRET_KEY": "k3Jx9vQ2mN8bR5tY7wZ1cF4gH6jL0pS-dA_eU+iO=xW!qE?uT.",
    "COX_ALLOWED_HOSTS": "cox.example.org",
    "COX_PUBLIC_URL": "https://cox.example.org",
}


def load(module: str, environ: dict[str, str], code: str = "") -> subprocess.CompletedProcess[str]:
    """Import a settings module in a process with just this environment."""
    script = f"import controlplane.settings.{module} as s\n{code}"
    clean = {"PATH": os.environ["PATH"], **environ}
    return subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=clean, capture_output=True, text=True, check=False
    )


def test_table_in_the_docs_is_the_code() -> None:
    assert environment.as_table() in (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")


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


def test_complete_production_starts() -> None:
    result = load("production", GOOD, "print(s.DEBUG, s.SESSION_COOKIE_SECURE, s.BROKER_URL)")
    assert result.stdout.split() == ["False", "True", "redis://redis.example.org:6379/1"], result.stderr


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        *(({name: ""}, name) for name in GOOD),
        ({"COX_DEBUG": "1"}, "COX_DEBUG"),
        ({"COX_SECRET_KEY": "tests-only"}, "COX_SECRET_KEY"),
        ({"COX_SECRET_KEY": "changeme" * 10}, "COX_SECRET_KEY"),
        ({"COX_SECRET_KEY": "x" * 80}, "COX_SECRET_KEY"),
        ({"COX_ALLOWED_HOSTS": "*"}, "COX_ALLOWED_HOSTS"),
        ({"COX_PUBLIC_URL": "http://cox.example.org"}, "https"),
        ({"COX_LOGIN_FAILURES": "many"}, "COX_LOGIN_FAILURES must be a whole number"),
    ],
)
def test_half_configured_production_refuses_to_start(changes: dict[str, str], message: str) -> None:
    result = load("production", {**GOOD, **changes})
    assert result.returncode != 0
    assert message in result.stderr.splitlines()[-1]


def test_embedded_needs_a_key_and_answers_loopback_only() -> None:
    assert "COX_SECRET_KEY" in load("embedded", {}).stderr
    assert "127.0.0.1" in load("embedded", {"COX_SECRET_KEY": "x"}, "print(s.ALLOWED_HOSTS, s.DEBUG)").stdout


def test_two_stacks_on_one_host_keep_their_cookies_apart() -> None:
    code = "print(s.SESSION_COOKIE_NAME, s.CSRF_COOKIE_NAME)"
    one, two = (load("embedded", {"COX_SECRET_KEY": "x", "COX_PORT": port}, code).stdout for port in ("8700", "8701"))
    assert not set(one.split()) & set(two.split())


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

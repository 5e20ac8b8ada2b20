"""What the embedded stack consists of: the processes in starting order, and the environment each one gets.

Building the plan starts nothing, so it is tested without processes. The agent's environment carries no address or key
of the database: a rank is a stranger's program and may read whatever its parents can.
"""

import http.client
import os
import re
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from coxswain.stack.paths import StackPaths
from coxswain.stack.ports import LOOPBACK
from coxswain.stack.postgres import PostgresServer
from coxswain.stack.processes import ProcessSpec
from coxswain.stack.redis import RedisServer
from coxswain.stack.secrets import StackSecrets

ADMIN_USERNAME = "admin"
DEFAULT_PORT = 8700
_SERVER_ONLY = ("DATABASE_URL", "DATABASE_DIRECT_URL", "REDIS_URL", "COX_BROKER_URL", "COX_STORAGE_URL")
_PROBE_TIMEOUT_S = 2.0


@dataclass(frozen=True)
class StackOptions:
    """What a person may choose when starting a stack."""

    data_dir: Path
    port: int | None = None
    """None: the port used last time, else the default one."""
    host: str = LOOPBACK
    with_servers: bool = True
    """False: the services alone, to restore a backup into; their data is left as it is."""
    with_agent: bool = True
    slots: int | None = None
    """None: one per GPU, or per CPU core where there is none."""
    device: str = "auto"
    scripts_as_agent: bool = False
    """Where the agent is no root: scripts run as its user."""


@dataclass(frozen=True)
class Plan:
    """The stack to run."""

    services: tuple[ProcessSpec, ...]
    """Started first, each waited for."""
    setup: tuple[str, ...]
    """A command that must succeed before the servers start; empty where none start."""
    servers: tuple[ProcessSpec, ...]
    """Started together, then waited for in order."""
    agent: ProcessSpec | None
    env: Mapping[str, str]
    url: str


def http_answers(url: str) -> bool:
    """Say whether GET ``url`` answers 200."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or LOOPBACK, parts.port, timeout=_PROBE_TIMEOUT_S)
    try:
        connection.request("GET", parts.path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def probe_address(host: str, port: int) -> str:
    """The base URL under which this machine reaches a server that listens on ``host``."""
    if host in {"", "0.0.0.0", "::"}:  # noqa: S104
        host = LOOPBACK
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def other_database(redis_url: str, database: int) -> str:
    """The same Redis server with another numbered database."""
    return urlsplit(redis_url)._replace(path=f"/{database}").geturl()


def node_name() -> str:
    """This machine's name in the form the contract asks of node names."""
    name = re.sub(r"[^a-z0-9.-]", "-", socket.gethostname().lower())[:63].strip("-.")
    return name or "local"


def build_environment(
    options: StackOptions,
    paths: StackPaths,
    secrets: StackSecrets,
    *,
    port: int,
    database_url: str,
    redis_url: str,
    inherited: Mapping[str, str],
) -> dict[str, str]:
    """The environment of every process of the control plane."""
    reachable_host = LOOPBACK if options.host in {LOOPBACK, "0.0.0.0", "::"} else options.host  # noqa: S104
    hosts = ["127.0.0.1", "localhost", "[::1]"]
    if options.host != LOOPBACK:
        hosts += [socket.gethostname(), reachable_host]
    return {
        **inherited,
        "PYTHONUNBUFFERED": "1",
        "DJANGO_SETTINGS_MODULE": "controlplane.settings.embedded",
        "DATABASE_URL": database_url,
        "DATABASE_DIRECT_URL": inherited.get("DATABASE_DIRECT_URL", database_url),
        "REDIS_URL": redis_url,
        "COX_BROKER_URL": inherited.get("COX_BROKER_URL", other_database(redis_url, 1)),
        "COX_STORAGE_URL": inherited.get("COX_STORAGE_URL", paths.storage.as_uri()),
        "COX_SECRET_KEY": secrets.secret_key,
        "COX_SECRETS_KEYS": inherited.get("COX_SECRETS_KEYS", secrets.secrets_keys),
        "COX_ALLOWED_HOSTS": inherited.get("COX_ALLOWED_HOSTS", ",".join(hosts)),
        "COX_PUBLIC_URL": inherited.get("COX_PUBLIC_URL", f"http://{reachable_host}:{port}"),
        "COX_DATA_DIR": str(paths.root),
        "COX_PORT": str(port),
    }


def agent_environment(env: Mapping[str, str]) -> dict[str, str]:
    """``env`` without what only the control plane may know."""
    hidden = {*_SERVER_ONLY, "COX_SECRET_KEY", "COX_SECRETS_KEYS", "COX_ALLOWED_HOSTS", "DJANGO_SETTINGS_MODULE"}
    return {name: value for name, value in env.items() if name not in hidden}


def build_plan(
    options: StackOptions,
    paths: StackPaths,
    secrets: StackSecrets,
    *,
    port: int,
    postgres: PostgresServer | None,
    redis: RedisServer | None,
    inherited: Mapping[str, str] = os.environ,
) -> Plan:
    """Lay out the stack; a service is None when the environment, ``inherited``, names a running one."""
    env = build_environment(
        options, paths, secrets, port=port, inherited=inherited,
        database_url=postgres.url if postgres else inherited["DATABASE_URL"],
        redis_url=redis.url(0) if redis else inherited["REDIS_URL"],
    )  # fmt: skip
    probe_url = probe_address(options.host, port)
    services = []
    if postgres:
        services.append(_postgres(postgres))
    if redis:
        services.append(_redis(redis))
    setup = _python(
        "django", "bootstrap", "--admin-username", ADMIN_USERNAME,
        "--admin-password-file", secrets.admin_password_file, "--join-token-file", secrets.join_token_file,
    )  # fmt: skip
    return Plan(
        services=tuple(services),
        setup=tuple(setup) if options.with_servers else (),
        servers=_servers(options, paths, env, port=port, probe_url=probe_url) if options.with_servers else (),
        agent=_agent(options, paths, secrets, env, server=probe_url) if _has_agent(options) else None,
        env=env,
        url=env["COX_PUBLIC_URL"],
    )


def _has_agent(options: StackOptions) -> bool:
    return options.with_servers and options.with_agent


def _python(module: str, *arguments: object) -> list[str]:
    return [sys.executable, "-m", module, *map(str, arguments)]


def _fixed(command: list[str]) -> Callable[[], list[str]]:
    return lambda: command


def _postgres(server: PostgresServer) -> ProcessSpec:
    def command() -> list[str]:
        server.prepare()
        return server.command()

    return ProcessSpec(
        name="postgres",
        command=command,
        env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"},
        cwd=server.data_dir.parent,
        probe=server.is_ready,
        account=server.account,
        stop_signal=signal.SIGINT,  # fast shutdown: sessions end, a checkpoint is written
        stop_timeout_s=30.0,
    )


def _redis(server: RedisServer) -> ProcessSpec:
    def command() -> list[str]:
        server.prepare()
        return server.command()

    return ProcessSpec(
        name="redis",
        command=command,
        env={"PATH": os.environ.get("PATH", os.defpath)},
        cwd=server.data_dir.parent,
        probe=server.is_ready,
        account=server.account,
    )


def _servers(
    options: StackOptions, paths: StackPaths, env: Mapping[str, str], *, port: int, probe_url: str
) -> tuple[ProcessSpec, ...]:
    # Open websockets would hold a graceful shutdown for ever: they reconnect and catch up by sequence number.
    web = _python(
        "uvicorn", "controlplane.asgi:application", "--host", options.host, "--port", port, "--workers", 1,
        "--no-access-log", "--timeout-graceful-shutdown", 3,
        # Whoever is on this machine could else name any address in X-Forwarded-For, and evade the lock-out by it.
        "--proxy-headers" if env.get("COX_TRUSTED_PROXY", "0") not in {"", "0"} else "--no-proxy-headers",
    )  # fmt: skip
    worker = _python(
        "celery", "-A", "controlplane.celery", "worker", "-Q", "control", "-n", "control@%h", "-l", "INFO",
        "--pool", "threads", "--concurrency", 2, "--without-mingle", "--without-gossip", "--without-heartbeat",
    )  # fmt: skip

    return (
        ProcessSpec("web", _fixed(web), env, paths.root, probe=lambda: http_answers(f"{probe_url}/healthz")),
        ProcessSpec(
            "scheduler",
            _fixed(_python("django", "scheduler")),
            env,
            paths.root,
            probe=lambda: http_answers(f"{probe_url}/readyz"),
        ),
        ProcessSpec("worker", _fixed(worker), env, paths.root, ready_line=b"ready.", stop_timeout_s=15.0),
    )


def _agent(
    options: StackOptions, paths: StackPaths, secrets: StackSecrets, env: Mapping[str, str], *, server: str
) -> ProcessSpec:
    command = _python(
        "workers.agent", "--server", server, "--join-token-file", secrets.join_token_file, "--name", node_name(),
        "--pool", "default", "--data-dir", paths.agent, "--device", options.device,
    )  # fmt: skip
    if options.slots is not None:
        command += ["--slots", str(options.slots)]
    if options.scripts_as_agent:
        command.append("--scripts-as-agent")
    return ProcessSpec(
        "agent", _fixed(command), agent_environment(env), paths.root, ready_line=b"is ready.", stop_timeout_s=25.0
    )

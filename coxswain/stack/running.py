"""The environment of a stack that runs, for commands that are given the server's: `python -m django`, pg_dump, psql."""

import os
from urllib.parse import unquote, urlsplit

from coxswain.stack.errors import StackError
from coxswain.stack.paths import StackPaths
from coxswain.stack.plan import StackOptions, build_environment
from coxswain.stack.postgres import PostgresServer
from coxswain.stack.redis import RedisServer
from coxswain.stack.secrets import load_secrets
from coxswain.stack.state import is_running, load_state


def running_environment(paths: StackPaths) -> dict[str, str]:
    """The control plane's environment, with what libpq reads of the database.

    The programs of the Postgres that runs come first on the search path: pg_dump must be of the server's version.

    Raises:
        StackError: no stack runs on that data directory.
    """
    if not is_running(paths):
        raise StackError(f"No stack runs on {paths.root}: start it with `cox up`")
    state, secrets = load_state(paths.state), load_secrets(paths.secrets)
    database_url, redis_url = os.environ.get("DATABASE_URL", ""), os.environ.get("REDIS_URL", "")
    search_path = os.environ.get("PATH", os.defpath)
    if state.postgres_port is not None:
        postgres = PostgresServer(paths.postgres, password=secrets.postgres_password)
        postgres.port = state.postgres_port
        database_url = postgres.url
        search_path = f"{postgres.programs_dir()}{os.pathsep}{search_path}"
    if state.redis_port is not None:
        redis = RedisServer(paths.redis, password=secrets.redis_password)
        redis.port = state.redis_port
        redis_url = redis.url(0)
    env = build_environment(
        StackOptions(paths.root, host=state.host), paths, secrets, port=state.port,
        database_url=database_url, redis_url=redis_url, inherited=os.environ,
    )  # fmt: skip
    return env | {"PATH": search_path} | _libpq(database_url)


def _libpq(database_url: str) -> dict[str, str]:
    """What pg_dump, pg_restore and psql connect by when no address is given."""
    parts = urlsplit(database_url)
    named = {
        "PGHOST": parts.hostname, "PGPORT": str(parts.port or ""), "PGUSER": parts.username,
        "PGPASSWORD": parts.password, "PGDATABASE": parts.path.lstrip("/"),
    }  # fmt: skip
    return {name: unquote(value) for name, value in named.items() if value}

"""Database connections of the event loop: ingest speaks to Postgres without a thread in between.

Django's connections belong to threads; here a request waits on the loop itself. Each statement is its own transaction.
"""

import asyncio
from weakref import WeakKeyDictionary

import psycopg
from django.conf import settings
from django.db import connections
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

Connection = psycopg.AsyncConnection[TupleRow]

_MAX_CONNECTIONS = 4
_TIMEOUT_S = 10.0
_pools: "WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncConnectionPool[Connection]]" = WeakKeyDictionary()


async def get_pool() -> AsyncConnectionPool[Connection]:
    """Return the pool of the running event loop, opened on first use."""
    loop = asyncio.get_running_loop()
    pool = _pools.get(loop)
    if pool is None:
        pool = _pools[loop] = AsyncConnectionPool(
            "",
            kwargs=_connection_arguments(),
            min_size=1,
            max_size=_MAX_CONNECTIONS,
            timeout=_TIMEOUT_S,
            open=False,
            name="telemetry",
        )
        await pool.open()
    return pool


async def close_pool() -> None:
    """Close the running loop's pool, if it has one."""
    pool = _pools.pop(asyncio.get_running_loop(), None)
    if pool is not None:
        await pool.close()


def _connection_arguments() -> dict[str, object]:
    """Take Django's address of the database (in tests: of the test database)."""
    arguments = connections["default"].get_connection_params()
    kept = {name: arguments[name] for name in ("dbname", "user", "password", "host", "port") if arguments.get(name)}
    # A pooler between us and the server may hand each transaction another session, which knows no prepared statement.
    is_direct = settings.DATABASE_URL == settings.DATABASE_DIRECT_URL
    return {**kept, "autocommit": True, "prepare_threshold": 0 if is_direct else None}

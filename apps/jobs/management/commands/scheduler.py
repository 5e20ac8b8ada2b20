"""The scheduler process: passes on every wake-up and at least every second, through outages of Postgres and Redis."""

import signal
import threading
import time
from argparse import ArgumentParser
from typing import Any

import psycopg
import structlog
from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import connection

from apps.cluster.wake import CHANNEL
from apps.core import health
from apps.core.hints import send_after_commit
from apps.core.periodic import Timetable
from apps.jobs.scheduling import run_pass

log = structlog.get_logger(__name__)

TICK_S = 1.0
_RETRY_S = 0.5
_CONNECT_TIMEOUT_S = 5


class Command(BaseCommand):
    """``manage.py scheduler``. Any number may run: each pass has one holder."""

    help = "Place jobs on nodes, watch leases, and send periodic work."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--once", action="store_true", help="Run one pass and end.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until SIGTERM or SIGINT."""
        if options["once"]:
            run_pass()
            return
        scheduler = Scheduler()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: scheduler.stop())
        scheduler.run()


class Scheduler:
    """The loop. ``stop`` may be called from a signal handler or another thread."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._listener: psycopg.Connection[Any] | None = None
        self._timetable = Timetable()

    def stop(self) -> None:
        """End the loop within a tick."""
        self._stopped.set()

    def run(self) -> None:
        """Pass, then wait to be woken; whatever fails is tried again."""
        log.info("scheduler started")
        sender = threading.Thread(target=self._send_periodic, name="periodic", daemon=True)
        sender.start()
        while not self._stopped.is_set():
            try:
                if self._listener is None:
                    self._listener = _listen()  # before the pass: what is notified during it is not missed
                if run_pass().is_leader:
                    health.beat(health.SCHEDULER)
                self._wait()
            except Exception as error:  # noqa: BLE001 - the database may be restarting: nothing may end the loop
                log.warning("pass failed", error=str(error), kind=type(error).__name__)
                self._disconnect()
                self._stopped.wait(_RETRY_S)
        self._disconnect()
        log.info("scheduler stopped")

    def _wait(self) -> None:
        """Wait for a notification or the tick; take all that came at once."""
        assert self._listener is not None
        deadline = time.monotonic() + TICK_S
        for _ in self._listener.notifies(timeout=TICK_S, stop_after=1):
            return
        if self._listener.closed or time.monotonic() < deadline - TICK_S / 2:
            raise psycopg.OperationalError("the listening connection is gone")

    def _disconnect(self) -> None:
        """Trust no connection any more: asking the pool for one after the other takes a second, then two, then four."""
        connection.close()
        pool = getattr(connection, "pool", None)  # of the Postgres backend alone, and None without a pool
        if pool is not None:
            pool.drain()
        if self._listener is not None:
            listener, self._listener = self._listener, None
            listener.close()

    def _send_periodic(self) -> None:
        """Send what is due from a thread of its own: a broker that is down must not hold up a pass."""
        while not self._stopped.wait(TICK_S):
            for task in self._timetable.due():
                try:
                    send_after_commit(task.name, expires_s=task.every_s)
                except Exception as error:  # noqa: BLE001 - the database may be restarting: it is sent next time
                    log.warning("periodic task not sent", task=task.name, error=str(error))


def _listen() -> psycopg.Connection[Any]:
    listener = psycopg.connect(
        settings.DATABASE_DIRECT_URL, autocommit=True, connect_timeout=_CONNECT_TIMEOUT_S, application_name="scheduler"
    )
    listener.execute(f"LISTEN {CHANNEL}")
    return listener

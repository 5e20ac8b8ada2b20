"""Beats: proof, by the database's clock, that the parts of the control plane have been up.

A node's silence counts only while web, scheduler and database have themselves been up for a full lease: a node cannot
report to a web server that is down. A gap between two beats of one name means that it, or the database, was away;
``up_since`` then starts afresh.
"""

import threading
from collections.abc import Iterable

import structlog
from django.db import connection

log = structlog.get_logger(__name__)

WEB = "web"
SCHEDULER = "scheduler"
BEAT_INTERVAL_S = 2.0
MAX_GAP_S = 6.0
"""A longer gap between two beats counts as an outage."""

_BEAT = """
INSERT INTO core_servicebeat AS b (name, up_since, beat_at) VALUES (%(name)s, clock_timestamp(), clock_timestamp())
ON CONFLICT (name) DO UPDATE SET
  up_since = CASE WHEN b.beat_at < clock_timestamp() - make_interval(secs => %(gap)s)
                  THEN clock_timestamp() ELSE b.up_since END,
  beat_at = clock_timestamp()
"""

_AGES = """
SELECT name, extract(epoch FROM clock_timestamp() - up_since), extract(epoch FROM clock_timestamp() - beat_at)
FROM core_servicebeat WHERE name = ANY(%s)
"""


def beat(name: str) -> None:
    """Say that ``name`` is up. Call it at least every ``BEAT_INTERVAL_S`` seconds."""
    with connection.cursor() as cursor:
        cursor.execute(_BEAT, {"name": name, "gap": MAX_GAP_S})


def last_beat_age_s(name: str) -> float | None:
    """Return seconds since the last beat of ``name``; None when it has never been seen."""
    row = _ages([name]).get(name)
    return row.beat_s if row else None


def control_plane_stable_for(names: Iterable[str] = (WEB, SCHEDULER)) -> float:
    """Return for how many seconds every named service has been up without a gap; 0 when one is not up now."""
    wanted = list(names)
    ages = _ages(wanted)
    if any(name not in ages or ages[name].beat_s > MAX_GAP_S for name in wanted):
        return 0.0
    return min((ages[name].up_s for name in wanted), default=0.0)


class _Age:
    """Seconds since a service came up and since it last beat."""

    __slots__ = ("beat_s", "up_s")

    def __init__(self, up_s: float, beat_s: float) -> None:
        self.up_s, self.beat_s = up_s, beat_s


def _ages(names: list[str]) -> dict[str, _Age]:
    with connection.cursor() as cursor:
        cursor.execute(_AGES, [names])
        return {name: _Age(float(up_s), float(beat_s)) for name, up_s, beat_s in cursor.fetchall()}


class BeatThread:
    """Beats for one service from a daemon thread until stopped; survives outages of the database."""

    def __init__(self, name: str, *, interval_s: float = BEAT_INTERVAL_S) -> None:
        self.name = name
        self.interval_s = interval_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"beat-{name}", daemon=True)

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    def stop(self) -> None:
        """Stop beating and wait for the thread; its connection goes back to the pool."""
        self._stop.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while True:
            try:
                beat(self.name)
            except Exception as error:  # noqa: BLE001 - the database may be restarting: try again
                log.warning("beat failed", service=self.name, error=str(error))
            finally:
                connection.close()
            if self._stop.wait(self.interval_s):
                return

"""Beats, and how long the control plane has been whole."""

import time
from collections.abc import Callable

import pytest
from django.db import connection

from apps.core.clock import db_now
from apps.core.health import MAX_GAP_S, SCHEDULER, WEB, BeatThread, beat, control_plane_stable_for, last_beat_age_s
from apps.core.models import ServiceBeat


def shift(name: str, *, up_s: float, beat_s: float) -> None:
    """Move a service's beats into the past."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE core_servicebeat SET up_since = clock_timestamp() - make_interval(secs => %s),"
            " beat_at = clock_timestamp() - make_interval(secs => %s) WHERE name = %s",
            [up_s, beat_s, name],
        )


@pytest.mark.django_db
def test_unseen_service_is_not_up() -> None:
    assert last_beat_age_s(WEB) is None
    assert control_plane_stable_for() == 0.0
    beat(WEB)
    assert control_plane_stable_for() == 0.0
    assert control_plane_stable_for([WEB]) < 5


@pytest.mark.django_db
def test_youngest_service_counts() -> None:
    for name, up_s in ((WEB, 100.0), (SCHEDULER, 30.0)):
        beat(name)
        shift(name, up_s=up_s, beat_s=1.0)
    assert control_plane_stable_for() == pytest.approx(30, abs=2)


@pytest.mark.django_db
def test_silent_service_makes_it_unstable_and_starts_afresh() -> None:
    beat(WEB)
    shift(WEB, up_s=1000, beat_s=MAX_GAP_S + 1)
    assert control_plane_stable_for([WEB]) == 0.0
    beat(WEB)
    assert control_plane_stable_for([WEB]) < 5


@pytest.mark.django_db
def test_short_gap_is_no_outage() -> None:
    beat(WEB)
    shift(WEB, up_s=1000, beat_s=MAX_GAP_S - 2)
    beat(WEB)
    assert control_plane_stable_for([WEB]) > 900


@pytest.mark.django_db
def test_clock_moves_within_a_transaction() -> None:
    first = db_now()
    assert db_now() > first
    assert first.tzinfo is not None


@pytest.mark.django_db(transaction=True)
def test_thread_beats_until_stopped() -> None:
    thread = BeatThread("test", interval_s=0.05)
    thread.start()
    first = wait_for(lambda: ServiceBeat.objects.filter(name="test").first()).beat_at
    wait_for(lambda: ServiceBeat.objects.filter(name="test", beat_at__gt=first).first())
    thread.stop()
    last = ServiceBeat.objects.get(name="test").beat_at
    time.sleep(0.2)
    assert ServiceBeat.objects.get(name="test").beat_at == last


def wait_for(condition: Callable[[], ServiceBeat | None]) -> ServiceBeat:
    """Poll for up to ten seconds."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if (found := condition()) is not None:
            return found
        time.sleep(0.02)
    raise AssertionError("it did not happen in time")

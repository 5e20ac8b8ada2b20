"""What the scheduler sends again and again, and what the housekeeping it asks for does."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.conf import settings
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from apps.core import periodic
from apps.datasets.models import DatasetVersion, VersionState
from apps.jobs.management.commands import scheduler
from apps.jobs.tasks import HOUSEKEEPING_TASK, housekeeping
from apps.projects.models import Project
from apps.storage.tasks import COLLECT_TASK
from controlplane.celery import app
from tests.apps.factories import ProjectFactory
from tests.apps.jobs.simulation import make_dataset, wait_until
from workers.contract.queues import CONTROL_QUEUE


def test_housekeeping_and_garbage_collection_are_registered_tasks() -> None:
    wanted = {task.name: task.every_s for task in periodic.registered()}
    assert wanted[HOUSEKEEPING_TASK] == 60
    assert wanted[COLLECT_TASK] == 3600
    app.loader.import_default_modules()
    assert set(wanted) <= set(app.tasks)


def test_timetable_sends_each_task_once_in_its_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("apps.core.periodic.time.monotonic", lambda: now)
    timetable = periodic.Timetable(start_delay_s=10)
    assert timetable.due() == []
    now += 10
    assert timetable.due() == list(periodic.registered())
    shortest_s = min(task.every_s for task in periodic.registered())
    now += shortest_s - 1
    assert timetable.due() == []
    now += 1
    assert timetable.due() == [task for task in periodic.registered() if task.every_s == shortest_s]


@pytest.fixture
def control_queue() -> Iterator[Any]:
    """Return the broker's Redis with an empty control queue."""
    client = redis.Redis.from_url(settings.BROKER_URL)
    client.delete(CONTROL_QUEUE)
    yield client
    client.delete(CONTROL_QUEUE)
    client.close()


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the scheduler send at once and look often."""
    monkeypatch.setattr(scheduler, "TICK_S", 0.02)
    monkeypatch.setattr(scheduler, "Timetable", lambda: periodic.Timetable(start_delay_s=0))


@contextmanager
def sending() -> Iterator[None]:
    """Run the scheduler's sender in a thread meanwhile."""
    running = scheduler.Scheduler()

    def send() -> None:
        running._send_periodic()
        connection.close()

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield
    finally:
        running.stop()
        sender.join(timeout=10)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("hurried")
def test_scheduler_sends_what_is_due_to_the_control_queue(control_queue: Any) -> None:
    with sending():
        wait_until(lambda: control_queue.llen(CONTROL_QUEUE) >= len(periodic.registered()))
    sent = [json.loads(item)["headers"] for item in control_queue.lrange(CONTROL_QUEUE, 0, -1)]
    assert sorted(item["task"] for item in sent) == [task.name for task in periodic.registered()]
    assert all(item["expires"] for item in sent)  # those that pile up while no worker is there are dropped


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("hurried")
def test_scheduler_goes_on_sending_after_the_database_was_away(
    control_queue: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    register, failures = transaction.on_commit, [OperationalError("the database is restarting")]

    def fail_once(*args: Any, **kwargs: Any) -> None:
        if failures:
            raise failures.pop()
        register(*args, **kwargs)

    monkeypatch.setattr(transaction, "on_commit", fail_once)
    with sending():
        wait_until(lambda: control_queue.llen(CONTROL_QUEUE) >= len(periodic.registered()) - 1)
    assert failures == []


@pytest.mark.django_db
def test_housekeeping_removes_deleted_projects_after_their_retention(project: Project) -> None:
    day = timedelta(days=1)
    over = ProjectFactory.create(retention_days=3, deleted_at=timezone.now() - 4 * day)
    kept = ProjectFactory.create(retention_days=3, deleted_at=timezone.now() - 2 * day)
    referred = ProjectFactory.create(retention_days=3, deleted_at=timezone.now() - 4 * day)
    make_dataset(referred)
    housekeeping()
    assert set(Project.objects.values_list("pk", flat=True)) == {project.pk, kept.pk, referred.pk}
    assert not Project.objects.filter(pk=over.pk).exists()


@pytest.mark.django_db(transaction=True)
def test_housekeeping_sends_forgotten_statistics_again(control_queue: Any, project: Project) -> None:
    forgotten = make_dataset(project, state=VersionState.PENDING)
    DatasetVersion.objects.filter(pk=forgotten.pk).update(created_at=timezone.now() - timedelta(days=1))
    housekeeping()
    (message,) = control_queue.lrange(CONTROL_QUEUE, 0, -1)
    assert str(forgotten.pk) in json.loads(message)["headers"]["argsrepr"]

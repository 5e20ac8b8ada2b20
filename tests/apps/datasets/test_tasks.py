"""The Celery task: what a stranger puts on the broker is ignored."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from celery.contrib.testing.worker import start_worker
from django.utils import timezone

from apps.datasets import services
from apps.datasets.models import DatasetVersion, VersionState
from apps.datasets.tasks import compute_statistics
from controlplane.celery import app
from workers.contract.queues import CONTROL_QUEUE

pytestmark = pytest.mark.django_db


def test_task_reads_the_version(make_version: Callable[[Mapping[str, bytes]], DatasetVersion]) -> None:
    version = make_version({"a.txt": b"text"})
    compute_statistics(str(version.pk))
    version.refresh_from_db()
    assert version.state == VersionState.READY


@pytest.mark.parametrize("nonsense", ["", "x", None, 5, "00000000-0000-7000-8000-000000000000"])
def test_nonsense_is_ignored(nonsense: Any) -> None:
    compute_statistics(nonsense)


@pytest.mark.django_db(transaction=True)
def test_real_worker_reads_what_the_hint_names_and_what_the_sweep_finds(
    make_version: Callable[[Mapping[str, bytes]], DatasetVersion], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through Redis and a Celery worker: once by the hint, once by the sweep after the hint was lost."""
    with start_worker(app, pool="solo", queues=[CONTROL_QUEUE], perform_ping_check=False, shutdown_timeout=30):
        hinted = make_version({"a.txt": b"text"})
        wait_until_ready(hinted)
        with monkeypatch.context() as patched:
            patched.setattr(services, "send_after_commit", lambda *args, **kwargs: None)
            lost = make_version({"a.txt": b"other"})
        DatasetVersion.objects.filter(pk=lost.pk).update(created_at=timezone.now() - services.SILENCE * 2)
        assert services.requeue_stale_statistics() == 1
        wait_until_ready(lost)


def wait_until_ready(version: DatasetVersion) -> None:
    deadline = time.monotonic() + 20
    while version.state != VersionState.READY:
        assert time.monotonic() < deadline, version.state
        time.sleep(0.05)
        version.refresh_from_db()

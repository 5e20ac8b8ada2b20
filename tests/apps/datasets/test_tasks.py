"""The Celery task: what a stranger puts on the broker is ignored."""

from collections.abc import Callable, Mapping
from uuid import uuid4

import pytest

from apps.datasets.models import DatasetVersion, VersionState
from apps.datasets.tasks import compute_statistics

pytestmark = pytest.mark.django_db


def test_task_reads_the_version(make_version: Callable[[Mapping[str, bytes]], DatasetVersion]) -> None:
    version = make_version({"a.txt": b"text"})
    compute_statistics(str(version.pk))
    version.refresh_from_db()
    assert version.state == VersionState.READY


@pytest.mark.parametrize("nonsense", ["", "x", None, 5, str(uuid4())])
def test_nonsense_is_ignored(nonsense: object) -> None:
    compute_statistics(nonsense)

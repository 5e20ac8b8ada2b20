"""The versions of a model side by side."""

import random
from itertools import count
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from apps.accounts.models import User
from apps.datasets.models import DatasetVersion
from apps.jobs.models import Job
from apps.lifecycle.models import Evaluation
from apps.model_registry.models import ModelVersion
from tests.apps.jobs.simulation import FakeAgent, submit
from tests.apps.lifecycle.conftest import HARDWARE, MakeVersion
from workers.contract.evaluation.metrics import METRICS

pytestmark = pytest.mark.django_db

AXES = ("size_on_disk_bytes", "decode_tokens_per_s_batch1", "perplexity")


@pytest.fixture
def measured(agent: FakeAgent, dataset: DatasetVersion, editor: User) -> Any:
    """Return a function that gives a version figures, as a job would have."""

    def give(version: ModelVersion, figures: dict[str, float], **fields: Any) -> Job:
        project = version.model.project
        job = submit(project, editor, spec={"kind": "evaluate", "model": str(version), "dataset": "corpus"})
        for metric, value in figures.items():
            of_data = METRICS[metric].needs_dataset
            values = {"dataset_version": dataset if of_data else None, "hardware": HARDWARE, "protocol": {}} | fields
            Evaluation.objects.create(
                workspace=version.workspace,
                version=version,
                metric=metric,
                value=value,
                dtype="fp32",
                job=job,
                **values,
            )
        return job

    return give


def _compare(api: APIClient, version: ModelVersion, **query: Any) -> dict[str, Any]:
    answer = api.get(f"/api/v1/models/{version.model_id}/comparison", query)
    assert answer.status_code == 200, answer.json()
    table: dict[str, Any] = answer.json()
    return table


def _cells(table: dict[str, Any], name: str) -> dict[str, Any]:
    row = next(row for row in table["rows"] if row["version"]["name"] == name)
    return {cell["metric"]: cell for cell in row["cells"]}


def test_values_stand_beside_their_difference_from_the_parent(
    api: APIClient, make_version: MakeVersion, measured: Any, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    parent = make_version("base")
    child = make_version(parent=parent)
    grandchild = make_version(parent=child)
    measured(parent, {"perplexity": 8.0, "size_on_disk_bytes": 400})
    measured(child, {"perplexity": 10.0, "size_on_disk_bytes": 100, "kl_divergence": 0.2})
    measured(child, {"perplexity": 9.0})  # measured again: the newest counts
    measured(grandchild, {"perplexity": 9.9})
    with django_assert_max_num_queries(8):
        table = _compare(api, child)
    assert [row["version"]["name"] for row in table["rows"]] == ["tiny_v2", "tiny_v1", "base_v1"]
    assert [column["metric"] for column in table["columns"]] == ["perplexity", "kl_divergence", "size_on_disk_bytes"]
    assert table["columns"][0]["dataset_version"] == "corpus@1"
    cells = _cells(table, "tiny_v1")
    assert (cells["perplexity"]["value"], cells["perplexity"]["difference"]) == (9.0, 1.0)
    assert cells["perplexity"]["difference_pct"] == pytest.approx(12.5)
    assert cells["size_on_disk_bytes"]["difference_pct"] == -75
    assert cells["kl_divergence"]["difference"] is None
    assert _cells(table, "tiny_v2")["perplexity"]["difference"] == pytest.approx(0.9)


def test_what_is_not_comparable_does_not_stand_in_one_column(
    api: APIClient, make_version: MakeVersion, measured: Any
) -> None:
    first, second = make_version(), make_version()
    speed, elsewhere = "decode_tokens_per_s_batch1", HARDWARE | {"name": "Fast GPU", "device": "cuda"}
    for version in (first, second):
        measured(version, {speed: 10.0})
    measured(second, {speed: 1000.0}, hardware=elsewhere)
    measured(first, {"perplexity": 5.0}, protocol={"length": 8})
    table = _compare(api, first)
    assert _cells(table, "tiny_v2")[speed]["value"] == 10.0, "two were measured on the slower one"
    assert table["columns"][1]["hardware"]["name"] == "Imaginary CPU"
    faster = _compare(api, first, hardware="Fast GPU")
    assert (_cells(faster, "tiny_v2")[speed]["value"], speed in _cells(faster, "tiny_v1")) == (1000.0, False)
    measured(second, {"perplexity": 6.0}, protocol={"length": 16})
    assert "perplexity" not in _cells(_compare(api, first), "tiny_v1"), "other settings: the newest of equal groups"


def test_front_is_what_an_exhaustive_search_finds(api: APIClient, make_version: MakeVersion, measured: Any) -> None:
    draw, number = random.Random(7), count(1)
    points: dict[str, tuple[float, float, float]] = {}
    for _ in range(12):
        version = make_version()
        size, speed, perplexity = (float(draw.randint(1, 4)) for _ in range(3))
        measured(version, dict(zip(AXES, (size, speed, perplexity), strict=True)))
        points[f"tiny_v{next(number)}"] = (-size, speed, -perplexity)
    unmeasured = make_version()
    table = _compare(api, unmeasured)
    assert table["axes"] == dict(zip(("size", "speed", "quality"), AXES, strict=True))
    rows = {row["version"]["name"]: row for row in table["rows"]}
    assert rows[str(unmeasured)]["is_on_front"] is None
    for name, point in points.items():
        better = {
            other
            for other, theirs in points.items()
            if all(x >= y for x, y in zip(theirs, point, strict=True)) and theirs != point
        }
        assert rows[name]["is_on_front"] == (not better)
        assert (rows[name]["dominated_by"] in better) if better else rows[name]["dominated_by"] is None
    assert 0 < sum(row["is_on_front"] is True for row in rows.values()) < 12


def test_axes_are_metrics_of_their_aspect(api: APIClient, make_version: MakeVersion) -> None:
    address = f"/api/v1/models/{make_version().model_id}/comparison"
    answer = api.get(address, {"speed": "perplexity"})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "speed")
    assert api.get(address, {"quality": "kl_divergence"}).status_code == 200

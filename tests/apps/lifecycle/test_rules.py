"""Rules of a model: what could never be judged is refused when it is written."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from apps.core.models import Event
from apps.datasets.models import DatasetVersion
from apps.lifecycle.models import Rule
from tests.apps.lifecycle.conftest import MakeVersion

pytestmark = pytest.mark.django_db

GOOD = {"metric": "perplexity", "against": "number", "bound": 12.5, "dataset": "corpus"}


def test_rule_pins_the_dataset_version_and_says_which_way_is_better(
    owner_api: APIClient, make_version: MakeVersion, dataset: DatasetVersion
) -> None:
    rules = f"/api/v1/models/{make_version().model_id}/rules"
    made = owner_api.post(rules, GOOD | {"settings": {"length": 64}})
    assert made.status_code == 201, made.json()
    expected = {"comparison": "at_most", "bound": 12.5, "dataset_version": "corpus@1", "settings": {"length": 64}}
    assert made.json().items() >= expected.items()
    faster = {"metric": "decode_tokens_per_s_batch8", "against": "production", "tolerance_pct": 5}
    assert owner_api.post(rules, faster).json()["comparison"] == "at_least"
    assert [rule["metric"] for rule in owner_api.get(rules).json()["results"]] == [GOOD["metric"], faster["metric"]]
    again = owner_api.post(rules, GOOD | {"settings": {"length": 64}, "bound": 3})
    assert (again.status_code, again.json()["code"]) == (409, "duplicate")
    assert owner_api.delete(f"{rules}/{made.json()['id']}").status_code == 204
    assert Rule.objects.count() == 1
    actions = Event.objects.filter(action__startswith="rule.").order_by("id").values_list("action", flat=True)
    assert list(actions) == ["rule.create", "rule.create", "rule.delete"]


@pytest.mark.usefixtures("dataset")
@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"metric": "charm"}, "metric", "No evaluation computes charm; possible: perplexity"),
        ({"metric": "embedding_cosine"}, "metric", "no encoder"),
        ({"bound": None}, "bound", "null"),
        ({"against": "production"}, "bound", "against a number only"),
        ({"tolerance_pct": 5}, "tolerance_pct", "against the version in production only"),
        ({"dataset": "nothing"}, "dataset", "There is no dataset"),
        ({"metric": "size_on_disk_bytes"}, "dataset", "does not depend on a dataset"),
        ({"settings": {"length": 4}}, "settings.length", "greater than or equal to 8"),
        ({"settings": {"length": 1024}}, "settings.length", "exceeds the model's 512 positions"),
        ({"settings": {"model": "x"}}, "settings.model", "follows from the rule"),
        ({"settings": {"size": 3}}, "settings.size", "Extra inputs"),
    ],
)
def test_rule_that_cannot_work_is_refused_and_leaves_nothing(
    owner_api: APIClient, make_version: MakeVersion, change: dict[str, Any], field: str, message: str
) -> None:
    answer = owner_api.post(f"/api/v1/models/{make_version().model_id}/rules", GOOD | change)
    assert answer.status_code == 400
    (error,) = answer.json()["errors"]
    assert error["field"] == field
    assert message in error["message"]
    assert not Rule.objects.exists()


def test_dataset_of_a_rule_is_kept_and_editors_write_none(
    owner_api: APIClient, api: APIClient, make_version: MakeVersion, dataset: DatasetVersion
) -> None:
    rules = f"/api/v1/models/{make_version().model_id}/rules"
    refused = api.post(rules, GOOD)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    owner_api.post(rules, GOOD)
    answer = owner_api.delete(f"/api/v1/datasets/{dataset.dataset_id}")
    assert (answer.status_code, answer.json()["code"]) == (409, "referenced")
    assert "Models have rules on it: tiny." in answer.json()["detail"]

"""Switching back, retiring, and what was in production when."""

from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from apps.core.models import Event
from apps.lifecycle.state import STAGE_CHANGES
from apps.model_registry.models import ModelVersion, Stage
from tests.apps.lifecycle.conftest import MakeVersion
from tests.apps.lifecycle.test_promotions import promote, stage_of

pytestmark = pytest.mark.django_db


def test_table_of_changes_names_every_stage() -> None:
    assert set(STAGE_CHANGES) == set(Stage.values)
    assert set().union(*STAGE_CHANGES.values()) <= set(Stage.values)


def _production(api: APIClient, version: ModelVersion, **query: Any) -> dict[str, Any]:
    answer = api.get(f"/api/v1/models/{version.model_id}/production", query)
    assert answer.status_code == 200, answer.json()
    found: dict[str, Any] = answer.json()
    return found


def _switch(api: APIClient, version: ModelVersion, to: str | None, reason: str = "") -> Any:
    return api.post(f"/api/v1/models/{version.model_id}/production", {"version": to, "reason": reason})


def test_earlier_version_is_back_in_one_call_and_the_past_can_be_asked(
    api: APIClient, make_version: MakeVersion
) -> None:
    first, second = make_version(), make_version()
    start = timezone.now()
    promote(api, first, reason="first")
    between = timezone.now()
    promote(api, second, reason="second")
    assert (stage_of(first), stage_of(second)) == ("validated", "production")
    back = _switch(api, first, "tiny_v1", "second is slow")
    assert (back.status_code, back.json()["version"]["name"]) == (200, "tiny_v1")
    assert (stage_of(first), stage_of(second)) == ("production", "validated")
    assert _switch(api, first, "tiny_v1").status_code == 200  # repeated: nothing happens
    now = _production(api, first)
    assert (now["version"]["name"], now["reason"]) == ("tiny_v1", "second is slow")
    assert _production(api, first, at=start.isoformat())["version"] is None
    then = _production(api, first, at=between.isoformat())
    assert (then["version"]["name"], then["reason"]) == ("tiny_v1", "first")
    assert Event.objects.filter(action="model.production").count() == 3
    assert api.get(f"/api/v1/models/{first.model_id}/production", {"at": "yesterday"}).status_code == 400


def test_only_what_was_in_production_can_be_switched_to(api: APIClient, make_version: MakeVersion) -> None:
    first, never, other = make_version(), make_version(), make_version("other")
    promote(api, first)
    refused = _switch(api, first, str(never))
    assert (refused.status_code, refused.json()["code"]) == (409, "never_in_production")
    for reference in (str(other), "tiny_v9"):
        answer = _switch(api, first, reference)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "version")
    assert stage_of(first) == "production"


def test_retired_version_comes_back_when_it_is_switched_to(api: APIClient, make_version: MakeVersion) -> None:
    first, second = make_version(), make_version()
    promote(api, first)
    promote(api, second)
    assert api.post(f"/api/v1/model-versions/{first}/retire", {"reason": "old"}).json()["stage"] == "retired"
    assert api.post(f"/api/v1/model-versions/{first}/retire", {}).status_code == 200  # repeated
    assert _switch(api, first, str(first)).status_code == 200
    assert (stage_of(first), stage_of(second)) == ("production", "validated")


def test_retire_refuses_what_is_in_production_or_needed_by_a_kept_version(
    api: APIClient, owner_api: APIClient, make_version: MakeVersion
) -> None:
    parent = make_version()
    child = make_version("small", parent=parent)
    refused = api.post(f"/api/v1/model-versions/{parent}/retire", {})
    assert (refused.status_code, refused.json()["code"]) == (409, "referenced")
    assert "Versions that are kept were made from it: small_v1." in refused.json()["detail"]
    promote(api, child)
    refused = api.post(f"/api/v1/model-versions/{child}/retire", {})
    assert refused.json()["detail"] == "small_v1 is in production."
    assert _switch(api, child, None, "no rules then").status_code == 403, "rules against production would all pass"
    assert _switch(owner_api, child, None, "nobody uses it").json()["version"] is None
    for version in (child, parent):
        assert api.post(f"/api/v1/model-versions/{version}/retire", {"reason": "done"}).status_code == 200
    event = Event.objects.filter(object_id=parent.pk, action="model_version.stage").get()
    assert (event.before, event.after, event.reason) == ({"stage": "candidate"}, {"stage": "retired"}, "done")

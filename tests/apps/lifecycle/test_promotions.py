"""Promoting: rules are asked, what they need is measured first, and a refusal can be overridden with a reason."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from apps.accounts.models import User
from apps.core.models import Event
from apps.datasets.models import DatasetVersion
from apps.jobs.models import Job
from apps.jobs.services import cancel_job
from apps.lifecycle.models import Evaluation, Promotion
from apps.lifecycle.services import create_rule, decide_promotion, decide_waiting
from apps.model_registry.models import ModelVersion
from tests.apps.jobs.simulation import FakeAgent
from tests.apps.lifecycle.conftest import HARDWARE, MakeVersion, finish_evaluation

pytestmark = pytest.mark.django_db

QUALITY = {"metric": "perplexity", "dataset": "corpus"}


@pytest.fixture
def rule(owner: User, dataset: DatasetVersion) -> Any:
    """Return a function that makes a rule of a version's model."""
    return lambda version, **fields: create_rule(model_id=version.model_id, actor=owner, **fields)


def promote(client: APIClient, version: ModelVersion, **body: Any) -> dict[str, Any]:
    """Ask for a promotion; return the answer."""
    answer = client.post(f"/api/v1/model-versions/{version}/promotions", body)
    assert answer.status_code == 201, answer.json()
    promotion: dict[str, Any] = answer.json()
    return promotion


def stage_of(version: ModelVersion) -> str:
    """Return where a version stands now."""
    return ModelVersion.objects.get(pk=version.pk).stage


def test_model_without_rules_promotes_at_once_stage_by_stage(api: APIClient, make_version: MakeVersion) -> None:
    version = make_version()
    done = promote(api, version, target="validated")
    assert (done["state"], stage_of(version)) == ("promoted", "validated")
    done = promote(api, version, reason="it is good")
    assert (done["state"], done["decision"], done["jobs"]) == ("promoted", "The model has no rules.", [])
    assert stage_of(version) == "production"
    again = api.post(f"/api/v1/model-versions/{version}/promotions", {})
    assert (again.status_code, again.json()["code"]) == (409, "illegal_transition")
    history = api.get(f"/api/v1/models/{version.model_id}/stages").json()["results"]
    assert [(entry["before"], entry["after"], entry["reason"]) for entry in history] == [
        ("validated", "production", "it is good"),
        ("candidate", "validated", ""),
    ]


def test_missing_evaluations_run_first_and_the_promotion_waits_for_them(
    api: APIClient, agent: FakeAgent, make_version: MakeVersion, rule: Any
) -> None:
    version = make_version(parent=make_version("base"))
    rule(version, **QUALITY, against="number", bound=8.0)
    rule(version, metric="top1_agreement", dataset="corpus", against="number", bound=0.9)
    rule(version, metric="size_on_disk_bytes", against="number", bound=1000.0)
    waiting = promote(api, version)
    assert (waiting["state"], len(waiting["jobs"])) == ("pending", 2), "what is of a dataset is one job"
    assert promote(api, version)["id"] == waiting["id"], "asked again while it waits"
    assert Job.objects.count() == 2
    assert decide_waiting() == 0
    finish_evaluation(agent, perplexity=7.0, top1_agreement=0.95, kl_divergence=0.1)
    decide_promotion(Promotion.objects.get().pk)
    assert Promotion.objects.get().state == "pending"
    finish_evaluation(agent, size_on_disk_bytes=900.0, size_in_memory_bytes=1.0)
    assert decide_waiting() == 1
    assert decide_waiting() == 0
    (decided,) = api.get(f"/api/v1/model-versions/{version}/promotions").json()["results"]
    assert (decided["state"], decided["decision"]) == ("promoted", "All 3 rules are met.")
    assert [(verdict["metric"], verdict["value"], verdict["passed"]) for verdict in decided["verdicts"]] == [
        ("perplexity", 7.0, True), ("top1_agreement", 0.95, True), ("size_on_disk_bytes", 900.0, True),
    ]  # fmt: skip
    assert stage_of(version) == "production"


def test_unmet_rule_refuses_and_an_owner_may_override_with_a_reason_that_stays(
    api: APIClient, owner_api: APIClient, agent: FakeAgent, make_version: MakeVersion, rule: Any
) -> None:
    promote(api, make_version())
    version = make_version()
    rule(version, **QUALITY, against="number", bound=8.0)
    promote(api, version)
    finish_evaluation(agent, perplexity=9.0)
    assert decide_waiting() == 1
    (refused,) = api.get(f"/api/v1/model-versions/{version}/promotions").json()["results"]
    assert (refused["state"], refused["decision"], stage_of(version)) == (
        "refused",
        "Not met: perplexity.",
        "candidate",
    )
    assert refused["verdicts"][0]["message"] == "9 must be at most 8."
    assert promote(api, version)["state"] == "refused", "judged at once: nothing is missing any more"
    address = f"/api/v1/model-versions/{version}/promotions"
    assert api.post(address, {"override": True, "reason": "x"}).status_code == 403
    silent = owner_api.post(address, {"override": True})
    assert (silent.status_code, silent.json()["errors"][0]["field"]) == (400, "reason")
    done = promote(owner_api, version, override=True, reason="the customer waits")
    assert (done["state"], done["is_override"], done["reason"]) == ("promoted", True, "the customer waits")
    assert done["decision"] == "Promoted although not met: perplexity."
    newest, _, replaced, *_ = api.get(f"/api/v1/models/{version.model_id}/stages").json()["results"]
    assert (replaced["version_name"], replaced["is_override"]) == ("tiny_v1", False)
    owner_name = owner_api.get("/api/v1/me").json()["username"]
    assert (newest["is_override"], newest["reason"], newest["actor"]) == (True, "the customer waits", owner_name)


def test_override_decides_a_promotion_that_waits(
    api: APIClient, owner_api: APIClient, agent: FakeAgent, make_version: MakeVersion, rule: Any
) -> None:
    version = make_version()
    rule(version, **QUALITY, against="number", bound=8.0)
    waiting = promote(api, version)
    done = promote(owner_api, version, override=True, reason="now")
    assert (done["id"], done["state"], done["is_override"]) == (waiting["id"], "promoted", True)
    assert done["verdicts"][0]["passed"] is None


def test_evaluation_that_does_not_succeed_refuses_with_its_reason(
    api: APIClient, agent: FakeAgent, make_version: MakeVersion, rule: Any, editor: User
) -> None:
    version = make_version()
    rule(version, **QUALITY, against="number", bound=8.0)
    promote(api, version)
    cancel_job(job_id=Job.objects.get().pk, actor=editor)
    assert decide_waiting() == 1
    (refused,) = api.get(f"/api/v1/model-versions/{version}/promotions").json()["results"]
    assert refused["state"] == "refused"
    assert "job #1 cancelled" in refused["verdicts"][0]["message"]
    again = promote(api, version)
    assert (again["state"], again["jobs"][0]["number"]) == ("pending", 2), "the next one tries again"


def test_rule_against_production_measures_both_and_tolerates_what_it_says(
    api: APIClient, agent: FakeAgent, make_version: MakeVersion, rule: Any
) -> None:
    current = make_version()
    rule(current, **QUALITY, against="production", tolerance_pct=5)
    first = promote(api, current)
    assert (first["state"], first["verdicts"][0]["message"]) == ("promoted", "Nothing is in production yet.")
    for value, state in ((10.4, "promoted"), (11.0, "refused")):
        version = make_version()
        waiting = promote(api, version)
        if value == 10.4:  # else production is evaluated already: it was the candidate before
            assert [job["name"] for job in waiting["jobs"]] == [f"evaluate {version}", f"evaluate {current}"]
            finish_evaluation(agent, perplexity=value)
            finish_evaluation(agent, perplexity=10.0)
        else:
            finish_evaluation(agent, perplexity=value)
        assert decide_waiting() == 1
        assert Promotion.objects.get(pk=waiting["id"]).state == state
    verdict = api.get(f"/api/v1/model-versions/{version}/verdicts").json()[0]
    assert verdict["bound"] == pytest.approx(10.4 * 1.05)
    assert verdict["message"] == "11 must be at most 10.92 (tiny_v2, 5 % tolerated)."


def test_speed_is_compared_on_the_same_hardware_alone(
    api: APIClient, agent: FakeAgent, make_version: MakeVersion, rule: Any
) -> None:
    speed = "decode_tokens_per_s_batch1"
    current, version = make_version(), make_version()
    rule(current, metric=speed, against="production")
    promote(api, current)
    waiting = promote(api, version)
    assert len(waiting["jobs"]) == 2
    finish_evaluation(agent, **{speed: 100.0})
    finish_evaluation(agent, hardware=HARDWARE | {"name": "Another CPU"}, **{speed: 50.0})
    assert decide_waiting() == 1
    refused = Promotion.objects.get(pk=waiting["id"])
    assert (refused.state, refused.verdicts[0]["passed"]) == ("refused", None)
    again = promote(api, version)
    assert len(again["jobs"]) == 2, "both are measured anew"
    finish_evaluation(agent, **{speed: 100.0})
    finish_evaluation(agent, **{speed: 99.0})
    assert decide_waiting() == 1
    assert Promotion.objects.get(pk=again["id"]).state == "promoted"


def test_figures_under_other_settings_do_not_count_and_a_running_evaluation_is_shared(
    api: APIClient, agent: FakeAgent, make_version: MakeVersion, rule: Any, editor: User
) -> None:
    version = make_version()
    rule(version, **QUALITY, against="number", bound=8.0, settings={"length": 32})
    spec = {"kind": "evaluate", "model": str(version), "dataset": "corpus@1", "measure": ["perplexity"]}
    project = str(version.model.project_id)
    api.post("/api/v1/jobs", {"project": project, "name": "mine", "spec": spec})
    finish_evaluation(agent, perplexity=7.0)
    mine = api.post("/api/v1/jobs", {"project": project, "name": "mine", "spec": spec | {"length": 32}}).json()
    waiting = promote(api, version)
    assert [job["id"] for job in waiting["jobs"]] == [mine["id"]]
    finish_evaluation(agent, perplexity=7.5)
    assert decide_waiting() == 1
    assert Promotion.objects.get().verdicts[0]["value"] == 7.5
    assert Evaluation.objects.count() == 2


def test_promotion_without_a_place_to_measure_is_refused_whole(
    api: APIClient, agent: FakeAgent, make_version: MakeVersion, rule: Any
) -> None:
    version = make_version()
    rule(version, **QUALITY, against="number", bound=8.0)
    answer = api.post(f"/api/v1/model-versions/{version}/promotions", {"pool": "moon"})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "pool")
    assert not Promotion.objects.exists()
    assert not Event.objects.filter(action="promotion.request").exists()


def test_version_that_waits_or_is_in_production_is_not_deleted(
    api: APIClient, agent: FakeAgent, make_version: MakeVersion, rule: Any
) -> None:
    in_production, waiting = make_version(), make_version()
    promote(api, in_production)
    rule(waiting, **QUALITY, against="number", bound=8.0)
    promote(api, waiting)
    for version, why in ((in_production, "is in production"), (waiting, "A promotion waits for evaluations")):
        answer = api.delete(f"/api/v1/model-versions/{version}")
        assert (answer.status_code, answer.json()["code"]) == (409, "referenced")
        assert why in answer.json()["detail"]


def test_rule_on_agreement_with_a_parent_excuses_a_production_that_has_none(
    owner_api: APIClient, agent: FakeAgent, make_version: MakeVersion, rule: Any
) -> None:
    first = make_version()
    promote(owner_api, first)
    version = make_version(parent=first)
    rule(version, metric="top1_agreement", dataset="corpus", against="production", tolerance_pct=5.0)
    done = promote(owner_api, version)
    assert (done["state"], done["decision"]) == (
        "promoted", "0 of 1 rules are met, 1 had nothing to compare with.",
    )  # fmt: skip
    assert "made from no other version" in done["verdicts"][0]["message"]


def test_promotion_to_validated_that_waits_takes_nothing_out_of_production(
    api: APIClient, agent: FakeAgent, make_version: MakeVersion, rule: Any
) -> None:
    version = make_version()
    rule(version, metric="size_on_disk_bytes", against="number", bound=1000.0)
    waiting = promote(api, version, target="validated")
    assert waiting["state"] == "pending"
    ModelVersion.objects.filter(pk=version.pk).update(stage="production")  # somebody else was quicker
    finish_evaluation(agent, size_on_disk_bytes=900.0, size_in_memory_bytes=1.0)
    assert decide_waiting() == 1
    assert Promotion.objects.get().state == "refused"
    assert stage_of(version) == "production"

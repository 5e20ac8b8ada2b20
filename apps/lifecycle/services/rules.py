"""The rules of a model. What could never be met or measured is refused when it is written."""

from typing import Any
from uuid import UUID

from django.db import transaction
from pydantic import ValidationError

from apps.accounts.models import User
from apps.core import events
from apps.core.errors import Conflict, FieldError, InvalidInput
from apps.datasets.models import DatasetVersion
from apps.datasets.selectors import resolve_version
from apps.lifecycle.gate import comparison_of
from apps.lifecycle.models import Rule
from apps.lifecycle.services.stages import lock_model
from apps.lifecycle.state import Against
from apps.model_registry.layout import read_config
from apps.model_registry.models import Model
from apps.model_registry.selectors import live_versions
from apps.storage.selectors import stored_files
from workers.contract.evaluation.fit import find_misfits
from workers.contract.evaluation.metrics import METRICS
from workers.contract.evaluation.spec import EvaluateSpec, protocol_of

_FIXED = frozenset({"kind", "version", "model", "dataset", "reference", "measure"})


@transaction.atomic
def create_rule(
    *,
    model_id: UUID,
    actor: User,
    metric: str,
    against: str,
    bound: float | None = None,
    tolerance_pct: float | None = None,
    dataset: str | None = None,
    settings: dict[str, Any] | None = None,
) -> Rule:
    """Make a rule. ``dataset`` without a version means its latest one as of now; ``settings`` are fields of the spec.

    Raises:
        InvalidInput: a metric that no evaluation computes, or a field that does not go with the others.
        Conflict: there is a rule on the same thing (code ``duplicate``).
    """
    model = lock_model(model_id)
    _check_fields(metric, against, bound=bound, tolerance_pct=tolerance_pct, dataset=dataset)
    dataset_version: DatasetVersion | None = None
    if dataset is not None:
        dataset_version = resolve_version(project=model.project, reference=dataset)
    spec = _validated_spec(metric, dataset_version, settings or {})
    _check_fit(model, spec)
    rule = Rule(
        workspace_id=model.workspace_id,
        model=model,
        metric=metric,
        against=against,
        bound=bound,
        tolerance_pct=tolerance_pct or 0.0,
        dataset_version=dataset_version,
        settings=settings or {},
        protocol=protocol_of(spec, metric),
        created_by=actor,
    )
    if _same(rule):
        raise Conflict(
            f"{model} has a rule on {metric} like this already.", code="duplicate", remedy="Delete that one first."
        )
    rule.save()
    events.record(model, action="rule.create", actor=actor, after=_described(rule))
    return rule


@transaction.atomic
def delete_rule(*, rule: Rule, actor: User) -> None:
    """Drop a rule. Promotions that wait are decided by the rules there are then."""
    lock_model(rule.model_id)
    if Rule.objects.filter(pk=rule.pk).delete()[0]:
        events.record(rule.model, action="rule.delete", actor=actor, before=_described(rule))


def _check_fields(
    metric: str, against: str, *, bound: float | None, tolerance_pct: float | None, dataset: str | None
) -> None:
    if metric not in METRICS:
        known = ", ".join(METRICS)
        raise InvalidInput(f"No evaluation computes {metric[:60]!r}; possible: {known}.", field="metric")
    errors = []
    if against == Against.NUMBER and bound is None:
        errors.append(FieldError("bound", "A rule against a number needs the worst value that passes."))
    if against == Against.NUMBER and tolerance_pct is not None:
        errors.append(FieldError("tolerance_pct", "Goes with a rule against the version in production only."))
    if against == Against.PRODUCTION and bound is not None:
        errors.append(FieldError("bound", "Goes with a rule against a number only: give tolerance_pct."))
    if METRICS[metric].needs_dataset and dataset is None:
        errors.append(FieldError("dataset", f"{metric} is measured on a dataset: name one."))
    if not METRICS[metric].needs_dataset and dataset is not None:
        errors.append(FieldError("dataset", f"{metric} does not depend on a dataset: leave it out."))
    if errors:
        raise InvalidInput(errors[0].message, errors=errors)


def _validated_spec(metric: str, dataset: DatasetVersion | None, settings: dict[str, Any]) -> EvaluateSpec:
    if named := sorted(_FIXED & set(settings)):
        raise InvalidInput(f"{named[0]} follows from the rule: leave it out.", field=f"settings.{named[0]}")
    document = {
        **settings,
        "model": "any_v1",
        "measure": [METRICS[metric].measure],
        "dataset": str(dataset) if dataset is not None else None,
    }
    try:
        return EvaluateSpec.model_validate(document)
    except ValidationError as error:
        raise InvalidInput.from_pydantic(error, data=document, prefix="settings") from error


def _check_fit(model: Model, spec: EvaluateSpec) -> None:
    """Refuse what the newest version could not be measured by: the others of a model are built like it."""
    newest = live_versions().filter(model=model).select_related("file_set").order_by("-number").first()
    if newest is None:
        return
    misfits = find_misfits(spec, read_config(stored_files(newest.file_set)), has_reference=True)
    if misfits:
        errors = [
            FieldError("metric" if field == "measure" else f"settings.{field}", f"{newest}: {message}")
            for field, message in misfits.items()
        ]
        raise InvalidInput(errors[0].message, errors=errors, code="does_not_fit")


def _same(rule: Rule) -> bool:
    rows = Rule.objects.filter(
        model_id=rule.model_id,
        metric=rule.metric,
        against=rule.against,
        dataset_version=rule.dataset_version_id,
        protocol=rule.protocol,
    )
    return rows.exists()


def _described(rule: Rule) -> dict[str, object]:
    return {
        "rule": str(rule.pk),
        "metric": rule.metric,
        "against": rule.against,
        "comparison": comparison_of(rule.metric),
        "bound": rule.bound,
        "tolerance_pct": rule.tolerance_pct,
        "dataset_version": str(rule.dataset_version) if rule.dataset_version is not None else None,
    }

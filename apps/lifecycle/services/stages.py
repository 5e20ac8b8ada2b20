"""Moving versions from stage to stage. Every change is made under the model's row lock and leaves an event.

That a model has at most one version in production is also a constraint of the database.
"""

from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apps.accounts.models import Role, User
from apps.accounts.selectors import require_role
from apps.core import events
from apps.core.errors import Conflict, IllegalTransition, NotFound
from apps.lifecycle.selectors import (
    PRODUCTION_ACTION,
    STAGE_ACTION,
    production_of,
    promotions_that_need,
    stage_that_keeps,
    was_in_production,
)
from apps.lifecycle.state import STAGE_CHANGES
from apps.model_registry.models import Model, ModelVersion, Stage
from apps.model_registry.references import what_refers_to
from apps.model_registry.selectors import live_versions


def lock_model(model_id: UUID) -> Model:
    """Return a model under its row lock, which serialises every change of its versions' stages.

    Raises:
        NotFound: there is no such model.
    """
    model = Model.objects.select_for_update(of=("self",)).filter(pk=model_id, deleted_at=None).first()
    if model is None:
        raise NotFound("There is no such model.")
    return model


def lock_version(version_id: UUID) -> ModelVersion:
    """Return a living version under the lock of its model.

    Raises:
        NotFound: there is no such version.
    """
    model_id = ModelVersion.objects.filter(pk=version_id).values_list("model_id", flat=True).first()
    if model_id is not None:
        lock_model(model_id)
    version = (
        live_versions().filter(pk=version_id).select_related("model__project", "parent__model", "file_set").first()
    )
    if version is None:
        raise NotFound("There is no such model version.")
    return version


def move(version: ModelVersion, *, to: Stage, actor: User | None, reason: str, details: dict[str, object]) -> None:
    """Move a version of a locked model one stage on and record it.

    Raises:
        IllegalTransition: ``to`` is not reachable from where it stands (HTTP 409).
    """
    before = version.stage
    if to not in STAGE_CHANGES[before]:
        raise IllegalTransition(source=before, target=to)
    changed = ModelVersion.objects.filter(pk=version.pk, stage=before).update(stage=to, updated_at=timezone.now())
    assert changed == 1, "the model is locked"
    version.stage = to
    after = {"stage": str(to), **details}
    events.record(version, action=STAGE_ACTION, before={"stage": before}, after=after, reason=reason, actor=actor)


def put_in_production(
    model: Model, version: ModelVersion | None, *, actor: User | None, reason: str, details: dict[str, object]
) -> None:
    """Replace what a locked model has in production; None leaves nothing there."""
    current = production_of(model.pk)
    if current is not None:  # first, for there can be one only
        replaced_by: dict[str, object] = {"replaced_by": str(version) if version is not None else None}
        move(current, to=Stage.VALIDATED, actor=actor, reason=reason, details=replaced_by)
    if version is not None:
        if version.stage != Stage.VALIDATED:
            move(version, to=Stage.VALIDATED, actor=actor, reason=reason, details=details)
        move(version, to=Stage.PRODUCTION, actor=actor, reason=reason, details=details)
    events.record(
        model, action=PRODUCTION_ACTION, before=_named(current), after=_named(version), reason=reason, actor=actor
    )


def _named(version: ModelVersion | None) -> dict[str, str | None]:
    if version is None:
        return {"version": None, "name": None}
    return {"version": str(version.pk), "name": str(version)}


@transaction.atomic
def switch_production(*, model_id: UUID, version: ModelVersion | None, actor: User, reason: str) -> None:
    """Switch back to a version that was in production before, or leave nothing there. Repeating it is a no-op.

    No rule is asked: that version was let through when it was promoted. With nothing in production, rules against
    production have nothing to compare with, so that is left to owners.

    Raises:
        NotFound: the version is gone.
        Forbidden: the actor leaves nothing there and is no owner of the workspace (HTTP 403).
        Conflict: it never was in production (code ``never_in_production``).
    """
    model = lock_model(model_id)
    if version is None:
        require_role(actor, model.workspace_id, Role.OWNER)
    chosen = lock_version(version.pk) if version is not None else None
    if chosen == production_of(model.pk):
        return
    if chosen is not None and not was_in_production(chosen):
        raise Conflict(
            f"{chosen} never was in production.",
            code="never_in_production",
            remedy="Promote it: its model's rules are then asked.",
        )
    put_in_production(model, chosen, actor=actor, reason=reason, details={"switched": True})


@transaction.atomic
def retire_version(*, version_id: UUID, actor: User, reason: str) -> ModelVersion:
    """Take a version out of use; its files stay. Repeating it is a no-op.

    Raises:
        NotFound: there is no such version.
        Conflict: it is in production, or something that is kept needs it (code ``referenced``).
    """
    version = lock_version(version_id)
    if version.stage == Stage.RETIRED:
        return version
    held = [sentence for check in (stage_that_keeps, promotions_that_need) if (sentence := check(version))]
    held += [sentence for sentence in what_refers_to(version) if sentence not in held]
    kept = version.children.filter(deleted_at=None).exclude(stage=Stage.RETIRED).select_related("model").order_by("id")
    if names := [str(child) for child in kept[:3]]:
        held.append(f"Versions that are kept were made from it: {', '.join(names)}.")
    if held:
        remedy = "Take it out of production, or retire what refers to it first."
        raise Conflict(" ".join(held), code="referenced", remedy=remedy)
    move(version, to=Stage.RETIRED, actor=actor, reason=reason, details={})
    return version

"""Promoting a version: its model's rules are asked, what they need is measured first, and one of two at once wins.

A promotion names what it replaces. It is decided under the model's row lock, and only while that is still in
production: whoever comes second is refused, and looks again.
"""

import hashlib
from dataclasses import replace
from enum import Enum, auto
from uuid import UUID

import orjson
import structlog
from django.db import transaction
from django.utils import timezone

from apps.accounts.models import Role, User
from apps.accounts.selectors import require_role
from apps.cluster.selectors import pool_capacities
from apps.core import events
from apps.core.errors import Conflict, IllegalTransition, InvalidInput
from apps.jobs.models import Job
from apps.jobs.services import Submission, submit_job
from apps.jobs.state import ACTIVE_STATES, FINAL_STATES, JobState
from apps.lifecycle.gate import Verdict, Wanted, judge, missing_evaluations
from apps.lifecycle.models import Promotion
from apps.lifecycle.selectors import production_of, rules_of
from apps.lifecycle.services.stages import lock_model, lock_version, move, put_in_production
from apps.lifecycle.state import STAGE_CHANGES, PromotionState
from apps.model_registry.models import ModelVersion, Stage
from workers.contract.upgrades import load_spec

log = structlog.get_logger(__name__)

DECIDE_TASK = "cox.lifecycle.decide"


class Unstated(Enum):
    """The caller did not say what it believes to be in production."""

    UNSTATED = auto()


def promote(
    *,
    version: ModelVersion,
    actor: User,
    target: str = Stage.PRODUCTION,
    reason: str = "",
    override: bool = False,
    replaces: UUID | Unstated | None = Unstated.UNSTATED,
    pool: str = "default",
) -> Promotion:
    """Ask for a version to be promoted; decide at once where nothing needs to be measured.

    ``replaces`` is what the caller saw in production. Asking again while a promotion waits gives the one that waits;
    an owner who overrides decides it at once.

    Raises:
        NotFound: the version is gone.
        Forbidden: the actor overrides and is no owner of the workspace (HTTP 403).
        IllegalTransition: the target is not reachable from the version's stage (HTTP 409).
        Conflict: another version is in production than the caller saw (code ``production_changed``), or another
            promotion of the version waits (code ``promotion_pending``).
        InvalidInput: an override without a reason, or a pool where nothing can be measured.
    """
    if override:
        require_role(actor, version.workspace_id, Role.OWNER)
        if not reason.strip():
            raise InvalidInput("Say why the rules do not count this time.", field="reason")
    seen = production_of(version.model_id)  # before the lock: whoever is promoted meanwhile was first
    if target == Stage.PRODUCTION and not isinstance(replaces, Unstated):
        _refuse_if_changed(replaces, seen)
    with transaction.atomic():
        locked = lock_version(version.pk)
        promotion = _open_promotion(locked, actor, target, reason, seen)
        if promotion.target != target:
            raise Conflict(
                f"A promotion of {locked} to {promotion.target} waits for its evaluations.",
                code="promotion_pending",
                remedy="Wait for its end, or cancel its evaluations.",
            )
        if not override:
            _measure(promotion, locked, actor, pool)
        _decide(promotion, locked, actor, override=override, reason=reason)
        return promotion


@transaction.atomic
def decide_promotion(promotion_id: UUID) -> Promotion | None:
    """Decide a promotion that waits, if all that it waits for has ended. Repeating it is a no-op."""
    named = Promotion.objects.filter(pk=promotion_id).values_list("version_id", "version__model_id").first()
    if named is None:
        return None
    lock_model(named[1])
    version = ModelVersion.objects.select_related("model__project", "parent__model").get(pk=named[0])
    promotion = Promotion.objects.select_related("requested_by", "replaces__model").get(pk=promotion_id)
    if promotion.state == PromotionState.PENDING:
        _decide(promotion, version, promotion.requested_by, override=False, reason=promotion.reason)
    return promotion


def decide_waiting() -> int:
    """Decide every promotion that waits for nothing any more, and return how many: what a lost hint has left."""
    waiting = Promotion.objects.filter(state=PromotionState.PENDING).exclude(jobs__state__in=ACTIVE_STATES)
    num_decided = 0
    for pk in waiting.values_list("pk", flat=True):
        try:
            decided = decide_promotion(pk)
        except Exception:  # one that cannot be decided must not hold up the others
            log.exception("promotion not decided", promotion=str(pk))
            continue
        num_decided += decided is not None and decided.state != PromotionState.PENDING
    return num_decided


def _refuse_if_changed(expected: UUID | None, current: ModelVersion | None) -> None:
    if (current.pk if current is not None else None) != expected:
        raise Conflict(
            f"{current or 'Nothing'} is in production now.",
            code="production_changed",
            remedy="Look at what is in production, and promote again if you still want to.",
        )


def _open_promotion(
    version: ModelVersion, actor: User, target: str, reason: str, seen: ModelVersion | None
) -> Promotion:
    """Return the version's promotion that waits, or a new one."""
    waiting = Promotion.objects.filter(version=version, state=PromotionState.PENDING).first()
    if waiting is not None:
        return waiting
    can_reach = target in STAGE_CHANGES[version.stage] or (
        target == Stage.PRODUCTION and Stage.VALIDATED in STAGE_CHANGES[version.stage]
    )
    if not can_reach or version.stage == Stage.PRODUCTION:
        raise IllegalTransition(source=version.stage, target=target)
    if target == Stage.PRODUCTION:
        _refuse_if_changed(seen.pk if seen is not None else None, production_of(version.model_id))
    promotion = Promotion.objects.create(
        workspace_id=version.workspace_id,
        version=version,
        target=target,
        replaces=seen if target == Stage.PRODUCTION else None,
        reason=reason,
        requested_by=actor,
    )
    events.record(version, action="promotion.request", after={"target": target}, reason=reason, actor=actor)
    return promotion


def _measure(promotion: Promotion, version: ModelVersion, actor: User, pool: str) -> None:
    """Submit the evaluations that the rules need and nobody is doing yet."""
    if promotion.jobs.exists():
        return
    wanted = missing_evaluations(rules_of(version.model), version, production_of(version.model_id))
    if wanted and pool not in pool_capacities():
        known = ", ".join(sorted(pool_capacities())) or "none yet: start a worker first"
        raise InvalidInput(f"There is no pool {pool!r} to evaluate in; known: {known}.", field="pool")
    for each in wanted:
        promotion.jobs.add(_running_evaluation(each) or _submit(promotion, each, actor, pool))


def _running_evaluation(wanted: Wanted) -> Job | None:
    """Return a job that somebody has submitted already and that will bring the figures."""
    spec = load_spec(wanted.spec).model_dump(mode="json")
    active = Job.objects.filter(kind="evaluate", input_version=wanted.version, state__in=ACTIVE_STATES, deleted_at=None)
    return next((job for job in active if job.spec == spec), None)


def _submit(promotion: Promotion, wanted: Wanted, actor: User, pool: str) -> Job:
    digest = hashlib.sha256(orjson.dumps(wanted.spec, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
    submission = Submission(
        project_id=wanted.version.model.project_id,
        name=f"evaluate {wanted.version}",
        spec=wanted.spec,
        resources={"pool": pool},
        idempotency_key=f"promotion:{promotion.pk}:{digest}",
    )
    return submit_job(actor=actor, submission=submission)


def _decide(promotion: Promotion, version: ModelVersion, actor: User, *, override: bool, reason: str) -> None:
    """Decide under the model's lock, unless evaluations go on that nobody has overridden."""
    jobs = list(promotion.jobs.all())
    if not override and any(job.state not in FINAL_STATES for job in jobs):
        return
    production = production_of(version.model_id)
    verdicts = [judge(rule, version, production) for rule in rules_of(version.model)]
    promotion.verdicts = [_explained(verdict, jobs).document for verdict in verdicts]
    obstacle = _obstacle(promotion, production, version)
    if obstacle:
        _close(promotion, PromotionState.REFUSED, obstacle, actor)
        return
    unmet = [verdict.metric for verdict in verdicts if verdict.passed is not True]
    if unmet and not override:
        _close(promotion, PromotionState.REFUSED, f"Not met: {', '.join(unmet)}.", actor)
        return
    promotion.is_override = override and bool(unmet)
    promotion.reason = reason or promotion.reason
    _move(promotion, version, actor)
    decision = f"Promoted although not met: {', '.join(unmet)}." if unmet else _how_met(verdicts)
    _close(promotion, PromotionState.PROMOTED, decision, actor)


def _how_met(verdicts: list[Verdict]) -> str:
    """Say how many rules were met, and that some had nothing to compare."""
    if not verdicts:
        return "The model has no rules."
    excused = sum(verdict.value is None for verdict in verdicts)
    if excused:
        return f"{len(verdicts) - excused} of {len(verdicts)} rules are met, {excused} had nothing to compare with."
    return f"All {len(verdicts)} rules are met."


def _obstacle(promotion: Promotion, production: ModelVersion | None, version: ModelVersion) -> str:
    """Say what has changed since it was asked for; empty when nothing that matters has."""
    if version.deleted_at is not None:
        return f"{version} was deleted meanwhile."
    if promotion.target != Stage.PRODUCTION:
        return (
            ""
            if promotion.target in STAGE_CHANGES[version.stage] and version.stage != Stage.PRODUCTION
            else (f"{version} is {version.stage} already.")
        )
    if (production.pk if production is not None else None) != promotion.replaces_id:
        return f"Somebody was first: {production or 'nothing'} is in production now."
    return ""


def _explained(verdict: Verdict, jobs: list[Job]) -> Verdict:
    """Say of a rule that cannot be judged which evaluation has failed."""
    failed = [job for job in jobs if job.state in FINAL_STATES and job.state != JobState.SUCCEEDED]
    if verdict.passed is not None or not failed:
        return verdict
    why = "; ".join(f"job #{job.number} {job.state}: {job.state_reason}".rstrip(": ") for job in failed)
    return replace(verdict, message=f"{verdict.message} ({why})")


def _move(promotion: Promotion, version: ModelVersion, actor: User) -> None:
    details: dict[str, object] = {"promotion": str(promotion.pk), "override": promotion.is_override}
    if promotion.target == Stage.PRODUCTION:
        put_in_production(version.model, version, actor=actor, reason=promotion.reason, details=details)
    else:
        move(version, to=Stage.VALIDATED, actor=actor, reason=promotion.reason, details=details)


def _close(promotion: Promotion, state: PromotionState, decision: str, actor: User) -> None:
    promotion.state, promotion.decision, promotion.decided_at = state, decision, timezone.now()
    promotion.save()
    after = {"target": promotion.target, "override": promotion.is_override, "decision": decision}
    events.record(promotion.version, action=f"promotion.{state}", after=after, reason=promotion.reason, actor=actor)

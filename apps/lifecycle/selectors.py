"""Reading what is known of versions: their figures, rules, promotions, stages, and what was in production when."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Prefetch, Q, QuerySet

from apps.accounts.selectors import AnyUser
from apps.core.errors import NotFound
from apps.core.models import Event
from apps.datasets.models import Dataset
from apps.jobs.models import Job
from apps.lifecycle.models import Evaluation, Promotion, Rule
from apps.lifecycle.state import PromotionState
from apps.model_registry.models import Model, ModelVersion, Stage
from apps.model_registry.selectors import live_versions, visible_models

STAGE_ACTION = "model_version.stage"
PRODUCTION_ACTION = "model.production"


@dataclass(frozen=True, slots=True)
class Production:
    """What a model had in production at some time; ``version`` is None where nothing was."""

    version: ModelVersion | None
    since: datetime | None = None
    actor: str = ""
    reason: str = ""


def visible_model(*, user: AnyUser, model_id: UUID) -> Model:
    """Return a model the user may see.

    Raises:
        NotFound: there is none.
    """
    model = visible_models(user).filter(pk=model_id).first()
    if model is None:
        raise NotFound("There is no such model.")
    return model


def evaluations_of(version: ModelVersion) -> QuerySet[Evaluation]:
    """Select a version's figures, newest first."""
    rows = Evaluation.objects.filter(version=version)
    return rows.select_related("job", "dataset_version__dataset", "reference__model").order_by("-id")


def rules_of(model: Model) -> QuerySet[Rule]:
    """Select a model's rules, oldest first."""
    rows = Rule.objects.filter(model=model)
    return rows.select_related("dataset_version__dataset", "created_by").order_by("id")


def promotions_of(version: ModelVersion) -> QuerySet[Promotion]:
    """Select what was asked for a version, newest first."""
    rows = Promotion.objects.filter(version=version)
    return (
        rows.select_related("version__model", "replaces__model", "requested_by")
        .prefetch_related(Prefetch("jobs", queryset=Job.objects.order_by("number")))
        .order_by("-id")
    )


def production_of(model_id: UUID) -> ModelVersion | None:
    """Return what a model has in production now."""
    return live_versions().filter(model_id=model_id, stage=Stage.PRODUCTION).select_related("model").first()


def production_at(*, model: Model, at: datetime | None) -> Production:
    """Return what a model had in production at a time; without one, what it has now."""
    changes = Event.objects.filter(object_id=model.pk, action=PRODUCTION_ACTION)
    if at is not None:
        changes = changes.filter(created_at__lte=at)
    change = changes.order_by("-id").first()
    if change is None:
        return Production(None)
    named = (change.after or {}).get("version")
    # whoever asks about the past wants to know of versions that are deleted by now, too
    version = ModelVersion.objects.select_related("model").filter(pk=named).first() if named else None
    return Production(version, change.created_at, change.actor_name, change.reason)


def was_in_production(version: ModelVersion) -> bool:
    """Tell whether a version is or was in production."""
    changes = Event.objects.filter(object_id=version.model_id, action=PRODUCTION_ACTION)
    return changes.filter(after__version=str(version.pk)).exists()


def stage_events(model: Model) -> QuerySet[Event]:
    """Select every change of a stage of a model's versions, newest first."""
    versions = ModelVersion.objects.filter(model=model).values("pk")
    return Event.objects.filter(object_id__in=versions, action=STAGE_ACTION).order_by("-id")


def names_of_versions(model: Model) -> dict[UUID, str]:
    """Return the names of a model's versions by id, deleted ones included."""
    return {
        pk: f"{model.name}_v{number}"
        for pk, number in ModelVersion.objects.filter(model=model).values_list("pk", "number")
    }


def rules_on_dataset(dataset: Dataset) -> str:
    """Say which models have rules on a dataset; empty when none has."""
    rules = Rule.objects.filter(dataset_version__dataset=dataset, model__deleted_at=None)
    names = list(rules.order_by("model__name").values_list("model__name", flat=True).distinct()[:3])
    return f"Models have rules on it: {', '.join(names)}." if names else ""


def stage_that_keeps(version: ModelVersion) -> str:
    """Say why a version's stage forbids deleting or retiring it; empty when it does not."""
    return f"{version} is in production." if version.stage == Stage.PRODUCTION else ""


def promotions_that_need(version: ModelVersion) -> str:
    """Say which promotion waits that is about a version; empty when none does."""
    concerned = Q(version=version) | Q(replaces=version)
    waiting = Promotion.objects.filter(concerned, state=PromotionState.PENDING).select_related("version__model").first()
    return f"A promotion waits for evaluations: {waiting}." if waiting is not None else ""

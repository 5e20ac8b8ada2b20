"""The stages of a version and the states of a promotion, with the literal table of legal changes."""

from django.db import models

from apps.model_registry.models import Stage
from workers.contract.evaluation.metrics import METRICS

STAGE_CHANGES: dict[str, frozenset[str]] = {
    "candidate": frozenset({"validated", "retired"}),
    "validated": frozenset({"production", "retired"}),
    "production": frozenset({"validated"}),  # replaced, or taken out
    "retired": frozenset({"validated"}),  # back through the gate, or switched back to
}

TARGETS = [(stage.value, stage.label) for stage in (Stage.VALIDATED, Stage.PRODUCTION)]
"""What a version can be promoted to."""

METRIC_CHOICES = [(key, metric.title) for key, metric in METRICS.items()]
"""The metrics that evaluations compute, as choices."""


class PromotionState(models.TextChoices):
    """Where a promotion stands."""

    PENDING = "pending", "Waits for evaluations"
    PROMOTED = "promoted", "Promoted"
    REFUSED = "refused", "Refused"


class Against(models.TextChoices):
    """What a rule compares a version's figure with."""

    NUMBER = "number", "A number"
    PRODUCTION = "production", "The version in production"

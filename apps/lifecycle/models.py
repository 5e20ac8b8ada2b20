"""What is known of versions by measuring them, what a model asks of them, and who moved them where."""

from django.db import models
from django.db.models import Q

from apps.accounts.models import User, Workspace
from apps.core.models import Record
from apps.datasets.models import DatasetVersion
from apps.jobs.models import Job
from apps.lifecycle.state import METRIC_CHOICES, TARGETS, Against, PromotionState
from apps.model_registry.models import Model, ModelVersion


class Evaluation(Record):
    """One figure of one version, as a job measured it. Never changed; a new measurement is a new row."""

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="evaluations")
    metric = models.CharField(max_length=60, choices=METRIC_CHOICES)
    value = models.FloatField()
    spread = models.FloatField(null=True)
    """Over repeats the interquartile range, over samples the standard error."""
    unit = models.CharField(max_length=20, blank=True)
    num_values = models.PositiveIntegerField(default=1)
    """Repeats or samples behind the value."""
    dtype = models.CharField(max_length=20)
    dataset_version = models.ForeignKey(DatasetVersion, null=True, on_delete=models.PROTECT, related_name="+")
    reference = models.ForeignKey(ModelVersion, null=True, on_delete=models.PROTECT, related_name="+")
    """The version that it was compared with."""
    protocol = models.JSONField(default=dict)
    """The settings that the value depends on: values are comparable when these are equal."""
    hardware = models.JSONField(default=dict)
    """``workers.contract.evaluation.result.Hardware``."""
    job = models.ForeignKey(Job, on_delete=models.PROTECT, related_name="evaluations")

    class Meta:
        constraints = (models.UniqueConstraint(fields=["job", "metric"], name="evaluation_once"),)
        indexes = (models.Index(fields=["version", "metric", "-id"], name="evaluation_of_version"),)

    def __str__(self) -> str:
        return f"{self.metric} of {self.version}"


class Rule(Record):
    """What a model asks of a version before it is promoted. Which way is better follows from the metric."""

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    model = models.ForeignKey(Model, on_delete=models.PROTECT, related_name="rules")
    metric = models.CharField(max_length=60, choices=METRIC_CHOICES)
    against = models.CharField(max_length=12, choices=Against)
    bound = models.FloatField(null=True)
    """Against a number: the worst value that passes."""
    tolerance_pct = models.FloatField(default=0.0)
    """Against the version in production: by how much of its value this one may be worse, in percent."""
    dataset_version = models.ForeignKey(DatasetVersion, null=True, on_delete=models.PROTECT, related_name="+")
    settings = models.JSONField(default=dict)
    """Fields of the evaluation's spec that differ from their defaults."""
    protocol = models.JSONField(default=dict)
    """What an evaluation must have been made with to count; follows from ``settings``."""
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["model", "metric", "against", "dataset_version", "protocol"],
                nulls_distinct=False,
                name="rule_once",
            ),
        )

    def __str__(self) -> str:
        return f"{self.metric} of {self.model}"


class Promotion(Record):
    """Somebody wants a version in a stage. Decided once: when the evaluations that its rules need are there."""

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="promotions")
    target = models.CharField(max_length=12, choices=TARGETS)
    state = models.CharField(max_length=10, choices=PromotionState, default=PromotionState.PENDING)
    replaces = models.ForeignKey(ModelVersion, null=True, on_delete=models.PROTECT, related_name="+")
    """What was in production when it was asked for. Another one there at the decision means that somebody was first."""
    jobs = models.ManyToManyField(Job, related_name="promotions")
    """Evaluations that it waits for."""
    verdicts = models.JSONField(default=list)
    """``apps.lifecycle.gate.Verdict``, one for each rule, as they stood at the decision."""
    is_override = models.BooleanField(default=False)
    """Promoted by an owner's word although rules were not met; ``reason`` says why."""
    reason = models.TextField(blank=True)
    decision = models.TextField(blank=True)
    """One sentence for a person."""
    requested_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    decided_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["version"], condition=Q(state="pending"), name="promotion_one_pending"),
        )
        indexes = (models.Index(fields=["created_at"], condition=Q(state="pending"), name="promotion_pending"),)

    def __str__(self) -> str:
        return f"{self.version} to {self.target}"

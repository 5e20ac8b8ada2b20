"""How evaluations, rules, promotions and stages travel."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.core.models import Event
from apps.core.serializers import InputSerializer
from apps.jobs.models import Job
from apps.jobs.state import JobState
from apps.lifecycle.comparison import DEFAULT_AXES, Column, Row
from apps.lifecycle.gate import comparison_of
from apps.lifecycle.models import Evaluation, Promotion, Rule
from apps.lifecycle.state import METRIC_CHOICES, TARGETS, Against, PromotionState
from apps.model_registry.models import Stage
from apps.model_registry.serializers import ModelVersionSummarySerializer
from workers.contract.evaluation.metrics import METRICS

_MAX_REASON = 2000
_COMPARISONS = [("at_least", "At least"), ("at_most", "At most")]
_ASPECTS = [("quality", "Quality"), ("speed", "Speed"), ("size", "Size")]


class HardwareSerializer(serializers.Serializer[Any]):
    """What a figure was measured on."""

    device = serializers.CharField()
    name = serializers.CharField()
    cores = serializers.IntegerField()
    threads = serializers.IntegerField()


class EvaluationSerializer(serializers.ModelSerializer[Evaluation]):
    """One figure of a version."""

    title = serializers.CharField(source="get_metric_display", read_only=True)
    version = serializers.UUIDField(source="version_id", read_only=True)
    dataset_version = serializers.SerializerMethodField(help_text="Name, where the figure is of a dataset.")
    reference = serializers.SerializerMethodField(help_text="Name of the version it was compared with.")
    hardware = HardwareSerializer(read_only=True)
    protocol = serializers.DictField(read_only=True, help_text="Settings that must be equal to compare two values.")
    job = serializers.UUIDField(source="job_id", read_only=True)
    job_number = serializers.IntegerField(source="job.number", read_only=True)

    class Meta:
        model = Evaluation
        fields = (
            "id", "version", "metric", "title", "value", "spread", "unit", "num_values", "dtype", "dataset_version",
            "reference", "protocol", "hardware", "job", "job_number", "created_at",
        )  # fmt: skip
        read_only_fields = fields

    def get_dataset_version(self, evaluation: Evaluation) -> str | None:
        """Return the dataset version's name."""
        return str(evaluation.dataset_version) if evaluation.dataset_version else None

    def get_reference(self, evaluation: Evaluation) -> str | None:
        """Return the reference's name."""
        return str(evaluation.reference) if evaluation.reference else None


class RuleSerializer(serializers.ModelSerializer[Rule]):
    """What a model asks of its versions."""

    title = serializers.CharField(source="get_metric_display", read_only=True)
    comparison = serializers.SerializerMethodField(help_text="Follows from the metric.")
    unit = serializers.SerializerMethodField()
    dataset_version = serializers.SerializerMethodField()
    settings = serializers.DictField(read_only=True)
    created_by = serializers.CharField(source="created_by.username", read_only=True)

    class Meta:
        model = Rule
        fields = (
            "id", "metric", "title", "against", "comparison", "bound", "tolerance_pct", "unit", "dataset_version",
            "settings", "created_by", "created_at",
        )  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(serializers.ChoiceField(choices=_COMPARISONS))
    def get_comparison(self, rule: Rule) -> str:
        """Return the side of the bound."""
        return comparison_of(rule.metric)

    def get_unit(self, rule: Rule) -> str:
        """Return the metric's unit."""
        return METRICS[rule.metric].unit

    def get_dataset_version(self, rule: Rule) -> str | None:
        """Return the dataset version's name."""
        return str(rule.dataset_version) if rule.dataset_version else None


class CreateRuleSerializer(InputSerializer):
    """A new rule: against a number (`bound`), or against the version in production (`tolerance_pct`)."""

    metric = serializers.ChoiceField(
        choices=METRIC_CHOICES,
        error_messages={"invalid_choice": f"No evaluation computes {{input}}; possible: {', '.join(METRICS)}."},
    )
    against = serializers.ChoiceField(choices=Against.choices)
    bound = serializers.FloatField(required=False, help_text="The worst value that passes.")
    tolerance_pct = serializers.FloatField(
        required=False,
        min_value=0,
        max_value=1000,
        help_text="How much worse than production, in percent of its value.",
    )
    dataset = serializers.CharField(max_length=80, required=False, help_text="`name` (the latest now) or `name@3`.")
    settings = serializers.DictField(
        required=False, help_text="Fields of an evaluation's spec: `length`, `num_samples`, `generation`, ..."
    )


class VerdictSerializer(serializers.Serializer[Any]):
    """What a rule says of a version."""

    rule = serializers.UUIDField()
    metric = serializers.ChoiceField(choices=METRIC_CHOICES)
    against = serializers.ChoiceField(choices=Against.choices)
    comparison = serializers.ChoiceField(choices=_COMPARISONS)
    bound = serializers.FloatField(allow_null=True)
    value = serializers.FloatField(allow_null=True)
    unit = serializers.CharField(allow_blank=True)
    dataset_version = serializers.CharField(allow_null=True)
    evaluation = serializers.UUIDField(allow_null=True)
    passed = serializers.BooleanField(allow_null=True, help_text="Null while the version is not evaluated.")
    message = serializers.CharField()


class WaitingJobSerializer(serializers.ModelSerializer[Job]):
    """An evaluation that a promotion waits for."""

    state = serializers.ChoiceField(choices=JobState.choices)

    class Meta:
        model = Job
        fields = ("id", "number", "name", "state")
        read_only_fields = fields


class PromotionSerializer(serializers.ModelSerializer[Promotion]):
    """Somebody's wish to promote a version, and what became of it."""

    version = serializers.UUIDField(source="version_id", read_only=True)
    version_name = serializers.CharField(source="version.__str__", read_only=True)
    target = serializers.ChoiceField(choices=TARGETS, read_only=True)
    state = serializers.ChoiceField(choices=PromotionState.choices, read_only=True)
    replaces = serializers.SerializerMethodField(help_text="Name of the version that was in production.")
    verdicts = VerdictSerializer(many=True, read_only=True)
    jobs = WaitingJobSerializer(many=True, read_only=True)
    requested_by = serializers.CharField(source="requested_by.username", read_only=True)

    class Meta:
        model = Promotion
        fields = (
            "id", "version", "version_name", "target", "state", "replaces", "verdicts", "is_override", "reason",
            "decision", "jobs", "requested_by", "created_at", "decided_at",
        )  # fmt: skip
        read_only_fields = fields

    def get_replaces(self, promotion: Promotion) -> str | None:
        """Return the name."""
        return str(promotion.replaces) if promotion.replaces else None


class PromoteSerializer(InputSerializer):
    """Where to promote a version to."""

    target = serializers.ChoiceField(choices=TARGETS, default=Stage.PRODUCTION.value)
    reason = serializers.CharField(max_length=_MAX_REASON, allow_blank=True, required=False)
    override = serializers.BooleanField(
        default=False, help_text="Promote although rules are not met; for owners, with a reason that stays."
    )
    replaces = serializers.UUIDField(
        required=False, allow_null=True, help_text="What you saw in production; refused when another is there by now."
    )
    pool = serializers.CharField(max_length=63, required=False, help_text="Where missing evaluations run.")


class RetireSerializer(InputSerializer):
    """Why a version goes out of use."""

    reason = serializers.CharField(max_length=_MAX_REASON, allow_blank=True, required=False)


class SwitchSerializer(InputSerializer):
    """An earlier version of the model to switch back to."""

    version = serializers.CharField(
        max_length=80, allow_null=True, help_text="Id, or name such as `tiny_v3`; null leaves nothing in production."
    )
    reason = serializers.CharField(max_length=_MAX_REASON, allow_blank=True, required=False)


class ProductionSerializer(serializers.Serializer[Any]):
    """What a model had in production at a time."""

    version = ModelVersionSummarySerializer(allow_null=True)
    since = serializers.DateTimeField(allow_null=True)
    actor = serializers.CharField(allow_blank=True)
    reason = serializers.CharField(allow_blank=True)


class StageChangeSerializer(serializers.Serializer[Event]):
    """A version went from one stage to another."""

    id = serializers.UUIDField()
    version = serializers.UUIDField()
    version_name = serializers.CharField()
    before = serializers.ChoiceField(choices=Stage.choices)
    after = serializers.ChoiceField(choices=Stage.choices)
    actor = serializers.CharField()
    reason = serializers.CharField(allow_blank=True)
    is_override = serializers.BooleanField()
    created_at = serializers.DateTimeField()

    def to_representation(self, instance: Event) -> dict[str, Any]:
        """Read it from the event."""
        after = instance.after or {}
        return {
            "id": str(instance.pk),
            "version": str(instance.object_id),
            "version_name": self.context["names"].get(instance.object_id, ""),
            "before": (instance.before or {}).get("stage"),
            "after": after.get("stage"),
            "actor": instance.actor_name,
            "reason": instance.reason,
            "is_override": bool(after.get("override")),
            "created_at": instance.created_at,
        }


class ColumnSerializer(serializers.Serializer[Column]):
    """One metric of a comparison."""

    metric = serializers.ChoiceField(choices=METRIC_CHOICES)
    title = serializers.CharField()
    unit = serializers.CharField(allow_blank=True)
    aspect = serializers.ChoiceField(choices=_ASPECTS)
    higher_is_better = serializers.BooleanField()
    dataset_version = serializers.CharField(allow_null=True)
    hardware = HardwareSerializer(allow_null=True)
    protocol = serializers.DictField()

    def to_representation(self, instance: Column) -> dict[str, Any]:
        """Put the catalogue's words beside it."""
        metric = METRICS[instance.metric]
        return {
            "metric": instance.metric,
            "title": metric.title,
            "unit": metric.unit,
            "aspect": metric.aspect.value,
            "higher_is_better": metric.higher_is_better,
            "dataset_version": instance.dataset_version,
            "hardware": instance.hardware,
            "protocol": instance.protocol,
        }


class CellSerializer(serializers.Serializer[Any]):
    """A version's value of one metric."""

    metric = serializers.ChoiceField(choices=METRIC_CHOICES, source="evaluation.metric")
    value = serializers.FloatField(source="evaluation.value")
    spread = serializers.FloatField(source="evaluation.spread", allow_null=True)
    difference = serializers.FloatField(allow_null=True, help_text="From the parent's value.")
    difference_pct = serializers.FloatField(allow_null=True, help_text="Of the parent's value.")
    job = serializers.UUIDField(source="evaluation.job_id")


class ComparedVersionSerializer(serializers.Serializer[Row]):
    """A version and its values."""

    version = ModelVersionSummarySerializer()
    cells = serializers.SerializerMethodField()
    is_on_front = serializers.BooleanField(
        allow_null=True, help_text="No other version is better in all three; null where a figure is lacking."
    )
    dominated_by = serializers.CharField(allow_null=True, help_text="Name of a version that is nowhere worse.")

    @extend_schema_field(CellSerializer(many=True))
    def get_cells(self, row: Row) -> Any:
        """Return the values in the columns' order."""
        return CellSerializer(list(row.cells.values()), many=True).data


class AxesSerializer(serializers.Serializer[Any]):
    """The metrics that the front weighs against each other."""

    size = serializers.CharField()
    speed = serializers.CharField()
    quality = serializers.CharField()


class ComparisonSerializer(serializers.Serializer[Any]):
    """The versions of a model side by side."""

    axes = AxesSerializer()
    columns = ColumnSerializer(many=True)
    rows = ComparedVersionSerializer(many=True)


class ComparisonQuerySerializer(serializers.Serializer[Any]):
    """What of a comparison is wanted."""

    size = serializers.CharField(required=False, help_text=f"Metric of size; default {DEFAULT_AXES['size']}.")
    speed = serializers.CharField(required=False, help_text=f"Metric of speed; default {DEFAULT_AXES['speed']}.")
    quality = serializers.CharField(required=False, help_text=f"Metric of quality; default {DEFAULT_AXES['quality']}.")
    dataset_version = serializers.CharField(required=False, help_text="Only figures of this one, such as `text@3`.")
    hardware = serializers.CharField(required=False, help_text="Only speeds measured on hardware of this name.")


class ProductionQuerySerializer(serializers.Serializer[Any]):
    """Which time is asked about."""

    at = serializers.DateTimeField(required=False, help_text="ISO 8601 with a time zone; default now.")

"""The admin console's pages of evaluations, rules and promotions: shown, changed over REST alone."""

from django.contrib import admin

from apps.core.admin import ReadOnlyAdmin
from apps.lifecycle.models import Evaluation, Promotion, Rule


@admin.register(Evaluation)
class EvaluationAdmin(ReadOnlyAdmin):
    """What versions were measured to be."""

    list_display = ("version", "metric", "value", "spread", "unit", "dataset_version", "reference", "job", "created_at")
    list_filter = ("metric", "workspace", "created_at")
    search_fields = ("version__model__name", "=version__id", "=job__id", "metric")
    list_select_related = ("version__model", "dataset_version__dataset", "reference__model", "job")
    ordering = ("-id",)


@admin.register(Rule)
class RuleAdmin(ReadOnlyAdmin):
    """What models ask of their versions."""

    list_display = (
        "model",
        "metric",
        "against",
        "bound",
        "tolerance_pct",
        "dataset_version",
        "created_by",
        "created_at",
    )
    list_filter = ("metric", "against", "workspace")
    search_fields = ("model__name", "=model__id", "metric")
    list_select_related = ("model", "dataset_version__dataset", "created_by")
    ordering = ("-id",)


@admin.register(Promotion)
class PromotionAdmin(ReadOnlyAdmin):
    """Who wanted which version where, and what was decided."""

    list_display = (
        "version", "target", "state", "is_override", "decision", "reason", "requested_by", "created_at", "decided_at",
    )  # fmt: skip
    list_filter = ("state", "target", "is_override", "workspace", "created_at")
    search_fields = ("version__model__name", "=version__id", "=id", "reason")
    list_select_related = ("version__model", "requested_by")
    ordering = ("-id",)

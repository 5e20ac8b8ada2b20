"""Filters of the job list."""

from django import forms
from django.db.models import Q, QuerySet
from django_filters import rest_framework as filters

from apps.jobs.models import Job
from apps.jobs.state import KIND_CHOICES, JobState

_MAX_NUMBER = 2**31 - 1


class WholeNumberFilter(filters.NumberFilter):
    """A number without a fraction."""

    field_class = forms.IntegerField


class JobFilter(filters.FilterSet):
    """By state (several, comma-separated), kind, project, owner, pool, the version made, text, time of creation."""

    state = filters.CharFilter(method="by_state", help_text="One state, or several separated by commas.")
    kind = filters.ChoiceFilter(choices=KIND_CHOICES)
    project = filters.UUIDFilter(field_name="project_id")
    workspace = filters.UUIDFilter(field_name="workspace_id")
    owner = filters.UUIDFilter(field_name="owner_id")
    owner_name = filters.CharFilter(field_name="owner__username", lookup_expr="iexact")
    pool = filters.CharFilter(field_name="pool")
    number = WholeNumberFilter(field_name="number", min_value=0, max_value=_MAX_NUMBER)
    output_version = filters.UUIDFilter(field_name="output_version_id", help_text="The model version that it made.")
    input_version = filters.UUIDFilter(
        field_name="input_version_id", help_text="The model version that it starts from."
    )
    search = filters.CharFilter(method="by_text", help_text="Part of the name, or a number with or without #.")
    created_after = filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="gte")
    created_before = filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="lt")

    class Meta:
        model = Job
        fields = (
            "state", "kind", "project", "workspace", "owner", "owner_name", "pool", "number", "output_version",
            "input_version", "search",
        )  # fmt: skip

    def by_state(self, rows: QuerySet[Job], name: str, value: str) -> QuerySet[Job]:
        """Keep the named states; an unknown one matches nothing."""
        return rows.filter(state__in=[state for state in value.split(",") if state in JobState.values])

    def by_text(self, rows: QuerySet[Job], name: str, value: str) -> QuerySet[Job]:
        """Keep jobs whose name holds the text, or whose number it is."""
        condition = Q(name__icontains=value)
        digits = value.removeprefix("#")
        if digits.isascii() and digits.isdigit() and int(digits) <= _MAX_NUMBER:
            condition |= Q(number=int(digits))
        return rows.filter(condition)

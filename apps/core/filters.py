"""Filtering and ordering of lists by query parameter."""

from typing import TYPE_CHECKING, Any

from django.db.models import QuerySet
from django_filters import CharFilter
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.filters import OrderingFilter
from rest_framework.request import Request

from apps.core.errors import InvalidInput

if TYPE_CHECKING:  # REST framework imports this module while it builds its views
    from rest_framework.views import APIView


class StrictFilterBackend(DjangoFilterBackend):
    """A view's ``filterset_class``; an empty value is refused where it is none, not taken for an absent filter."""

    def get_filterset(self, request: Request, queryset: QuerySet[Any], view: "APIView") -> Any:
        """Return the bound filters.

        Raises:
            InvalidInput: an id, a choice, a number or a time is empty (HTTP 400).
        """
        filterset = super().get_filterset(request, queryset, view)
        for name, asked in filterset.filters.items() if filterset is not None else ():
            if request.query_params.get(name) == "" and not isinstance(asked, CharFilter):
                raise InvalidInput("Must not be empty.", field=name, remedy="Leave it out to filter by something else.")
        return filterset


class StrictOrderingFilter(OrderingFilter):
    """``?ordering=-created_at,name`` over the view's ``ordering_fields``; an unknown field is refused, not ignored."""

    ordering_fields = ()  # a view that names none offers no ordering

    def get_ordering(self, request: Request, queryset: QuerySet[Any], view: "APIView") -> Any:
        """Return the order that was asked for, or the view's default.

        Raises:
            InvalidInput: a field that the list cannot be ordered by (HTTP 400).
        """
        asked = [part.strip() for part in request.query_params.get(self.ordering_param, "").split(",") if part.strip()]
        if not asked:
            return self.get_default_ordering(view)
        allowed = {name for name, _label in self.get_valid_fields(queryset, view, {"request": request})}
        for part in asked:
            if part.removeprefix("-") not in allowed:
                known = ", ".join(sorted(allowed)) or "nothing"
                raise InvalidInput(f"Cannot order by {part.removeprefix('-')!r}; possible: {known}.", field="ordering")
        return asked

    def get_schema_operation_parameters(self, view: "APIView") -> list[dict[str, Any]]:
        """Describe the parameter for OpenAPI, where the view offers one."""
        names = list(getattr(view, "ordering_fields", ()))
        if not names:
            return []
        text = f"Fields to sort by, comma separated, `-` for descending. Possible: {', '.join(names)}."
        return [
            {"name": "ordering", "in": "query", "required": False, "description": text, "schema": {"type": "string"}}
        ]

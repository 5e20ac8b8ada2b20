"""Cursor pagination by key: every page costs the same, and rows added meanwhile neither hide nor repeat others.

A cursor is the sort key of the row the page borders on. The id is always the last part of the key, so that the order is
total. Nulls sort last in both directions.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
from django.core.exceptions import FieldError as DjangoFieldError
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db.models import F, Field, Model, Q, QuerySet
from django.db.models.expressions import OrderBy
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from apps.core.errors import InvalidInput

if TYPE_CHECKING:  # REST framework imports this module while it builds its views
    from rest_framework.views import APIView

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 500


@dataclass(frozen=True, slots=True)
class _Key:
    """One part of the sort key."""

    name: str
    is_descending: bool
    field: "Field[Any, Any]"

    def order_by(self, *, reverse: bool) -> OrderBy:
        # nulls are named only where there can be some: an index in the plain order would not serve otherwise
        first, last = (None, None) if not self.field.null else (True, None) if reverse else (None, True)
        expression = F(self.name)
        if self.is_descending != reverse:
            return expression.desc(nulls_first=first, nulls_last=last)
        return expression.asc(nulls_first=first, nulls_last=last)

    def beyond(self, value: object, *, reverse: bool) -> Q | None:
        """Select rows that lie strictly behind ``value`` in reading direction; None when there are none."""
        if value is None:
            return Q(**{f"{self.name}__isnull": False}) if reverse else None
        comparison = "lt" if self.is_descending != reverse else "gt"
        behind = Q(**{f"{self.name}__{comparison}": value})
        return behind if reverse or not self.field.null else behind | Q(**{f"{self.name}__isnull": True})

    def same(self, value: object) -> Q:
        return Q(**{f"{self.name}__isnull": True}) if value is None else Q(**{self.name: value})


class CursorPagination(BasePagination):
    """``{next, previous, results}`` with ``?cursor=`` and ``?page_size=`` (at most 500)."""

    default_ordering = ("-id",)

    def paginate_queryset(  # type: ignore[override]  # rows come from the database alone
        self, queryset: QuerySet[Any], request: Request, view: "APIView | None" = None
    ) -> list[Any]:
        """Return one page of ``queryset`` in its own order (default: newest first)."""
        self.request = request
        size = _page_size(request)
        keys = _sort_keys(queryset, self.default_ordering)
        reverse, values = _decode(request.query_params.get("cursor"), keys)
        rows = queryset.order_by(*(key.order_by(reverse=reverse) for key in keys))
        if values is not None:
            rows = rows.filter(_behind(keys, values, reverse=reverse))
        found = list(rows[: size + 1])
        has_more, page = len(found) > size, found[:size]
        if reverse:
            page.reverse()
        has_next = has_more if not reverse else True
        has_previous = has_more if reverse else values is not None
        self.next_cursor = _encode(keys, page[-1], reverse=False) if page and has_next else None
        self.previous_cursor = _encode(keys, page[0], reverse=True) if page and has_previous else None
        return page

    def get_paginated_response(self, data: Any) -> Response:
        """Wrap serialized rows with links to the pages beside."""
        return Response({
            "next": self._link(self.next_cursor),
            "previous": self._link(self.previous_cursor),
            "results": data,
        })  # fmt: skip

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Describe the envelope for OpenAPI."""
        link = {"type": ["string", "null"], "format": "uri", "description": "Address of the page beside this one."}
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {"next": link, "previous": link, "results": schema},
        }

    def get_schema_operation_parameters(self, view: "APIView") -> list[dict[str, Any]]:
        """Describe the query parameters for OpenAPI."""
        size = {"type": "integer", "minimum": 1, "maximum": MAX_PAGE_SIZE, "default": DEFAULT_PAGE_SIZE}
        return [
            {"name": "cursor", "in": "query", "required": False, "schema": {"type": "string"}},
            {"name": "page_size", "in": "query", "required": False, "schema": size},
        ]

    def _link(self, cursor: str | None) -> str | None:
        if cursor is None:
            return None
        return replace_query_param(self.request.build_absolute_uri(), "cursor", cursor)


def _page_size(request: Request) -> int:
    given = request.query_params.get("page_size")
    if given is None:
        return DEFAULT_PAGE_SIZE
    if not given.isascii() or not given.isdigit() or len(given) > 9 or int(given) < 1:
        raise InvalidInput("Must be a positive whole number.", field="page_size")
    if int(given) > MAX_PAGE_SIZE:
        message = f"A page has at most {MAX_PAGE_SIZE} rows."
        raise InvalidInput(message, field="page_size", remedy="Follow `next` for the rest.")
    return int(given)


def _sort_keys(queryset: QuerySet[Any], default: Sequence[str]) -> list[_Key]:
    names = [name for name in queryset.query.order_by if isinstance(name, str)] or list(default)
    if not any(name.lstrip("-") in {"id", "pk"} for name in names):
        names.append("-id" if names[-1].startswith("-") else "id")
    keys = []
    for name in names:
        bare = name.lstrip("-")
        keys.append(_Key(bare, name.startswith("-"), _field(queryset, bare)))
        if bare in {"id", "pk"}:
            break
    return keys


def _field(queryset: QuerySet[Any], name: str) -> "Field[Any, Any]":
    if name in queryset.query.annotations:
        output: Field[Any, Any] = queryset.query.annotations[name].output_field
        return output
    model: type[Model] = queryset.model
    *path, last = name.split("__")
    for part in path:
        related = model._meta.get_field(part).related_model
        if not (isinstance(related, type) and issubclass(related, Model)):
            raise DjangoFieldError(f"{name} is no path of fields")
        model = related
    field = model._meta.pk if last == "pk" else model._meta.get_field(last)
    assert isinstance(field, Field)
    return field


def _behind(keys: Sequence[_Key], values: Sequence[object], *, reverse: bool) -> Q:
    """Select rows whose key is behind ``values``: a > x, or a = x and b > y, and so on."""
    condition, equal = Q(pk__in=[]), Q()
    for key, value in zip(keys, values, strict=True):
        if (beyond := key.beyond(value, reverse=reverse)) is not None:
            condition |= equal & beyond
        equal &= key.same(value)
    return condition


def _encode(keys: Sequence[_Key], row: object, *, reverse: bool) -> str:
    values = [_text(_value(row, key.name)) for key in keys]
    return base64.urlsafe_b64encode(orjson.dumps([reverse, *values])).rstrip(b"=").decode()


def _value(row: object, path: str) -> object:
    for part in path.split("__"):
        row = getattr(row, part) if row is not None else None
    return row


def _text(value: object) -> str | None:
    if value is None:
        return None
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _decode(cursor: str | None, keys: Sequence[_Key]) -> "tuple[bool, list[object] | None]":
    if not cursor:
        return False, None
    try:
        parts = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        is_whole = isinstance(parts, list) and len(parts) == len(keys) + 1 and isinstance(parts[0], bool)
        values = [_python(key, value) for key, value in zip(keys, parts[1:], strict=True)] if is_whole else None
    except (binascii.Error, ValueError, TypeError, OverflowError, DjangoValidationError):
        values = None
    if values is None:
        raise InvalidInput("Not a cursor of this list and ordering.", field="cursor")
    return parts[0], values


def _python(key: _Key, value: object) -> object:
    if value is None:
        return None
    if not isinstance(value, str) or "\0" in value:
        raise ValueError("cursor")
    return key.field.to_python(value)

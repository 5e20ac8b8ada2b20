"""Writing JSON answers by orjson. NaN and infinities travel as strings: JSON has no words for them."""

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import orjson
from django.http import Http404
from django.utils.functional import Promise
from pydantic import BaseModel
from rest_framework.exceptions import NotAcceptable
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request


class JsonRenderer(BaseRenderer):
    """``application/json``. Data that is already bytes passes unchanged, so that a view may encode bulk itself."""

    media_type = "application/json"
    format = "json"
    charset = None
    render_style = "binary"

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        """Encode ``data``; None is an empty body."""
        if data is None:
            return b""
        return data if isinstance(data, bytes) else dump_json(data)


def dump_json(data: Any) -> bytes:
    """Encode ``data`` with every non-finite float as ``"NaN"``, ``"Infinity"`` or ``"-Infinity"``."""
    return orjson.dumps(_finite(data), default=_default, option=orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS)


def wire_float(value: float) -> float | str:
    """Return ``value``, or its name when JSON cannot express it."""
    if math.isfinite(value):
        return value
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _finite(data: Any) -> Any:
    if isinstance(data, float):
        return wire_float(data)
    if isinstance(data, Mapping):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_finite(value) for value in data]
    return data


def _default(value: object) -> object:
    if isinstance(value, BaseModel):
        return _finite(value.model_dump(mode="json"))
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, (Promise, Decimal)):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


class AlwaysJson(DefaultContentNegotiation):
    """Answers JSON where the caller asks for something else: an error body is better than a 406."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        """Return the renderer that fits the Accept header, else the first."""
        try:
            return super().select_renderer(request, renderers, format_suffix)
        except (NotAcceptable, Http404):
            return renderers[0], renderers[0].media_type

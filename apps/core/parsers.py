"""Reading JSON bodies: fast, bounded, and refusing what could not be stored."""

from collections.abc import Mapping
from typing import IO, Any

import orjson
from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

MAX_DEPTH = 64
"""Deeper nesting is refused: no spec needs it, and recursive readers would break on it."""


class JsonParser(BaseParser):
    """JSON by orjson, at most ``DATA_UPLOAD_MAX_MEMORY_SIZE`` bytes."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """Return the decoded body.

        Raises:
            RequestDataTooBig: HTTP 413.
            ParseError: HTTP 400, for malformed or too deep JSON and NUL characters.
        """
        return load_json(read_limited(stream))


def read_limited(stream: IO[Any]) -> bytes:
    """Read a whole body, refusing one over the limit without holding more than the limit of it."""
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    body: bytes = stream.read(limit + 1) if limit is not None else stream.read()
    if limit is not None and len(body) > limit:
        raise RequestDataTooBig(f"The body is larger than {limit} bytes.")
    return body


def load_json(body: bytes) -> Any:
    """Decode JSON that may be stored: no NUL characters (Postgres refuses them), bounded depth."""
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ParseError(f"The body is not valid JSON: {error}.") from error
    suspicious = b"\\u0000" in body
    if suspicious or body.count(b"[") + body.count(b"{") > MAX_DEPTH:
        _check(data)
    return data


def _check(data: object) -> None:
    level: list[object] = [data]
    for _ in range(MAX_DEPTH):
        below: list[object] = []
        for value in level:
            if isinstance(value, str):
                if "\0" in value:
                    raise ParseError("A string holds a NUL character.")
            elif isinstance(value, dict):
                below.extend(value)
                below.extend(value.values())
            elif isinstance(value, list):
                below.extend(value)
        if not below:
            return
        level = below
    raise ParseError(f"The body is nested deeper than {MAX_DEPTH} levels.")

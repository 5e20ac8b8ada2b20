"""Bodies: malformed, too deep, too large, unstorable."""

from typing import Any

import pytest
from django.conf import settings
from rest_framework.exceptions import ParseError
from rest_framework.test import APIClient

from apps.core.parsers import MAX_DEPTH, load_json


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nope",
        b"NaN",
        b"1e999",
        b"\xff\xfe",
        b'{"a": "\\u0000"}',
        b'{"\\u0000": 1}',
        b'"\\ud800"',
        nested(MAX_DEPTH + 1),
        nested(5000),
        b'{"a":' * 200 + b"1" + b"}" * 200,
    ],
)
def test_what_cannot_be_read_or_stored_is_refused(body: bytes) -> None:
    with pytest.raises(ParseError):
        load_json(body)


def test_what_only_looks_suspicious_is_taken() -> None:
    assert load_json(b'{"a": "\\\\u0000"}') == {"a": "\\u0000"}
    assert load_json(nested(MAX_DEPTH)) is not None
    assert load_json(b"[" + b"{}," * 500 + b"{}]") == [{}] * 501


@pytest.fixture
def post(api: APIClient) -> Any:
    """Return a function that posts raw bytes."""

    def send(body: bytes, content_type: str = "application/json") -> Any:
        return api.post("/api/v1/projects", body, content_type=content_type)

    return send


def test_malformed_and_deep_bodies_are_clear_refusals(post: Any) -> None:
    for body in (b"{", nested(100_000), b'{"name": "\\u0000"}'):
        answer = post(body)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid")


def test_ten_megabytes_are_too_large(post: Any) -> None:
    answer = post(b'{"name": "' + b"x" * 10_000_000 + b'"}')
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert str(settings.DATA_UPLOAD_MAX_MEMORY_SIZE) in answer.json()["detail"]


def test_other_media_types_are_refused(post: Any) -> None:
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "application/yaml"):
        assert post(b"name=x", content_type).status_code == 415

"""JSON on the wire."""

import math
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import orjson
import pytest
from rest_framework.test import APIClient

from apps.core.renderers import JsonRenderer, dump_json, wire_float


def test_non_finite_numbers_travel_as_strings() -> None:
    values = {"a": math.nan, "b": [math.inf, (-math.inf, 1.5)], "c": {"d": math.nan}}
    assert orjson.loads(dump_json(values)) == {"a": "NaN", "b": ["Infinity", ["-Infinity", 1.5]], "c": {"d": "NaN"}}
    assert wire_float(0.1) == 0.1


def test_common_types_are_written() -> None:
    made = dump_json({
        "id": UUID(int=1),
        "at": datetime(2026, 1, 2, tzinfo=UTC),
        "set": {2, 1},
        "decimal": Decimal("1.50"),
        1: "key",
    })  # fmt: skip
    assert orjson.loads(made) == {
        "id": str(UUID(int=1)),
        "at": "2026-01-02T00:00:00Z",
        "set": [1, 2],
        "decimal": "1.50",
        "1": "key",
    }
    with pytest.raises(TypeError):
        dump_json(object())


def test_bytes_pass_and_none_is_empty() -> None:
    assert JsonRenderer().render(b'{"a":1}') == b'{"a":1}'
    assert JsonRenderer().render(None) == b""


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "image/png", "nonsense", ""])
def test_answer_is_json_whatever_is_asked_for(accept: str) -> None:
    answer = APIClient().get("/api/v1/projects", headers={"Accept": accept})
    assert answer.status_code == 401
    assert answer.json()["code"] == "not_authenticated"

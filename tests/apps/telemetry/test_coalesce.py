"""A burst becomes one message without losing what a page needs."""

from typing import Any

from apps.telemetry.coalesce import as_data, coalesce, unpack


def log(start: int, text: str, rank: int = 0) -> dict[str, Any]:
    return {
        "kind": "logs", "attempt": 1, "rank": rank, "stream": "stdout", "start": start, "stop": start + len(text),
        "text": text, "seq": start,
    }  # fmt: skip


def test_continued_text_is_joined_and_a_gap_is_not() -> None:
    items = coalesce([log(0, "ab"), log(0, "x", rank=1), log(2, "cd"), log(9, "z")])
    assert [(item["rank"], item["start"], item["stop"], item["text"]) for item in items] == [
        (0, 0, 4, "abcd"), (1, 0, 1, "x"), (0, 9, 10, "z"),
    ]  # fmt: skip


def test_newest_description_of_the_job_is_enough() -> None:
    items = coalesce([{"kind": "job", "job": 1}, {"kind": "event"}, {"kind": "job", "job": 2}])
    assert items == [{"kind": "event"}, {"kind": "job", "job": 2}]


def test_logs_before_and_after_a_dropped_description_are_joined() -> None:
    items = coalesce([{"kind": "job"}, log(0, "a"), {"kind": "job"}, log(1, "b")])
    assert [item["kind"] for item in items] == ["logs", "job"]
    assert items[0]["text"] == "ab"


def test_every_item_carries_its_number() -> None:
    assert unpack(7, {"kind": "batch", "items": [{"kind": "a"}, {"kind": "b"}]}) == [
        {"kind": "a", "seq": 7}, {"kind": "b", "seq": 7},
    ]  # fmt: skip
    assert as_data(unpack(7, {"kind": "a"})) == {"kind": "a", "seq": 7}

"""What people read: series, curves and logs, down to the odd bytes."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from django.db import connections

from tests.apps.telemetry.conftest import NodeVoice, World


def get(world: World, path: str, **query: Any) -> Any:
    response = world.client().get(f"/api/v1/jobs/{world.job.pk}/{path}", query)
    assert response.status_code == 200, response.content
    return response.json()


def test_points_are_readable_when_acknowledged(world: World, node: NodeVoice) -> None:
    node.run(node.metrics(world.allocation, 0, 2), node.metrics(world.allocation, 2, 3))
    points = get(world, "metrics/points", key="loss")
    assert points["steps"] == [0, 1, 2]
    assert points["values"] == [1000.0, 999.0, 998.0]
    assert points["times_us"] == [0, 1_000_000, 2_000_000]
    assert (points["seq"], points["num_points"], points["rank"]) == (2, 3, 0)
    assert points["attempts"] == [{"attempt": 1, "index": 0}]


def test_series_are_summarised_with_their_youngest_points(world: World, node: NodeVoice) -> None:
    values: dict[str, list[Any]] = {"loss": [(1, 3.0), (3, "NaN"), (2, -1.0)], "lr": [(1, "NaN")]}
    node.run(
        node.metrics(world.allocation, 0, 3, values), node.metrics(world.allocation, 0, 1, {"x": [(5, 1.0)]}, rank=1)
    )
    series = {(one["rank"], one["key"]): one for one in get(world, "metrics")}
    assert list(series) == [(0, "loss"), (0, "lr"), (1, "x")]
    loss = series[0, "loss"]
    assert (loss["n"], loss["first_step"], loss["last_step"], loss["last"]) == (3, 1, 3, "NaN")
    assert (loss["min"], loss["max"], loss["attempt"]) == (-1.0, 3.0, 1)
    assert (series[0, "lr"]["min"], series[0, "lr"]["max"]) == (None, None)


def test_resumed_run_is_one_curve_that_never_doubles_back(world: World, node: NodeVoice) -> None:
    first = world.allocation
    world.next_attempt(resumed_step=2)
    node.run(
        node.metrics(first, 0, 1, {"loss": [(1, 1.0), (2, 2.0), (3, 3.0), (4, 4.0)]}),
        node.metrics(world.allocation, 0, 1, {"loss": [(3, 30.0), (4, 40.0)]}),
    )
    points = get(world, "metrics/points", key="loss")
    assert (points["steps"], points["values"]) == ([1, 2, 3, 4], [1.0, 2.0, 30.0, 40.0])
    assert points["attempts"] == [{"attempt": 1, "index": 0}, {"attempt": 2, "index": 2}]
    assert points["cut"] == []
    cut = get(world, "metrics/points", key="loss", include_cut="true")["cut"]
    assert [(leg["attempt"], leg["steps"], leg["values"]) for leg in cut] == [(1, [3, 4], [3.0, 4.0])]


def test_several_curves_in_one_request(world: World, node: NodeVoice) -> None:
    for rank in (0, 1):
        node.run(node.metrics(world.allocation, 0, 1, {"a": [(1, 1.0)], "b": [(1, 2.0)]}, rank=rank))
    found = get(world, "metrics/curves", key=["a", "b", "none"], rank=[0, 1])
    assert [(one["key"], one["rank"], one["values"]) for one in found["curves"]] == [
        ("a", 0, [1.0]), ("a", 1, [1.0]), ("b", 0, [2.0]), ("b", 1, [2.0]), ("none", 0, []), ("none", 1, []),
    ]  # fmt: skip
    assert found["seq"] == 2


def test_curve_is_reduced_with_its_extremes_and_read_in_part(world: World, node: NodeVoice) -> None:
    spiky = [(n, 1e6 if n == 777 else float(n % 10)) for n in range(5000)]
    node.run(node.metrics(world.allocation, 0, 5000, {"loss": spiky}))
    points = get(world, "metrics/points", key="loss", max_points=100)
    assert len(points["steps"]) <= 100
    assert points["num_points"] == 5000
    assert 777 in points["steps"]
    assert (points["steps"][0], points["steps"][-1]) == (0, 4999)
    part = get(world, "metrics/points", key="loss", after_step=10, until_step=13)
    assert part["steps"] == [11, 12, 13]


def test_non_finite_values_come_back_as_names(world: World, node: NodeVoice) -> None:
    node.run(node.metrics(world.allocation, 0, 1, {"loss": [(1, "NaN"), (2, "Infinity"), (3, "-Infinity"), (4, -0.0)]}))
    assert get(world, "metrics/points", key="loss")["values"] == ["NaN", "Infinity", "-Infinity", -0.0]


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"key": "a\0"},
        {"key": "a", "max_points": 0},
        {"key": "a", "rank": -1},
        {"key": "a", "after_step": 2**63},
        {"key": "x" * 256},
    ],
)
def test_bad_query_is_refused_by_field(world: World, query: dict[str, Any]) -> None:
    response = world.client().get(f"/api/v1/jobs/{world.job.pk}/metrics/points", query)
    assert response.status_code == 400
    assert response.json()["code"] == "invalid"


def test_extreme_steps_are_readable(world: World, node: NodeVoice) -> None:
    ends = [(-(2**63), 1.0), (2**63 - 1, 2.0), (0, 3.0)]
    node.run(node.metrics(world.allocation, 0, 1, {"loss": ends}))
    series = [{"key": "loss", "steps": [s for s, _ in ends], "times_us": [0, 0, 0], "values": [1.0, 2.0, 3.0]}]
    node.run(node.post(f"{world.allocation.pk}/metrics", json={"rank": 0, "start": 0, "stop": 1, "series": series}))
    assert get(world, "metrics/points", key="loss")["steps"] == [-(2**63), 0, 2**63 - 1]


def test_log_pages_join_without_a_seam(world: World, node: NodeVoice) -> None:
    text = "step 1\r50%\r100%\nüöä \N{GRINNING FACE}\nnul:\0 end\n".encode() + b"bad: \xff\xfe\n"
    half = text.index(b"\xf0") + 2  # in the middle of a character
    node.run(
        node.log(world.allocation, 0, text[:half]), node.log(world.allocation, half, text[half:]),
        node.log(world.allocation, len(text), b"", ended=True),
    )  # fmt: skip
    pages, offset = [], 0
    while offset < len(text):
        page = get(world, "logs", offset=offset, limit=5)
        assert page["stop"] > offset
        pages.append(page["text"])
        offset = page["stop"]
    assert "".join(pages) == text.decode(errors="replace")
    assert (page["size_bytes"], page["is_complete"], page["num_lines"]) == (len(text), True, 4)


def test_log_tail_begins_with_a_whole_line(world: World, node: NodeVoice) -> None:
    lines = b"".join(b"line %d\n" % n for n in range(1000))
    node.run(node.log(world.allocation, 0, lines[:5000]), node.log(world.allocation, 5000, lines[5000:]))
    tail = get(world, "logs/tail", limit=100)
    assert tail["text"].startswith("line 9")
    assert tail["text"].endswith("line 999\n")
    assert tail["first_line"] == 1000 - tail["text"].count("\n")
    assert get(world, "logs/tail", lines=2)["text"] == "line 998\nline 999\n"
    assert not tail["is_complete"]


def test_log_download_is_the_bytes(world: World, node: NodeVoice) -> None:
    node.run(node.log(world.allocation, 0, b"a\0\xff\r\n"), node.log(world.allocation, 5, b"<script>"))
    response = world.client().get(f"/api/v1/jobs/{world.job.pk}/logs/download")
    assert b"".join(response) == b"a\0\xff\r\n<script>"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Disposition"].startswith("attachment;")
    assert response["Content-Type"].startswith("text/plain")


def test_log_of_the_newest_attempt_that_spoke_is_shown(world: World, node: NodeVoice) -> None:
    old = world.allocation
    world.next_attempt(resumed_step=None)
    node.run(node.log(old, 0, b"old"))
    assert get(world, "logs")["attempt"] == 1
    node.run(node.log(world.allocation, 0, b"new"))
    assert (get(world, "logs")["text"], get(world, "logs", attempt=1)["text"]) == ("new", "old")
    assert get(world, "logs", rank=7)["text"] == ""


def test_stream_without_a_socket(world: World, node: NodeVoice) -> None:
    assert get(world, "stream", after=0) == {"seq": 0, "messages": []}
    node.run(node.metrics(world.allocation, 0, 1), node.log(world.allocation, 0, b"hi\n"))
    answer = get(world, "stream", after=0, wait_s=5)
    assert answer["seq"] == 2
    assert [(message["seq"], message["data"]["kind"]) for message in answer["messages"]] == [
        (1, "metrics"),
        (2, "logs"),
    ]
    assert get(world, "stream", after=2, wait_s=0.1) == {"seq": 2, "messages": []}
    assert get(world, "stream", after=7)["messages"] == [{"type": "snapshot", "seq": 2}]


def test_waiting_reader_is_answered_when_something_comes(world: World, node: NodeVoice) -> None:
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(get, world, "stream", after=0, wait_s=10)
        time.sleep(0.5)
        begun = time.monotonic()
        node.run(node.metrics(world.allocation, 0, 1), asyncio.sleep(0.1))  # time for the hint to leave
        assert waiting.result(timeout=10)["seq"] == 1
        assert time.monotonic() - begun < 2.0
        pool.submit(connections.close_all).result()  # the thread has connections of its own


PATHS = [
    "metrics", "metrics/points?key=a", "metrics/curves?key=a", "logs", "logs/tail", "logs/download", "stream?after=0",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_strangers_and_nobody_see_nothing(world: World, path: str, nowhere_id: UUID) -> None:
    address = f"/api/v1/jobs/{world.job.pk}/{path}"
    assert world.client(world.stranger).get(address).status_code == 404
    assert world.client().get(f"/api/v1/jobs/{nowhere_id}/{path}").status_code == 404
    assert world.client().get(address, headers={"authorization": "Bearer cox_wrong"}).status_code == 401

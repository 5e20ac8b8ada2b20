"""The event file of a rank."""

import resource
import threading
from pathlib import Path

import pytest

from workers.contract.run import EVENT_ADAPTER, Event, FailureKind, FinishedEvent, MetricsEvent
from workers.runtime.events import EventWriter, FailureEvent, ProgressEvent


def _read(directory: Path, rank: int = 0) -> list[Event]:
    lines = (directory / "events" / f"rank{rank}.jsonl").read_bytes().splitlines()
    return [EVENT_ADAPTER.validate_json(line) for line in lines]


def test_line_is_readable_as_soon_as_it_is_emitted(tmp_path: Path) -> None:
    with EventWriter(tmp_path, 3) as events:
        events.phase("load", 0.5)
        assert len(_read(tmp_path, 3)) == 1


def test_numbers_go_on_after_a_torn_line(tmp_path: Path) -> None:
    with EventWriter(tmp_path, 0) as events:
        events.phase("load")
        events.phase("train")
    with (tmp_path / "events" / "rank0.jsonl").open("ab") as file:
        file.write(b'{"n": 2, "type": "pha')
    with EventWriter(tmp_path, 0) as events:
        events.emit(ProgressEvent, step=1, total_steps=2)
    assert [event.n for event in _read(tmp_path)] == [0, 1, 2]


def test_numbers_that_json_lacks_are_strings(tmp_path: Path) -> None:
    with EventWriter(tmp_path, 0) as events:
        events.metrics(1, {"a": float("nan"), "b": float("inf"), "c": -float("inf"), "d": 0.1})
    (event,) = _read(tmp_path)
    assert isinstance(event, MetricsEvent)
    assert event.values == {"a": "NaN", "b": "Infinity", "c": "-Infinity", "d": 0.1}


def test_nothing_follows_a_terminal_event(tmp_path: Path) -> None:
    with EventWriter(tmp_path, 0) as events:
        events.emit(FailureEvent, kind=FailureKind.USER, message="no")
        events.emit(FinishedEvent, stopped=False, step=1)
        events.phase("train")
    assert len(_read(tmp_path)) == 1


def test_event_that_finds_no_room_leaves_no_half_line(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with EventWriter(tmp_path, 0) as events:
        events.phase("load")
        size = (tmp_path / "events" / "rank0.jsonl").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, limits[1]))
        try:
            with pytest.raises(OSError, match=r"no room|too large"):
                events.phase("train")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        events.phase("save")
    assert [event.n for event in _read(tmp_path)] == [0, 1]


def test_threads_do_not_mix_lines(tmp_path: Path) -> None:
    with EventWriter(tmp_path, 0) as events:

        def emit() -> None:
            for step in range(50):
                events.metrics(step, {"x": 1.0})

        threads = [threading.Thread(target=emit) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [event.n for event in _read(tmp_path)] == list(range(200))

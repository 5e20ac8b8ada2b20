"""Event files as they grow, and batches cut from them."""

from pathlib import Path

from workers.agent.events import MAX_POINTS, EventFile, RankEvents, cut_batch
from workers.contract.run import Event, MetricsEvent, PhaseEvent


def metrics(n: int, *, step: int = 0, keys: tuple[str, ...] = ("loss",)) -> MetricsEvent:
    return MetricsEvent(n=n, time_us=1000 + n, step=step or n, values=dict.fromkeys(keys, 0.5))


def phase(n: int) -> PhaseEvent:
    return PhaseEvent(n=n, time_us=n, name="train")


def append(path: Path, *events: Event) -> None:
    with path.open("a") as file:
        file.writelines(event.model_dump_json() + "\n" for event in events)


def test_line_without_newline_is_not_written_yet(tmp_path: Path) -> None:
    path = tmp_path / "rank0.jsonl"
    file = EventFile(path)
    assert file.read() == []
    line = metrics(0).model_dump_json()
    path.write_text(line[:10])
    assert file.read() == []
    path.write_text(line + "\n" + line[:5])
    assert file.read() == [metrics(0)]
    assert file.read() == []


def test_unreadable_line_is_skipped_and_numbers_keep_count(tmp_path: Path) -> None:
    path = tmp_path / "rank0.jsonl"
    append(path, metrics(0))
    with path.open("ab") as file:
        file.write(b'{"n": 1, "type": "metr\xff\n')
    append(path, metrics(2))
    batch = cut_batch(0, 0, EventFile(path).read())
    assert (batch.start, batch.stop, batch.series[0].steps) == (0, 3, (0, 2))


def test_very_long_line_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "rank0.jsonl"
    long = PhaseEvent(n=0, time_us=0, name="x" * 3_000_000)
    append(path, long, metrics(1))
    assert EventFile(path).read()[0] == long


def test_batch_is_columns_and_covers_the_events_between() -> None:
    batch = cut_batch(3, 5, [metrics(5, keys=("loss", "lr")), phase(6), metrics(7), phase(8)])
    assert (batch.rank, batch.start, batch.stop) == (3, 5, 9)
    by_key = {series.key: series for series in batch.series}
    assert by_key["loss"].steps == (5, 7)
    assert by_key["loss"].times_us == (1005, 1007)
    assert by_key["lr"].values == (0.5,)


def test_batch_is_limited_in_points_but_never_empty_for_a_wide_event() -> None:
    wide = metrics(0, keys=tuple(f"k{index}" for index in range(MAX_POINTS + 5)))
    assert cut_batch(0, 0, [wide, metrics(1)]).stop == 1
    assert cut_batch(0, 0, [metrics(n) for n in range(MAX_POINTS + 5)]).stop == MAX_POINTS


def collect(path: Path, mark: int = 0) -> tuple[RankEvents, list[Event]]:
    seen: list[Event] = []
    return RankEvents(0, path, mark=mark, on_event=lambda _rank, event: seen.append(event)), seen


def test_events_are_handed_on_once_even_when_metrics_are_read_again(tmp_path: Path) -> None:
    path = tmp_path / "rank0.jsonl"
    append(path, phase(0), *(metrics(n) for n in range(1, 6)))
    events, seen = collect(path)
    batch = events.next_batch()
    assert batch is not None
    events.acknowledge(batch.stop)
    events.acknowledge(2)  # the server has lost some
    again = events.next_batch()
    assert again is not None
    assert (again.start, again.stop, again.series[0].steps) == (2, 6, (2, 3, 4, 5))
    assert seen == [phase(0)]


def test_mark_ahead_of_ours_skips_what_the_server_has(tmp_path: Path) -> None:
    path = tmp_path / "rank0.jsonl"
    append(path, *(metrics(n) for n in range(6)))
    events, _ = collect(path)
    assert events.next_batch() is not None
    events.acknowledge(4)
    batch = events.next_batch()
    assert batch is not None
    assert (batch.start, batch.series[0].steps) == (4, (4, 5))


def test_no_batch_without_points_and_its_range_is_covered_later(tmp_path: Path) -> None:
    path = tmp_path / "rank0.jsonl"
    append(path, phase(0), phase(1))
    events, seen = collect(path)
    assert events.next_batch() is None
    assert len(seen) == 2
    append(path, metrics(2))
    batch = events.next_batch()
    assert batch is not None
    assert (batch.start, batch.stop) == (0, 3)

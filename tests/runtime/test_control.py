"""Agreeing on the last step."""

import signal
from pathlib import Path

import pytest
from torch._C._distributed_c10d import HashStore

from workers.contract.run import ControlFile, StopMode
from workers.runtime.control import StopRequested, StopWatch

_WISH = ControlFile(stop=StopMode.SAVE).model_dump_json()


def _watches(tmp_path: Path) -> tuple[StopWatch, StopWatch]:
    store = HashStore()
    return tuple(StopWatch(tmp_path / str(rank), rank=rank, store=store) for rank in (0, 1))  # type: ignore[return-value]


def _ask(tmp_path: Path, rank: int, text: str = _WISH) -> None:
    (tmp_path / str(rank)).mkdir(exist_ok=True)
    (tmp_path / str(rank) / "control.json").write_text(text)


def test_rank_0_names_the_stop_step_one_ahead(tmp_path: Path) -> None:
    first, second = _watches(tmp_path)
    assert not first.must_stop_before(5)
    assert not second.must_stop_before(5)
    _ask(tmp_path, 0)
    assert not first.must_stop_before(6)
    assert not second.must_stop_before(6)
    assert not first.must_stop_before(7)
    assert not second.must_stop_before(7)
    assert first.must_stop_before(8)
    assert second.must_stop_before(8)


def test_wish_heard_by_another_rank_reaches_rank_0(tmp_path: Path) -> None:
    first, second = _watches(tmp_path)
    _ask(tmp_path, 1)
    assert not second.must_stop_before(3)
    assert not first.must_stop_before(4)
    assert [first.must_stop_before(step) for step in (5, 6)] == [False, True]
    assert [second.must_stop_before(step) for step in (5, 6)] == [False, True]


def test_lone_rank_stops_at_once(tmp_path: Path) -> None:
    watch = StopWatch(tmp_path / "0", rank=0, store=None)
    assert not watch.must_stop_before(1)
    _ask(tmp_path, 0)
    assert watch.must_stop_before(2)


@pytest.mark.parametrize("text", ["", '{"stop": nu', '{"stop": null}', '{"stop": "now"}'])
def test_file_that_asks_for_nothing_stops_nothing(tmp_path: Path, text: str) -> None:
    _ask(tmp_path, 0, text)
    StopWatch(tmp_path / "0", rank=0, store=None).raise_if_wished()


def test_signal_is_remembered_by_the_watch_that_takes_over(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    try:
        early = StopWatch(tmp_path, rank=0, store=None)
        early.install_signal_handler()
        signal.raise_signal(signal.SIGTERM)
        watch = StopWatch(tmp_path, rank=0, store=None)
        watch.take_over(early)
        with pytest.raises(StopRequested):
            watch.raise_if_wished()
    finally:
        signal.signal(signal.SIGTERM, before)

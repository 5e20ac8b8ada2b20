"""Finding or making tokenizers and streams in the node's cache."""

from pathlib import Path

import pytest

from tests.runtime.ranks import Launcher, Run, tiny_train_spec
from workers.agent.runtime_cache import RuntimeCache
from workers.contract.run import PhaseEvent

pytestmark = pytest.mark.gloo


def _phases(run: Run) -> set[str]:
    return {event.name for event in run.events() if isinstance(event, PhaseEvent)}


def _entries(cache: Path, kind: str) -> list[str]:
    return sorted(path.name for path in (cache / kind).iterdir())


def test_two_jobs_at_once_on_the_same_data_prepare_it_once(launcher: Launcher, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    spec = tiny_train_spec(steps=1)
    runs = [launcher.start(spec, cache_dir=str(cache)) for _ in range(2)]
    for run in runs:
        assert run.wait().codes == [0], run.stderr()
    assert sorted("tokenizer" in _phases(run) for run in runs) == [False, True]
    assert len(_entries(cache, "tokenizers")) == len(_entries(cache, "streams")) == 1
    assert runs[0].series("loss") == runs[1].series("loss")


def test_what_changes_the_content_changes_the_name(launcher: Launcher, tmp_path: Path) -> None:
    cache = str(tmp_path / "cache")
    base = tiny_train_spec(steps=1)
    launcher.run(base, cache_dir=cache)
    data = base["data"]
    same = [base | {"seed": 7}, base | {"data": data | {"context_length": 16}}]
    for spec in same:
        assert "tokenize" not in _phases(launcher.run(spec, cache_dir=cache))
    others = [
        base | {"tokenizer": {"source": "bpe", "vocab_size": 300}},
        base | {"data": data | {"validation_pct": 20}},
    ]
    for spec in others:
        assert "tokenize" in _phases(launcher.run(spec, cache_dir=cache))
    assert "tokenize" in _phases(launcher.run(base, cache_dir=cache, dataset_digest="0" * 64))


def test_named_digest_is_trusted_and_the_dataset_not_hashed_again(launcher: Launcher, tmp_path: Path) -> None:
    cache = str(tmp_path / "cache")
    first = launcher.run(tiny_train_spec(steps=1), cache_dir=cache, dataset_digest="1" * 64)
    gone = str(tmp_path / "no longer here")
    second = launcher.run(tiny_train_spec(steps=1), cache_dir=cache, dataset_digest="1" * 64, dataset_dir=gone)
    assert second.codes == [0], second.stderr()
    assert second.series("loss") == first.series("loss")


def test_preparation_that_was_killed_leaves_nothing_that_is_taken_for_whole(
    launcher: Launcher, tmp_path: Path, corpus: Path
) -> None:
    cache = tmp_path / "cache"
    large = tmp_path / "large"
    large.mkdir()
    for number in range(6):
        for path in corpus.iterdir():
            (large / f"{number}-{path.name}").write_bytes(path.read_bytes() + str(number).encode())
    killed = launcher.start(tiny_train_spec(steps=1), cache_dir=str(cache), dataset_dir=str(large))
    while not any("tokenize" in name for name in _phases(killed)):
        pass
    killed.kill(0)
    killed.wait()
    run = launcher.run(tiny_train_spec(steps=1), cache_dir=str(cache), dataset_dir=str(large))
    assert run.codes == [0], run.stderr()
    assert len([name for name in _entries(cache, "streams") if not name.startswith(".tmp")]) == 1


def test_entry_of_a_running_job_is_not_evicted_and_that_of_an_ended_one_is(launcher: Launcher, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    owner = RuntimeCache(cache, limit_bytes=0)
    spec = tiny_train_spec(steps=100_000, checkpoint={"every_steps": 100_000})
    run = launcher.start(spec, world_size=2, cache_dir=str(cache))
    run.await_step(1)
    owner.trim()
    assert len(_entries(cache, "tokenizers")) == len(_entries(cache, "streams")) == 1
    for rank in (0, 1):
        run.kill(rank)
    run.wait()
    owner.trim()
    assert _entries(cache, "tokenizers") == _entries(cache, "streams") == []


def test_progress_of_preparation_rises_to_the_end(launcher: Launcher, tmp_path: Path) -> None:
    run = launcher.run(tiny_train_spec(steps=1), world_size=2, cache_dir=str(tmp_path / "cache"))
    for name in ("tokenizer", "tokenize"):
        phases = [event for event in run.events() if isinstance(event, PhaseEvent) and event.name == name]
        progress = [event.progress for event in phases if event.progress is not None]
        assert progress
        assert progress == sorted(progress)
    assert not any(isinstance(event, PhaseEvent) for event in run.events(1))

"""The runtime's cache on a node is bounded, and what a rank uses is never dropped."""

import fcntl
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.agent.conftest import make_order, wait_for
from tests.agent.stub_server import ControlPlane
from workers.agent.node import Node
from workers.agent.runtime_cache import RuntimeCache
from workers.agent.settings import AgentSettings


def make_entry(root: Path, name: str, *, size_bytes: int = 100, used_at: float) -> Path:
    entry = root / name
    (entry / "train").mkdir(parents=True)
    (entry / "train" / "00000.bin").write_bytes(bytes(size_bytes))
    os.utime(entry, (used_at, used_at))
    return entry


def test_entries_used_longest_ago_go_first(tmp_path: Path) -> None:
    old = make_entry(tmp_path, "streams/old", used_at=1)
    older = make_entry(tmp_path, "tokenizers/older", used_at=0)
    new = make_entry(tmp_path, "streams/new", used_at=2)
    (tmp_path / "peak-host.json").write_text("1")
    cache = RuntimeCache(tmp_path, limit_bytes=300)
    cache.trim()
    assert all(entry.exists() for entry in (old, older, new)), "they fit"
    RuntimeCache(tmp_path, limit_bytes=150).trim()
    assert [entry.exists() for entry in (older, old, new)] == [False, False, True]
    assert (tmp_path / "peak-host.json").exists()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["00000.bin", "new", "peak-host.json", "streams",
                                                                 "tokenizers", "train"]  # fmt: skip


def test_entry_that_a_process_holds_stays(tmp_path: Path) -> None:
    held = make_entry(tmp_path, "streams/held", used_at=0)
    free = make_entry(tmp_path, "streams/free", used_at=1)
    fd = os.open(held, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_SH)
    cache = RuntimeCache(tmp_path, limit_bytes=0)
    cache.trim()
    assert (held.exists(), free.exists()) == (True, False)
    os.close(fd)
    cache.trim()
    assert not held.exists()


def test_what_a_killed_rank_left_half_made_goes_and_what_is_being_made_stays(tmp_path: Path) -> None:
    dead = make_entry(tmp_path, "streams/.tmp-abc-17", used_at=0)
    made = make_entry(tmp_path, "streams/.tmp-def-18", used_at=0)
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks" / "abc.lock").touch()
    with (tmp_path / "locks" / "def.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        RuntimeCache(tmp_path, limit_bytes=1 << 20).trim()
    assert (dead.exists(), made.exists()) == (False, True)


def test_link_to_elsewhere_is_left_alone(tmp_path: Path) -> None:
    precious = make_entry(tmp_path, "precious/files", used_at=0)
    (tmp_path / "cache" / "streams").mkdir(parents=True)
    (tmp_path / "cache" / "streams" / "trap").symlink_to(precious)
    (tmp_path / "cache" / "kind").symlink_to(tmp_path / "precious")
    RuntimeCache(tmp_path / "cache", limit_bytes=0).trim()
    assert (precious / "train" / "00000.bin").exists()


@pytest.mark.parametrize("limit_bytes", [0, 1 << 20])
def test_cache_is_trimmed_when_an_allocation_ends(
    plane: ControlPlane, start_node: Callable[..., Node], settings: AgentSettings, limit_bytes: int
) -> None:
    start_node(replace(settings, runtime_cache_bytes=limit_bytes))
    entry = make_entry(settings.runtime_cache_dir, "streams/left", used_at=0)
    plane.add(make_order([["finish"]], slots=1))
    wait_for(lambda: settings.allocations_dir.is_dir() and plane.allocations)
    wait_for(lambda: all(stored.exit for stored in plane.allocations.values()))
    wait_for(lambda: not list(settings.allocations_dir.iterdir()))
    if limit_bytes == 0:
        wait_for(lambda: not entry.exists())
    assert entry.exists() == (limit_bytes > 0)

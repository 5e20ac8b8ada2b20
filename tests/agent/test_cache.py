"""Inputs by digest: resumed, verified, evicted, and never outside their directory."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from tests.agent.conftest import make_order
from tests.agent.stub_server import ControlPlane
from workers.agent.api import GaveUp, NodeApi, Retry
from workers.agent.cache import BadInput, FetchProgress, InputCache
from workers.contract.manifest import FileRef, Manifest, set_digest
from workers.contract.node_api import InputRef

DATA = bytes(range(256)) * 40


@pytest.fixture
def allocation_id(plane: ControlPlane) -> UUID:
    return plane.add(make_order([])).order.allocation_id


@pytest.fixture
def make_cache(plane: ControlPlane, tmp_path: Path) -> Callable[..., InputCache]:
    plane.node_token = "t"

    def make(limit_bytes: int = 1 << 30) -> InputCache:
        return InputCache(tmp_path / "cache", limit_bytes=limit_bytes, api=NodeApi(plane.url, "t"))

    return make


def make_ref(plane: ControlPlane, **files: bytes) -> InputRef:
    refs = tuple(
        FileRef(path=path.replace("__", "/"), size_bytes=len(data), sha256=plane.add_blob(data))
        for path, data in files.items()
    )
    return InputRef(role="dataset", name="d", digest=set_digest(refs), files=refs)


def retry(stop: threading.Event | None = None) -> Retry:
    return Retry(0.01, 0.05, stop or threading.Event())


def ignore(_progress: FetchProgress) -> None:
    """Nobody watches."""


def test_set_is_fetched_once_verified_and_read_only(
    plane: ControlPlane, make_cache: Callable[..., InputCache], allocation_id: UUID
) -> None:
    cache = make_cache()
    ref = make_ref(plane, a=DATA, sub__b=b"", c=DATA[:10])
    seen: list[FetchProgress] = []
    path = cache.fetch(allocation_id, ref, retry=retry(), on_progress=seen.append)
    assert (path / "a").read_bytes() == DATA
    assert (path / "sub" / "b").read_bytes() == b""
    assert (path / "a").stat().st_mode & 0o777 == 0o444
    assert seen[-1] == FetchProgress(len(DATA) + 10, len(DATA) + 10)
    plane.blobs.clear()
    assert cache.fetch(allocation_id, ref, retry=retry(), on_progress=ignore) == path


def test_checkpoint_gets_its_manifest_back(
    plane: ControlPlane, make_cache: Callable[..., InputCache], allocation_id: UUID
) -> None:
    ref = make_ref(plane, a=DATA)
    path = make_cache().fetch(allocation_id, ref, retry=retry(), on_progress=ignore)
    assert not (path / "manifest.json").exists()
    checkpoint = make_ref(plane, b=DATA).model_copy(update={"role": "checkpoint"})
    path = make_cache().fetch(allocation_id, checkpoint, retry=retry(), on_progress=ignore)
    assert Manifest.model_validate_json((path / "manifest.json").read_bytes()).files == checkpoint.files


@pytest.mark.faults
def test_cut_download_goes_on_where_it_was_cut(
    plane: ControlPlane, make_cache: Callable[..., InputCache], allocation_id: UUID
) -> None:
    ref = make_ref(plane, a=DATA)
    plane.cut_downloads_after = [1000, 2000, 0]
    path = make_cache().fetch(allocation_id, ref, retry=retry(), on_progress=ignore)
    assert (path / "a").read_bytes() == DATA
    assert plane.ranges == [0, 1000, 3000, 3000]


@pytest.mark.faults
def test_download_goes_on_after_a_restart(
    plane: ControlPlane, make_cache: Callable[..., InputCache], allocation_id: UUID
) -> None:
    ref = make_ref(plane, a=DATA, b=DATA[::-1])
    plane.cut_downloads_after = [len(DATA), 5000]
    stop = threading.Event()

    def stop_late(progress: FetchProgress) -> None:
        if progress.done_bytes >= len(DATA) + 5000:
            stop.set()

    with pytest.raises(GaveUp):
        make_cache().fetch(allocation_id, ref, retry=retry(stop), on_progress=stop_late)
    plane.ranges.clear()
    path = make_cache().fetch(allocation_id, ref, retry=retry(), on_progress=ignore)
    assert (path / "b").read_bytes() == DATA[::-1]
    assert plane.ranges == [5000]


def test_server_without_ranges_sends_it_all_again(
    plane: ControlPlane, make_cache: Callable[..., InputCache], allocation_id: UUID
) -> None:
    ref = make_ref(plane, a=DATA)
    plane.cut_downloads_after = [1000]
    plane.ignores_ranges = True
    path = make_cache().fetch(allocation_id, ref, retry=retry(), on_progress=ignore)
    assert (path / "a").read_bytes() == DATA


def test_wrong_bytes_are_refused_and_fetched_anew_next_time(
    plane: ControlPlane, make_cache: Callable[..., InputCache], allocation_id: UUID
) -> None:
    ref = make_ref(plane, a=DATA)
    digest = ref.files[0].sha256
    plane.blobs[digest] = b"x" * len(DATA)
    with pytest.raises(BadInput, match="arrived with SHA-256"):
        make_cache().fetch(allocation_id, ref, retry=retry(), on_progress=ignore)
    plane.blobs[digest] = DATA
    path = make_cache().fetch(allocation_id, ref, retry=retry(), on_progress=ignore)
    assert (path / "a").read_bytes() == DATA


def test_file_the_server_does_not_have_is_told(
    plane: ControlPlane, make_cache: Callable[..., InputCache], allocation_id: UUID
) -> None:
    ref = make_ref(plane, a=DATA)
    plane.blobs.clear()
    with pytest.raises(BadInput, match="does not give 'a'"):
        make_cache().fetch(allocation_id, ref, retry=retry(), on_progress=ignore)


@pytest.mark.parametrize("path", ["../evil", "/etc/evil", "a/../../evil", "a\\b", "a\x00b"])
def test_path_that_leaves_the_set_is_refused_before_anything_is_fetched(
    plane: ControlPlane, make_cache: Callable[..., InputCache], allocation_id: UUID, tmp_path: Path, path: str
) -> None:
    ref = make_ref(plane, good=DATA)
    evil = ref.model_copy(update={"files": (*ref.files, ref.files[0].model_copy(update={"path": path}))})
    with pytest.raises(BadInput, match="unsafe path"):
        make_cache().fetch(allocation_id, evil, retry=retry(), on_progress=ignore)
    assert [entry for entry in tmp_path.rglob("*") if entry.is_file()] == []


def test_same_path_twice_is_refused(
    plane: ControlPlane, make_cache: Callable[..., InputCache], allocation_id: UUID
) -> None:
    ref = make_ref(plane, a=DATA)
    with pytest.raises(BadInput, match="twice"):
        make_cache().fetch(
            allocation_id, ref.model_copy(update={"files": ref.files * 2}), retry=retry(), on_progress=ignore
        )


def test_least_recently_used_set_is_evicted_but_never_a_live_one(
    plane: ControlPlane, make_cache: Callable[..., InputCache], allocation_id: UUID
) -> None:
    cache = make_cache(2500)
    other = uuid4()
    sets = [make_ref(plane, **{f"f{index}": bytes([index]) * 1000}) for index in range(4)]
    pinned = cache.fetch(allocation_id, sets[0], retry=retry(), on_progress=ignore)
    idle = cache.fetch(allocation_id, sets[1], retry=retry(), on_progress=ignore)
    cache.release(allocation_id)
    cache.pin(other, [sets[0].digest])
    for age_s, path in ((200, pinned), (100, idle)):
        os.utime(path, (path.stat().st_mtime - age_s,) * 2)
    newest = cache.fetch(allocation_id, sets[2], retry=retry(), on_progress=ignore)
    assert [pinned.exists(), idle.exists(), newest.exists()] == [True, False, True]
    cache.release(other)
    cache.release(allocation_id)
    cache.fetch(allocation_id, sets[3], retry=retry(), on_progress=ignore)
    assert not pinned.exists()


def test_set_wanted_twice_at_once_is_fetched_once(
    plane: ControlPlane, make_cache: Callable[..., InputCache], allocation_id: UUID
) -> None:
    cache = make_cache()
    ref = make_ref(plane, a=DATA)
    threads = [
        threading.Thread(target=cache.fetch, args=(uuid4(), ref), kwargs={"retry": retry(), "on_progress": ignore})
        for _ in range(4)
    ]
    # Each asks as another allocation; the stub serves files to any.
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert plane.ranges == [0]

"""The storage module, on a disk and on a file system that is none."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from apps.storage.backend import CHUNK_BYTES, Storage, new_key, upload_prefix


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return Storage(tmp_path.as_uri() if request.param == "file" else f"memory://{tmp_path.name}")


def test_what_was_written_is_read_in_chunks_and_ranges(store: Storage) -> None:
    content = bytes(range(256)) * (CHUNK_BYTES // 128)
    assert store.write("a/b/c", iter([content[:1000], content[1000:]])) == len(content)
    chunks = list(store.read("a/b/c"))
    assert (b"".join(chunks), max(map(len, chunks))) == (content, CHUNK_BYTES)
    assert b"".join(store.read("a/b/c", 5, 10)) == content[5:10]
    assert b"".join(store.read("a/b/c", len(content) - 3)) == content[-3:]
    assert list(store.read("a/b/c", 7, 7)) == []
    with store.open("a/b/c") as file:
        file.seek(3)
        assert file.read(2) == content[3:5]


def test_missing_key_is_found_out_at_once_and_deleting_it_is_no_error(store: Storage) -> None:
    with pytest.raises(FileNotFoundError):
        store.read("none")
    store.delete("none")
    assert store.delete_prefix("none") == 0


def test_broken_off_write_leaves_nothing(store: Storage) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"half"
        raise ConnectionError

    with pytest.raises(ConnectionError):
        store.write("a/b", chunks())
    with pytest.raises(FileNotFoundError):
        store.read("a/b")


def test_prefix_is_cleared_but_for_what_is_kept(store: Storage) -> None:
    for key in ("p/1", "p/2", "p/3", "q/1"):
        store.write(key, [key.encode()])
    assert store.delete_prefix("p", keep=frozenset({"p/2"})) == 2
    assert b"".join(store.read("p/2")) == b"p/2"
    assert b"".join(store.read("q/1")) == b"q/1"
    assert store.delete_prefix("p") == 1


def test_emptied_folder_of_a_disk_goes_too(tmp_path: Path) -> None:
    store = Storage(tmp_path.as_uri())
    store.write("p/1", [b"x"])
    store.delete_prefix("p")
    assert list(tmp_path.iterdir()) == []


def test_keys_are_never_the_same_and_lie_below_their_upload() -> None:
    upload = "0" * 30 + "ab"
    assert new_key(upload, "part-0") != new_key(upload, "part-0")
    assert new_key(upload, "part-0").startswith(f"{upload_prefix(upload)}/")


def test_missing_setting_is_said_plainly() -> None:
    with pytest.raises(ImproperlyConfigured, match="COX_STORAGE_URL"):
        Storage("")

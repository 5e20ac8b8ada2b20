"""Paths that are refused wherever they meet a disk, and the digest of a set."""

import hashlib

import pytest

from workers.contract.manifest import FileRef, is_safe_path, set_digest


@pytest.mark.parametrize("path", ["a", "a/b.txt", "..a/b..", "a b/\u00e9.json", "x" * 255])
def test_ordinary_path_is_safe(path: str) -> None:
    assert is_safe_path(path)


@pytest.mark.parametrize(
    "path",
    ["", "/etc/passwd", "../a", "a/../../b", "a/./b", "a//b", "a/", "a\\b", "a\x00b", "a\nb", "\ud800", "x" * 256],
)
def test_path_that_leaves_or_breaks_a_directory_is_refused(path: str) -> None:
    assert not is_safe_path(path)


def test_set_digest_is_the_documented_formula_in_any_order() -> None:
    first = FileRef(path="b", size_bytes=2, sha256="0" * 64)
    second = FileRef(path="a", size_bytes=1, sha256="f" * 64)
    lines = f"{'0' * 64} 2 b\n{'f' * 64} 1 a\n"
    assert set_digest([first, second]) == set_digest([second, first]) == hashlib.sha256(lines.encode()).hexdigest()


def test_set_digest_tells_a_rename_apart() -> None:
    file = FileRef(path="a", size_bytes=1, sha256="0" * 64)
    assert set_digest([file]) != set_digest([file.model_copy(update={"path": "b"})])

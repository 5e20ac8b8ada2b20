"""Directories that appear whole or not at all."""

from pathlib import Path

import pytest

from workers.runtime.files import find_damage, publish


def _fill(directory: Path, text: str = "x") -> None:
    (directory / "sub").mkdir()
    (directory / "sub" / "a.txt").write_text(text)


def test_published_directory_has_a_manifest_of_its_files(tmp_path: Path) -> None:
    manifest = publish(tmp_path / "final", _fill)
    assert [file.path for file in manifest.files] == ["sub/a.txt"]
    assert manifest.files[0].size_bytes == 1
    assert find_damage(tmp_path / "final") is None
    assert [path.name for path in tmp_path.iterdir()] == ["final"]


def test_failure_while_writing_leaves_what_was_there(tmp_path: Path) -> None:
    publish(tmp_path / "final", _fill)

    def fail(directory: Path) -> None:
        _fill(directory, "y")
        raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        publish(tmp_path / "final", fail)
    assert (tmp_path / "final" / "sub" / "a.txt").read_text() == "x"
    assert [path.name for path in tmp_path.iterdir()] == ["final"]


def test_publishing_again_replaces_the_whole_directory(tmp_path: Path) -> None:
    publish(tmp_path / "final", _fill)

    def fill_otherwise(directory: Path) -> None:
        (directory / "b.txt").write_text("z")

    publish(tmp_path / "final", fill_otherwise)
    assert sorted(path.name for path in (tmp_path / "final").iterdir()) == ["b.txt", "manifest.json"]

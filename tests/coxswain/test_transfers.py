"""Which files a person means, and what the demonstration sends."""

import json
from pathlib import Path

import pytest

from coxswain.client.errors import CoxswainError
from coxswain.client.transfers import collect_files, sha256_of
from coxswain.demo.__main__ import has_learnt
from coxswain.demo.corpus import write_corpus


def test_folder_gives_the_paths_below_it_and_a_file_its_name(tmp_path: Path) -> None:
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    for name in ("folder/b.txt", "folder/deep/a.txt", "c.txt"):
        (tmp_path / name).write_text(name)
    found = collect_files([tmp_path / "folder", tmp_path / "c.txt"])
    assert [file.name for file in found] == ["b.txt", "deep/a.txt", "c.txt"]
    assert [file.size_bytes for file in found] == [12, 17, 5]


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.txt").touch()
    with pytest.raises(CoxswainError, match=r"a\.txt"):
        collect_files([tmp_path / "one", tmp_path / "two"])


def test_corpus_is_the_same_bytes_each_time_and_has_no_tests(tmp_path: Path) -> None:
    files = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        files.append(write_corpus(tmp_path / name))
    assert sha256_of(files[0].path) == sha256_of(files[1].path)
    records = [json.loads(line) for line in files[0].path.read_text(encoding="utf-8").splitlines()]
    assert len(records) > 300
    assert not [record["path"] for record in records if "/tests/" in f"/{record['path']}"]


@pytest.mark.parametrize(
    ("losses", "learnt"), [([7.0] * 20, False), ([7.0] * 10 + [3.5] * 10, True), ([7.0, 3.0], False)]
)
def test_learning_is_judged_by_the_loss_falling_well_below_the_first(losses: list[float], learnt: bool) -> None:
    assert has_learnt(losses) is learnt

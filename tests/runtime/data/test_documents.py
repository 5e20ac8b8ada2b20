"""Reading documents."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from workers.runtime.data.documents import Piece, digest_of_dataset, read_pieces, survey
from workers.runtime.errors import UserError


def _pieces(dataset: Path, validation_pct: float = 0) -> list[Piece]:
    return list(read_pieces(dataset, survey(dataset), validation_pct))


def _text(dataset: Path) -> str:
    return "".join(piece.text for piece in _pieces(dataset))


def test_text_files_come_whole_and_in_the_order_of_their_paths(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "1.md").write_text("second\n")
    (tmp_path / "a.txt").write_text("first \u00fc\n")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "x").write_bytes(b"\xff")
    assert _text(tmp_path) == "first \u00fc\nsecond\n"


def test_long_file_is_cut_at_line_ends_without_losing_a_character(tmp_path: Path) -> None:
    text = "".join(f"line {number} \u20ac\n" for number in range(300_000))
    (tmp_path / "long.txt").write_text(text)
    pieces = _pieces(tmp_path)
    assert len(pieces) >= 15
    assert all(piece.text.endswith("\n") for piece in pieces)
    assert "".join(piece.text for piece in pieces) == text
    assert [piece.ends_document for piece in pieces] == [False] * (len(pieces) - 1) + [True]


def test_every_short_document_ends(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": f"document {n}"}) + "\n" for n in range(100)))
    assert [piece.ends_document for piece in _pieces(tmp_path)] == [True] * 100


def test_one_short_line_can_still_be_held_out_in_part(tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_text("abcdefgh" * 100)
    pieces = _pieces(tmp_path, validation_pct=1)
    assert "".join(piece.text for piece in pieces) == "abcdefgh" * 100
    assert sum(piece.is_validation for piece in pieces) >= 1


def test_share_held_out_is_near_what_was_asked_and_always_the_same(tmp_path: Path) -> None:
    with (tmp_path / "many.jsonl").open("w") as file:
        for number in range(5000):
            file.write(json.dumps({"text": f"document {number}"}) + "\n")
    first, second = (_pieces(tmp_path, validation_pct=10) for _ in range(2))
    assert first == second
    assert 400 < sum(piece.is_validation for piece in first) < 600
    assert not any(piece.is_validation for piece in _pieces(tmp_path, validation_pct=0))


def test_jsonl_and_parquet_give_their_text_field(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "one ", "id": 1}\n\n{"text": "two "}\n')
    pq.write_table(pa.table({"id": [1, 2, 3], "text": ["three ", None, "four"]}), tmp_path / "b.parquet")
    assert _text(tmp_path) == "one two three four"


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.txt", b"", "no usable text"),
        ("a.txt", b" \n\n ", "no usable text"),
        ("a.txt", b"good\n" * 300_000 + b"\xe2\x82", "undecodable byte at offset 1500000"),
        ("a.txt", b"abc\x80def", "undecodable byte at offset 3"),
        ("a.jsonl", b'{"text": "x"}\n{"text": }\n', "line 2 is not JSON"),
        ("a.jsonl", b'{"body": "x"}\n', "line 1 has no string field `text`"),
        ("a.jsonl", b"[1]\n", "line 1 has no string field `text`"),
        ("a.jsonl", b'{"text": 5}\n', "line 1 has no string field `text`"),
        ("a.jsonl", b"\xff\xff\n", "line 1 is not JSON"),
        ("a.parquet", b"PAR1 not really", "not a readable Parquet file"),
    ],
)
def test_unusable_file_is_told_by_name_and_place(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=r"data\.dataset") as caught:
        _pieces(tmp_path)
    assert message in str(caught.value)


def test_parquet_without_a_text_column_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"body": ["x"]}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match="has no column `text`"):
        survey(tmp_path)
    pq.write_table(pa.table({"text": [1]}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match="holds int64, not strings"):
        survey(tmp_path)


def test_missing_and_empty_directories_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no file or directory"):
        survey(tmp_path / "nowhere")
    with pytest.raises(UserError, match="holds no files"):
        survey(tmp_path)


def test_digest_depends_on_names_and_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    first = digest_of_dataset(tmp_path)
    (tmp_path / "a").write_text("y")
    second = digest_of_dataset(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert len({first, second, digest_of_dataset(tmp_path)}) == 3

"""Reading documents out of text, JSONL and Parquet files, in an order that depends on their names alone.

Long documents are cut at line ends, so that a share of the corpus can be held out at random even when it
came as one file, and so that none must fit a model's context or the memory at once.
"""

import codecs
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from workers.runtime.errors import UserError
from workers.runtime.files import sha256_of_file

PIECE_CHARS = 1 << 14  # small, so that a small share of a small corpus is not made of a few odd files
_MIN_PIECES = 64
_READ_BYTES = 1 << 20
_JSON_SUFFIXES = {".jsonl", ".ndjson"}
TEXT_FIELD = "text"


@dataclass(frozen=True)
class Survey:
    """What a corpus holds, found in one pass."""

    num_pieces: int
    num_chars: int
    piece_chars: int
    lowest_draw_index: int
    """The piece that is held out if a share of the corpus comes to less than one piece."""


@dataclass(frozen=True)
class Piece:
    """A document, or a part of a long one."""

    text: str
    is_validation: bool
    ends_document: bool


def list_files(dataset: Path) -> list[Path]:
    """Return the data files of a directory, or the one file, ordered by path; hidden ones are left out.

    Raises:
        UserError: nothing is there.
    """
    if dataset.is_file():
        return [dataset]
    if not dataset.is_dir():
        raise UserError(f"data.dataset: there is no file or directory {dataset}")
    files = sorted(
        (path for path in dataset.rglob("*") if path.is_file() and _is_data(path.relative_to(dataset))),
        key=lambda path: path.relative_to(dataset).as_posix(),
    )
    if not files:
        raise UserError(f"data.dataset: {dataset} holds no files")
    return files


def _is_data(relative: Path) -> bool:
    return not any(part.startswith(".") or part == "__pycache__" for part in relative.parts)


def digest_of_dataset(dataset: Path) -> str:
    """Return one digest of all names and bytes."""
    digest = hashlib.sha256()
    for path in list_files(dataset):
        name = path.name if dataset.is_file() else path.relative_to(dataset).as_posix()
        digest.update(f"{name}\0{sha256_of_file(path)}\n".encode())
    return digest.hexdigest()


def survey(dataset: Path) -> Survey:
    """Count pieces and characters, and choose how finely to cut.

    Raises:
        UserError: no usable text, undecodable bytes, or a record that is not what its format says.
    """
    found = _survey(dataset, PIECE_CHARS)
    if found.num_pieces < _MIN_PIECES:
        found = _survey(dataset, max(1, found.num_chars // _MIN_PIECES))
    return found


def _survey(dataset: Path, piece_chars: int) -> Survey:
    num_pieces = num_chars = lowest = 0
    lowest_draw = 2.0
    for index, cut in enumerate(_cut_pieces(dataset, piece_chars)):
        num_pieces += 1
        num_chars += len(cut.text)
        if (draw := _draw(index)) < lowest_draw:
            lowest_draw, lowest = draw, index
    if num_pieces == 0:
        raise UserError(f"data.dataset: no usable text in {dataset.name}: every document is empty")
    return Survey(num_pieces, num_chars, piece_chars, lowest)


def read_pieces(dataset: Path, survey: Survey, validation_pct: float) -> Iterator[Piece]:
    """Yield every piece, told apart by a draw that depends on its position alone."""
    share = validation_pct / 100
    any_below = _draw(survey.lowest_draw_index) < share
    for index, cut in enumerate(_cut_pieces(dataset, survey.piece_chars)):
        if any_below:
            is_validation = _draw(index) < share
        else:  # the share is less than one piece: hold out exactly one, unless it is all there is
            is_validation = share > 0 and survey.num_pieces > 1 and index == survey.lowest_draw_index
        yield Piece(cut.text, is_validation, ends_document=cut.is_last)


def _draw(index: int) -> float:
    """Return a number in [0, 1) that is the same in every run."""
    return int.from_bytes(hashlib.blake2b(index.to_bytes(8, "little"), digest_size=8).digest(), "little") / 2**64


@dataclass(frozen=True)
class _Cut:
    text: str
    is_last: bool


def _cut_pieces(dataset: Path, piece_chars: int) -> Iterator[_Cut]:
    for path in list_files(dataset):
        if path.suffix in _JSON_SUFFIXES:
            documents = _read_jsonl(path)
        elif path.suffix == ".parquet":
            documents = _read_parquet(path)
        else:
            yield from _mark_last(_cut(_read_text(path), piece_chars))
            continue
        for document in documents:
            yield from _mark_last(_cut(iter([document]), piece_chars))


def _mark_last(texts: Iterator[str]) -> Iterator[_Cut]:
    """Tell the last piece of one document from those before it."""
    held: str | None = None
    for text in texts:
        if held is not None:
            yield _Cut(held, is_last=False)
        held = text
    if held is not None:
        yield _Cut(held, is_last=True)


def _cut(parts: Iterator[str], piece_chars: int) -> Iterator[str]:
    """Join ``parts`` and cut them anew: at the last line end within ``piece_chars``, or there if none.

    No character is lost, but a document of white space alone is none.
    """
    rest = ""
    blank: str | None = ""  # white space the document begins with; None once there is text
    for part in parts:
        rest += part
        start = 0
        while len(rest) - start > piece_chars:
            stop = rest.rfind("\n", start, start + piece_chars) + 1 or start + piece_chars
            text = rest[start:stop]
            start = stop
            if blank is not None:
                text = blank + text
                blank = None if text.strip() else text
            if blank is None:
                yield text
        rest = rest[start:]
    rest = (blank or "") + rest
    if rest and (blank is None or rest.strip()):
        yield rest


def _read_text(path: Path) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    offset = 0
    with path.open("rb") as file:
        while True:
            chunk = file.read(_READ_BYTES)
            pending = len(decoder.getstate()[0])
            try:
                yield decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                raise UserError(
                    f"data.dataset: {path.name} is not UTF-8 text: undecodable byte at offset "
                    f"{offset - pending + error.start}"
                ) from error
            if not chunk:
                return
            offset += len(chunk)


def _read_jsonl(path: Path) -> Iterator[str]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except ValueError as error:
                raise UserError(f"data.dataset: {path.name} line {number} is not JSON: {error}") from error
            text = record.get(TEXT_FIELD) if isinstance(record, dict) else None
            if not isinstance(text, str):
                raise UserError(f"data.dataset: {path.name} line {number} has no string field `{TEXT_FIELD}`")
            yield text


def _read_parquet(path: Path) -> Iterator[str]:
    import pyarrow as pa  # its allocator starts a thread at once, which a process that forks must not have
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            if TEXT_FIELD not in file.schema_arrow.names:
                raise UserError(f"data.dataset: {path.name} has no column `{TEXT_FIELD}`")
            kind = file.schema_arrow.field(TEXT_FIELD).type
            if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
                raise UserError(f"data.dataset: column `{TEXT_FIELD}` of {path.name} holds {kind}, not strings")
            for batch in file.iter_batches(batch_size=1024, columns=[TEXT_FIELD], use_threads=False):
                yield from (text for text in batch.column(0).to_pylist() if text is not None)
    except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
        raise UserError(f"data.dataset: {path.name} is not a readable Parquet file: {error}") from error

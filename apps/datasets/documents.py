"""Reading documents out of stored text, JSONL and Parquet files, without holding a file in memory.

How a file is read follows from its name, exactly as the runtime reads it when it trains: ``.jsonl`` and
``.ndjson`` hold one JSON object with a string ``text`` a line, ``.parquet`` a string column ``text``, anything else
is one document of UTF-8 text. Hidden files and ``__pycache__`` are no data.
"""

import codecs
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import PurePosixPath
from typing import BinaryIO

import msgspec

from apps.datasets.models import DatasetFormat
from apps.storage.backend import storage
from apps.storage.selectors import StoredFile

MAX_LINE_BYTES = 64 * 1024 * 1024
TEXT_FIELD = "text"
_SUFFIXES = {".jsonl": DatasetFormat.JSONL, ".ndjson": DatasetFormat.JSONL, ".parquet": DatasetFormat.PARQUET}


class UnusableFile(Exception):  # noqa: N818 - named for what it says of the file
    """The file is not what its name says; the message names file and place."""


@dataclass(frozen=True, slots=True)
class Document:
    """One document and the line or row it stands in, counted from 1 (None: the whole file)."""

    place: int | None
    text: str


@dataclass(frozen=True, slots=True)
class Length:
    """How long a document is."""

    num_characters: int
    is_blank: bool


class _Line(msgspec.Struct):
    text: str


_LINE_DECODER = msgspec.json.Decoder(_Line)


def format_of(path: str) -> DatasetFormat:
    """Return how a file of this name is read."""
    return _SUFFIXES.get(PurePosixPath(path).suffix, DatasetFormat.TEXT)


def is_data(path: str) -> bool:
    """Tell whether a file of this name is read at all."""
    return not any(part.startswith(".") or part == "__pycache__" for part in path.split("/"))


def measure(file: StoredFile, on_bytes: Callable[[int], None]) -> Iterator[Length]:
    """Yield the length of every document; ``on_bytes`` is told how many more bytes were read.

    Raises:
        UnusableFile: see the class.
    """
    if format_of(file.path) is DatasetFormat.TEXT:
        yield _measure_text(file, on_bytes)
        return
    for document in _documents(file, on_bytes):
        yield Length(len(document.text), is_blank=not document.text.strip())


def first_documents(file: StoredFile, *, max_characters: int) -> Iterator[Document]:
    """Yield documents from the start of a file; a text file is read no further than ``max_characters`` need.

    Raises:
        UnusableFile: see the class.
    """
    if format_of(file.path) is not DatasetFormat.TEXT:
        yield from _documents(file, lambda _: None)
        return
    with storage().open(file.storage_key) as stream:
        start = stream.read(4 * max_characters + 4)
    text = start.decode("utf-8-sig", errors="replace")
    is_whole = len(start) == file.size_bytes
    yield Document(None, text if is_whole else text[: max_characters + 1])


def _measure_text(file: StoredFile, on_bytes: Callable[[int], None]) -> Length:
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    num_characters, num_lines, is_blank = 0, 0, True
    for chunk in chain(storage().read(file.storage_key), [b""]):
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            line = num_lines + error.object[: error.start].count(b"\n") + 1
            raise UnusableFile(f"{file.path}, line {line}: not UTF-8 text ({_byte(error)}).") from error
        num_characters += len(text)
        num_lines += text.count("\n")
        is_blank = is_blank and not text.strip()
        on_bytes(len(chunk))
    return Length(num_characters, is_blank)


def _documents(file: StoredFile, on_bytes: Callable[[int], None]) -> Iterator[Document]:
    with storage().open(file.storage_key) as stream:
        if format_of(file.path) is DatasetFormat.JSONL:
            yield from _read_jsonl(file.path, stream, on_bytes)
        else:
            from apps.datasets.parquet import read_parquet  # pyarrow is large, and no process needs it to start

            yield from read_parquet(file, stream, on_bytes)


def _read_jsonl(path: str, stream: BinaryIO, on_bytes: Callable[[int], None]) -> Iterator[Document]:
    number = 0
    while line := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES:
            raise UnusableFile(f"{path}, line {number}: longer than {MAX_LINE_BYTES} bytes.")
        on_bytes(len(line))
        line = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
        if not line.strip():
            continue
        try:
            yield Document(number, _LINE_DECODER.decode(line).text)
        except UnicodeDecodeError as error:
            raise UnusableFile(f"{path}, line {number}: not UTF-8 ({_byte(error)}).") from error
        except msgspec.ValidationError as error:
            raise UnusableFile(f"{path}, line {number}: {error}.") from error
        except (msgspec.DecodeError, RecursionError) as error:
            raise UnusableFile(f"{path}, line {number}: not JSON ({error}).") from error


def _byte(error: UnicodeDecodeError) -> str:
    return f"byte 0x{error.object[error.start]:02x}"

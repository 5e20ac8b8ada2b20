"""Reading documents out of a Parquet file, batch by batch."""

from collections.abc import Callable, Iterator
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from apps.datasets.documents import TEXT_FIELD, Document, UnusableFile
from apps.storage.selectors import StoredFile

_BATCH_ROWS = 256


def read_parquet(file: StoredFile, stream: BinaryIO, on_bytes: Callable[[int], None]) -> Iterator[Document]:
    """Yield the documents of the text column; ``on_bytes`` is told how many more bytes were read.

    Raises:
        UnusableFile: this is no Parquet file, or it has no such column.
    """
    row = 0
    try:
        with pq.ParquetFile(stream) as parquet:
            _check_column(file.path, parquet.schema_arrow)
            total = max(1, parquet.metadata.num_rows)
            batches = parquet.iter_batches(batch_size=_BATCH_ROWS, columns=[TEXT_FIELD], use_threads=False)
            for batch in batches:
                for text in batch.column(0).to_pylist():
                    row += 1
                    if text is not None:
                        yield Document(row, text)
                on_bytes(file.size_bytes * batch.num_rows // total)
    except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
        raise UnusableFile(f"{file.path}, after row {row}: not a readable Parquet file ({error}).") from error


def _check_column(path: str, schema: pa.Schema) -> None:
    if TEXT_FIELD not in schema.names:
        raise UnusableFile(f"{path}: no column `{TEXT_FIELD}`; its columns are {', '.join(schema.names[:20])}.")
    kind = schema.field(TEXT_FIELD).type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise UnusableFile(f"{path}: column `{TEXT_FIELD}` holds {kind}, not strings.")

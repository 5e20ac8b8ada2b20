"""The only code that touches stored bytes: opaque keys on whatever file system ``COX_STORAGE_URL`` names.

A key is written once, under a fresh name, and never changed; a row refers to it only after ``write`` has
returned. So there are no renames, and a reader never meets half a file. Encryption at rest belongs here,
between the chunks and the file system. What a crash leaves behind lies below its upload's prefix, which
garbage collection clears; nothing ever lists the whole store.
"""

import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import fsspec
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

CHUNK_BYTES = 1024 * 1024
"""Most bytes of a file that one reader or writer holds in memory."""


class Storage:
    """Files by key below one root. Missing keys raise FileNotFoundError, whatever the file system."""

    def __init__(self, url: str) -> None:
        if not url:
            raise ImproperlyConfigured("COX_STORAGE_URL is not set; for a local folder use file:///path/to/folder")
        self._fs, root = fsspec.core.url_to_fs(url)
        self._root = str(root).rstrip("/")
        self._is_local = "file" in self._fs.protocol

    def write(self, key: str, chunks: Iterable[bytes], *, is_durable: bool = True) -> int:
        """Store ``chunks`` under a key that is not used yet and return the number of bytes.

        They are on the disk when this returns, unless the caller can do without (``make_durable`` makes up for it).
        If ``chunks`` or the file system raises, nothing stays.
        """
        path = self._path(key)
        self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        size_bytes = 0
        try:
            with self._fs.open(path, "wb") as file:
                for chunk in chunks:
                    file.write(chunk)
                    size_bytes += len(chunk)
        except BaseException:
            self.delete(key)
            raise
        if is_durable:
            self.make_durable(key)
        return size_bytes

    def make_durable(self, key: str) -> None:
        """Wait until a stored file and its name survive a power failure; other stores than disks promise that anyway.

        Raises:
            FileNotFoundError: nothing is stored under ``key``.
        """
        if self._is_local:
            path = Path(self._path(key))
            for entry in (path, path.parent):  # without its folder a crash may forget a file whose bytes are safe
                _fsync(entry)

    def read(self, key: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Return the bytes [start, stop) in chunks of at most ``CHUNK_BYTES``; the file is opened at once.

        Raises:
            FileNotFoundError: nothing is stored under ``key``.
        """
        return _read_range(self.open(key), start, stop)

    def open(self, key: str) -> BinaryIO:
        """Open a stored file for reading; it can seek, and read lines.

        Raises:
            FileNotFoundError: nothing is stored under ``key``.
        """
        file: BinaryIO = self._fs.open(self._path(key), "rb")
        return file

    def delete(self, key: str) -> None:
        """Remove one file; a missing one is no error."""
        with suppress(FileNotFoundError):
            self._fs.rm_file(self._path(key))

    def delete_prefix(self, prefix: str, keep: frozenset[str] = frozenset()) -> int:
        """Remove every file below the folder ``prefix`` but those in ``keep``; return how many went.

        The folder goes with its last file, unless something is to be kept: then somebody may still be writing.
        """
        folder = self._path(prefix)
        self._fs.invalidate_cache(folder)
        try:
            names = [str(name) for name in self._fs.find(folder)]
        except FileNotFoundError:
            return 0
        kept = {self._path(key) for key in keep}
        doomed = [name for name in names if name not in kept]
        for name in doomed:  # others may be clearing the same folder, or be writing into it
            with suppress(FileNotFoundError):
                self._fs.rm_file(name)
        if self._is_local and not keep:
            with suppress(OSError):
                Path(folder).rmdir()
        return len(doomed)

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}"


def upload_prefix(upload_hex: str) -> str:
    """Return the folder below which all files of one upload lie, the finished one included.

    The last digits of a UUIDv7 are random, so the first level of folders fills evenly.
    """
    return f"{upload_hex[-2:]}/{upload_hex}"


def new_key(upload_hex: str, label: str) -> str:
    """Return a key that was never used; ``label`` is for the eyes of operators."""
    return f"{upload_prefix(upload_hex)}/{label}-{secrets.token_hex(8)}"


def storage() -> Storage:
    """Return the store that the settings name."""
    return _open_storage(settings.STORAGE_URL)


@lru_cache(maxsize=4)
def _open_storage(url: str) -> Storage:
    return Storage(url)


def _read_range(file: BinaryIO, start: int, stop: int | None) -> Iterator[bytes]:
    with file:
        file.seek(start)
        left = None if stop is None else stop - start
        while left is None or left > 0:
            chunk = file.read(CHUNK_BYTES if left is None else min(CHUNK_BYTES, left))
            if not chunk:
                return
            if left is not None:
                left -= len(chunk)
            yield chunk


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Files named by content: what checkpoints, model versions, datasets and outputs are made of."""

import hashlib
from collections.abc import Iterable

from pydantic import Field

from workers.contract.base import ContractModel

SHA256_PATTERN = r"^[0-9a-f]{64}$"


class FileRef(ContractModel):
    """One file of a set."""

    path: str = Field(min_length=1, max_length=1024)
    """Relative to the set's root, "/"-separated; checked by ``is_safe_path`` wherever it meets a disk."""
    size_bytes: int = Field(ge=0)
    sha256: str = Field(pattern=SHA256_PATTERN)


class Manifest(ContractModel):
    """A complete set of files. A set without its manifest does not exist."""

    files: tuple[FileRef, ...]


def is_safe_path(path: str) -> bool:
    """Tell whether ``path`` stays below the directory it is joined to, and any file system can hold it."""
    if not path or len(path) > 1024 or path.startswith("/") or "\\" in path:
        return False
    if any(ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 for character in path):
        return False
    if any(0xD800 <= ord(character) < 0xE000 for character in path):  # a lone surrogate: not encodable
        return False
    return all(segment not in {"", ".", ".."} and len(segment.encode()) <= 255 for segment in path.split("/"))


def set_digest(files: Iterable[FileRef]) -> str:
    """Return the digest of a set of files, whatever their order.

    SHA-256 over the lines ``<sha256> <size> <path>``, sorted as UTF-8 and each ended by a newline. A safe path
    holds no newline, so two different sets never give the same lines.
    """
    lines = sorted(f"{file.sha256} {file.size_bytes} {file.path}\n".encode() for file in files)
    return hashlib.sha256(b"".join(lines)).hexdigest()

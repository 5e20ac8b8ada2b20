"""Files named by content: what checkpoints, model versions, datasets and outputs are made of."""

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
    """Tell whether ``path`` stays below the directory it is joined to."""
    if not path or len(path) > 1024 or path.startswith("/") or "\\" in path:
        return False
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in path):
        return False
    return all(segment not in {"", ".", ".."} for segment in path.split("/"))

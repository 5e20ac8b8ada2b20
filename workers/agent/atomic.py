"""Files that are either old or new, never half."""

import os
from pathlib import Path


def write_atomically(path: Path, text: str, *, mode: int = 0o644, is_durable: bool = False) -> None:
    """Replace ``path`` in one step; ``is_durable`` also survives a loss of power."""
    temporary = path.with_name(f".{path.name}.new")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with open(fd, "w", encoding="utf-8") as file:  # noqa: PTH123  a descriptor, not a path
        os.fchmod(file.fileno(), mode)
        file.write(text)
        if is_durable:
            file.flush()
            os.fsync(file.fileno())
    temporary.replace(path)

"""The demonstration's data: the source text of the Python standard library, without its tests, one module a record."""

import json
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from coxswain.client.transfers import LocalFile

_LEFT_OUT = frozenset({"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__"})
_MIN_CHARACTERS = 200
FILE_NAME = "standard-library.jsonl"


def module_files() -> Iterator[Path]:
    """Yield the library's source files in a fixed order."""
    root = Path(sysconfig.get_path("stdlib"))
    for path in sorted(root.rglob("*.py")):
        if not _LEFT_OUT & set(path.relative_to(root).parts):
            yield path


def write_corpus(folder: Path) -> LocalFile:
    """Write the corpus below ``folder`` as JSON Lines; the same Python gives the same bytes."""
    root = Path(sysconfig.get_path("stdlib"))
    target = folder / FILE_NAME
    with target.open("w", encoding="utf-8") as stream:
        for path in module_files():
            text = path.read_text(encoding="utf-8", errors="ignore")
            if len(text) >= _MIN_CHARACTERS:
                record = {"path": path.relative_to(root).as_posix(), "text": text}
                stream.write(json.dumps(record, ensure_ascii=False) + "\n")
    return LocalFile(target, FILE_NAME, target.stat().st_size)

"""The files between a script and the node's agent; what the fields mean is said in ``workers/contract/run.py``."""

import hashlib
import json
import math
import os
import re
import shutil
import threading
import time
from pathlib import Path
from typing import Any

_CHECKPOINTS = "checkpoints"
_NAME = re.compile(r"step-(\d{9})")
_MANIFEST = "manifest.json"
_CONTROL = "control.json"

Document = dict[str, Any]


def metric_value(value: float) -> float | str:
    """Write what JSON has no number for as the contract's strings."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


class EventFile:
    """One rank's numbered lines; safe to use from several threads. Goes on after the last whole line."""

    def __init__(self, folder: Path, rank: int) -> None:
        path = folder / "events" / f"rank{rank}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._next, self.last_step = _cut_to_whole_lines(path)
        """``last_step``: metrics up to here were reported before this process began."""
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)

    def append(self, kind: str, fields: Document) -> None:
        """Write one event in one piece, so that a reader never takes half of one."""
        with self._lock:
            event = {"n": self._next, "time_us": time.time_ns() // 1000, "type": kind, **fields}
            os.write(self._fd, json.dumps(event, separators=(",", ":")).encode() + b"\n")
            self._next += 1


def wants_stop(folder: Path | None) -> bool:
    """Tell whether the control file asks the run to stop."""
    if folder is None:
        return False
    try:
        return bool(json.loads((folder / _CONTROL).read_bytes()).get("stop"))
    except (FileNotFoundError, ValueError):
        return False


def publish(folder: Path, source: Path, *, step: int, keep: int) -> tuple[str, Document]:
    """Copy a directory into the run's checkpoints; return its name there and its manifest.

    It exists once it has its final name; older ones beyond ``keep`` are removed.

    Raises:
        ValueError: ``source`` is no directory with files, or holds links and the like.
    """
    if not source.is_dir():
        raise ValueError(f"{source} is no directory: a checkpoint is one")
    root = folder / _CHECKPOINTS
    partial, final = root / f".step-{step:09d}", root / f"step-{step:09d}"
    shutil.rmtree(partial, ignore_errors=True)
    files = [
        _copy(path, source, partial) for path in sorted(source.rglob("*")) if not path.is_dir() or path.is_symlink()
    ]
    if not files:
        raise ValueError(f"{source} holds no file: a checkpoint needs at least one")
    manifest = {"files": files}
    (partial / _MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    shutil.rmtree(final, ignore_errors=True)
    partial.rename(final)
    for old in _published(folder)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return f"{_CHECKPOINTS}/{final.name}", manifest


def latest_checkpoint(folder: Path) -> Path | None:
    """Return the newest complete checkpoint of this attempt on this node."""
    found = _published(folder)
    return found[-1] if found else None


def step_of(checkpoint: Path) -> int:
    """Return the step that a published checkpoint is named for."""
    match = _NAME.fullmatch(checkpoint.name)
    return int(match[1]) if match else 0


def _published(folder: Path) -> list[Path]:
    root = folder / _CHECKPOINTS
    if not root.is_dir():
        return []
    return sorted(path for path in root.iterdir() if _NAME.fullmatch(path.name) and (path / _MANIFEST).is_file())


def _copy(path: Path, source: Path, target: Path) -> Document:
    name = path.relative_to(source).as_posix()
    if path.is_symlink() or not path.is_file():
        raise ValueError(f"{path} is no plain file: a checkpoint holds files and folders only")
    if name == _MANIFEST:
        raise ValueError(f"{path}: the name {_MANIFEST} is taken in a checkpoint")
    copied = target / name
    copied.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, copied)
    with copied.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"path": name, "size_bytes": copied.stat().st_size, "sha256": digest}


def _cut_to_whole_lines(path: Path) -> tuple[int, int]:
    """Drop a line that a kill has torn; return how many there are, and the last step with metrics (-1: none)."""
    num_lines, whole_bytes, last_step = 0, 0, -1
    if path.exists():
        with path.open("r+b") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                num_lines += 1
                whole_bytes += len(line)
                event = json.loads(line)
                if event.get("type") == "metrics":
                    last_step = max(last_step, event["step"])
            file.truncate(whole_bytes)
    return num_lines, last_step

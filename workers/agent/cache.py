"""Inputs by content digest: fetched once, verified, kept until space is needed.

Layout: ``sets/<digest>/`` is a complete, verified set and never changes; ``partial/<digest>/`` is one on its way,
and what is there already is not fetched again after a cut connection or a restart. Renaming the second to the
first is what makes a set exist.
"""

import hashlib
import logging
import os
import shutil
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import httpx

from workers.agent.api import NodeApi, NotFound, Refused, Retry, Unreachable
from workers.contract.manifest import FileRef, Manifest, is_safe_path
from workers.contract.node_api import InputRef

MANIFEST_NAME = "manifest.json"

log = logging.getLogger(__name__)


class BadInput(Exception):  # noqa: N818  named for what happened
    """An input cannot be made ready, and trying again would not change that."""


@dataclass(frozen=True)
class FetchProgress:
    """How far a set is."""

    done_bytes: int
    total_bytes: int


ProgressCallback = Callable[[FetchProgress], None]


class InputCache:
    """The node's sets. Safe to use from several threads; a set wanted twice is fetched once."""

    def __init__(self, root: Path, *, limit_bytes: int, api: NodeApi) -> None:
        self._sets = root / "sets"
        self._partial = root / "partial"
        self._sets.mkdir(parents=True, exist_ok=True)
        self._partial.mkdir(parents=True, exist_ok=True)
        self._limit_bytes = limit_bytes
        self._api = api
        self._lock = threading.Lock()
        self._pins: dict[UUID, set[str]] = {}
        self._fetching: dict[str, threading.Lock] = {}

    def pin(self, allocation_id: UUID, digests: Iterable[str]) -> None:
        """Keep these sets from eviction until the allocation is released."""
        with self._lock:
            self._pins.setdefault(allocation_id, set()).update(digests)

    def release(self, allocation_id: UUID) -> None:
        """Let the allocation's sets be evicted."""
        with self._lock:
            self._pins.pop(allocation_id, None)

    def fetch(self, allocation_id: UUID, ref: InputRef, *, retry: Retry, on_progress: ProgressCallback) -> Path:
        """Return the directory of a complete set, fetching what is missing; pins it for the allocation.

        Raises:
            BadInput: an unsafe path, bytes that do not have their digest, or a file the server does not have.
            GaveUp: ``retry`` was stopped while the server could not be reached.
            OSError: the disk is full or broken.
        """
        _check_paths(ref)
        self.pin(allocation_id, (ref.digest,))
        with self._lock:
            lock = self._fetching.setdefault(ref.digest, threading.Lock())
        with lock:
            target = self._sets / ref.digest
            if not target.is_dir():
                total_bytes = sum(file.size_bytes for file in ref.files)
                self._make_room(total_bytes)
                self._fill(allocation_id, ref, total_bytes, retry=retry, on_progress=on_progress)
            os.utime(target)  # the time of last use, which eviction sorts by
            return target

    def _fill(
        self, allocation_id: UUID, ref: InputRef, total_bytes: int, *, retry: Retry, on_progress: ProgressCallback
    ) -> None:
        directory = self._partial / ref.digest
        directory.mkdir(exist_ok=True)
        done_bytes = 0
        for file in ref.files:
            target = directory / file.path
            if not target.exists():  # a file gets its name only after its digest was found right
                target.parent.mkdir(parents=True, exist_ok=True)
                base_bytes = done_bytes
                _Download(self._api, allocation_id, file, target, retry).run(
                    lambda received, base=base_bytes: on_progress(FetchProgress(base + received, total_bytes))  # type: ignore[misc]
                )
            done_bytes += file.size_bytes
            on_progress(FetchProgress(done_bytes, total_bytes))
        _write_manifest(directory, ref)
        directory.rename(self._sets / ref.digest)

    def _make_room(self, needed_bytes: int) -> None:
        """Evict the sets used longest ago until the new one fits; live allocations' sets stay even if it does not."""
        with self._lock:
            pinned = set().union(*self._pins.values())
        sets = sorted(self._sets.iterdir(), key=lambda path: path.stat().st_mtime)
        sizes = {path: size_of_tree(path) for path in sets}
        excess_bytes = sum(sizes.values()) + needed_bytes - self._limit_bytes
        for path in sets:
            if excess_bytes <= 0:
                return
            if path.name in pinned:
                continue
            log.info("evicting input set %s (%d bytes)", path.name, sizes[path])
            trash = self._partial / f"evicted-{path.name}"
            path.rename(trash)  # in one step: a half-deleted set must not look complete
            shutil.rmtree(trash)
            excess_bytes -= sizes[path]


def _write_manifest(directory: Path, ref: InputRef) -> None:
    """Complete a checkpoint: its manifest names the files and so is not one of them, but the runtime asks for it."""
    if ref.role == "checkpoint" and all(file.path != MANIFEST_NAME for file in ref.files):
        (directory / MANIFEST_NAME).write_text(Manifest(files=ref.files).model_dump_json(), encoding="utf-8")


def _check_paths(ref: InputRef) -> None:
    seen: set[str] = set()
    for file in ref.files:
        if not is_safe_path(file.path):
            raise BadInput(f"input {ref.name!r} has a file with an unsafe path: {file.path!r}")
        if file.path in seen:
            raise BadInput(f"input {ref.name!r} lists {file.path!r} twice")
        seen.add(file.path)


def size_of_tree(directory: Path) -> int:
    """Bytes of all files below ``directory``; links are not followed."""
    return sum(Path(folder, name).lstat().st_size for folder, _, names in os.walk(directory) for name in names)


class _Download:
    """One file: resumed where it was cut, renamed into place once its digest is right."""

    def __init__(self, api: NodeApi, allocation_id: UUID, ref: FileRef, target: Path, retry: Retry) -> None:
        self._api = api
        self._allocation_id = allocation_id
        self._ref = ref
        self._target = target
        self._partial = target.with_name(f".{target.name[:200]}.part")
        self._retry = retry

    def run(self, on_received: Callable[[int], None]) -> None:
        if self._ref.size_bytes == 0:
            self._partial.touch()
        try:
            while self._present_bytes() < self._ref.size_bytes:
                self._retry.call(lambda: self._receive(on_received))
        except (NotFound, Refused) as error:
            raise BadInput(f"the server does not give {self._ref.path!r}: {error}") from error
        self._verify()
        self._partial.chmod(0o444)  # a rank that writes into the cache would spoil it for every later job
        self._partial.rename(self._target)

    def _present_bytes(self) -> int:
        return self._partial.stat().st_size if self._partial.exists() else 0

    def _receive(self, on_received: Callable[[int], None]) -> None:
        offset = self._present_bytes()
        with self._api.open_file(self._allocation_id, self._ref.sha256, offset=offset) as response:
            if response.status_code != httpx.codes.PARTIAL_CONTENT:
                offset = 0  # the whole file comes, whatever was asked for
            with self._partial.open("r+b" if offset else "wb") as file:
                file.seek(offset)
                file.truncate()
                for chunk in response.iter_raw():  # as received: collecting chunks would lose the last one to a cut
                    file.write(chunk)
                    offset += len(chunk)
                    if offset > self._ref.size_bytes:
                        break
                    on_received(offset)
                    if self._retry.stop.is_set():
                        raise Unreachable("no longer wanted")
        if offset < self._ref.size_bytes:
            raise Unreachable(f"{self._ref.path!r} was cut after {offset} of {self._ref.size_bytes} bytes")

    def _verify(self) -> None:
        with self._partial.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        size_bytes = self._present_bytes()
        if digest != self._ref.sha256 or size_bytes != self._ref.size_bytes:
            self._partial.unlink()
            raise BadInput(
                f"{self._ref.path!r} arrived with SHA-256 {digest} and {size_bytes} bytes; "
                f"{self._ref.sha256} and {self._ref.size_bytes} were promised"
            )

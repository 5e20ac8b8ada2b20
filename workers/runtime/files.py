"""Files that appear whole or not at all, and the manifests that name their content."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from workers.contract.manifest import FileRef, Manifest

MANIFEST_NAME = "manifest.json"
_CHUNK_BYTES = 1 << 20


def sha256_of_file(path: Path) -> str:
    """Return the hex digest of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def write_manifest(directory: Path) -> Manifest:
    """Hash every file below ``directory`` and store the manifest in it."""
    paths = sorted(path for path in directory.rglob("*") if path.is_file() and path.name != MANIFEST_NAME)
    manifest = Manifest(
        files=tuple(
            FileRef(
                path=path.relative_to(directory).as_posix(),
                size_bytes=path.stat().st_size,
                sha256=sha256_of_file(path),
            )
            for path in paths
        )
    )
    (directory / MANIFEST_NAME).write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return manifest


def find_damage(directory: Path, *, hashes: bool = True) -> str | None:
    """Say what is wrong with a published directory, or None when it is whole."""
    try:
        manifest = Manifest.model_validate_json((directory / MANIFEST_NAME).read_bytes())
    except FileNotFoundError:
        return f"it has no {MANIFEST_NAME}"
    except ValueError:
        return f"its {MANIFEST_NAME} cannot be read"
    for file in manifest.files:
        path = directory / file.path
        if not path.is_file():
            return f"{file.path} is missing"
        if path.stat().st_size != file.size_bytes:
            return f"{file.path} has {path.stat().st_size} bytes instead of {file.size_bytes}"
        if hashes and sha256_of_file(path) != file.sha256:
            return f"the content of {file.path} does not match its SHA-256"
    return None


def publish(final: Path, write: Callable[[Path], None]) -> Manifest:
    """Let ``write`` fill a temporary directory, then give it its final name with a manifest.

    Everything is on the disk before the rename, so ``final`` is complete whenever it exists. An older
    directory of that name is replaced. On any error the temporary directory is removed.
    """
    temporary = final.with_name(f".tmp-{final.name}-{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        write(temporary)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return publish_written(final, temporary)


def publish_written(final: Path, temporary: Path) -> Manifest:
    """Give a directory that has been written its final name beside it, as ``publish`` does."""
    try:
        manifest = write_manifest(temporary)
        _sync_tree(temporary)
        if final.exists():
            replaced = final.with_name(f".old-{final.name}-{os.getpid()}")
            final.rename(replaced)
            temporary.rename(final)
            shutil.rmtree(replaced, ignore_errors=True)
        else:
            temporary.rename(final)
        _sync(final.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return manifest


@contextmanager
def atomic_text(path: Path) -> Iterator[Path]:
    """Yield a temporary path whose file replaces ``path`` when the block ends well."""
    temporary = path.with_name(f".tmp-{path.name}-{os.getpid()}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _sync_tree(directory: Path) -> None:
    for path in directory.rglob("*"):
        _sync(path)
    _sync(directory)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

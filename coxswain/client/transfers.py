"""Sending files: announce by digest, send the parts the server lacks, finalise. Resumable at any point."""

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from coxswain.client.errors import CoxswainError
from coxswain.client.transport import Transport
from workers.contract.node_api import UploadReply

_READ_BYTES = 1 << 20
_NUM_AT_ONCE = 4

# Called with the number of bytes that were just sent or found to be there already.
OnBytes = Callable[[int], None]


@dataclass(frozen=True)
class LocalFile:
    """A file to send, and its path inside the dataset."""

    path: Path
    name: str
    size_bytes: int


def collect_files(paths: list[Path]) -> list[LocalFile]:
    """List what ``paths`` stand for: files by their names, folders by the paths below them, in sorted order.

    Raises:
        CoxswainError: a path does not exist, two files would get the same name, or there is no file at all.
    """
    found: dict[str, LocalFile] = {}
    for path in paths:
        if not path.exists():
            raise CoxswainError(f"{path} does not exist")
        base = path if path.is_dir() else path.parent
        for member in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if not member.is_file():
                continue
            name = member.relative_to(base).as_posix()
            if name in found:
                raise CoxswainError(f"{member} and {found[name].path} would both be named {name!r} in the dataset")
            found[name] = LocalFile(member, name, member.stat().st_size)
    if not found:
        raise CoxswainError(f"There is no file in {', '.join(map(str, paths))}")
    return list(found.values())


def sha256_of(path: Path) -> str:
    """Digest of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(_READ_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def upload_file(transport: Transport, file: LocalFile, *, project: str, on_bytes: OnBytes | None = None) -> str:
    """Send one file and answer its SHA-256; bytes the workspace has already are not sent again.

    Raises:
        ApiError: the server refuses it.
    """
    digest = sha256_of(file.path)
    body = {"project": project, "sha256": digest, "size_bytes": file.size_bytes}
    upload = UploadReply.model_validate(transport.post("uploads", body))
    report = on_bytes or (lambda _: None)
    if upload.complete:
        report(file.size_bytes)
        return digest
    part_bytes = upload.part_size_bytes
    received = set(upload.received_parts)
    num_parts = -(-file.size_bytes // part_bytes)  # none for an empty file
    with file.path.open("rb") as stream:
        for number in range(num_parts):
            length = min(part_bytes, file.size_bytes - number * part_bytes)
            if number not in received:
                piece = os.pread(stream.fileno(), length, number * part_bytes)
                transport.request("PUT", f"uploads/{upload.upload_id}/parts/{number}", content=piece, timeout_s=120)
            report(length)
    transport.post(f"uploads/{upload.upload_id}/finalise")
    return digest


def upload_files(
    transport: Transport, files: list[LocalFile], *, project: str, on_bytes: OnBytes | None = None
) -> list[dict[str, object]]:
    """Send many files, several at once, and answer the list that makes a dataset version of them."""
    with ThreadPoolExecutor(max_workers=_NUM_AT_ONCE) as pool:
        digests = list(pool.map(lambda file: upload_file(transport, file, project=project, on_bytes=on_bytes), files))
    return [
        {"path": file.name, "sha256": digest, "size_bytes": file.size_bytes}
        for file, digest in zip(files, digests, strict=True)
    ]

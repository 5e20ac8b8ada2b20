"""Sending stored bytes: one file with Range, or a set as a tar archive, streamed and never held as a whole.

Ranges are RFC 9110, section 14: one range; several in one request are answered with the whole file, as the RFC
allows. Archives are POSIX.1-2001 (pax) tar, written while they are sent; their length is known beforehand, so
clients can show progress. Every answer is an attachment and says nosniff: what users uploaded is never rendered
on our origin.
"""

import re
import tarfile
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime
from urllib.parse import quote

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.http import parse_etags

from apps.core.errors import DomainError, Unavailable
from apps.storage.backend import storage
from apps.storage.selectors import StoredFile

_ONE_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})", re.ASCII)
_TAR_BLOCK = 512
_TAR_END = b"\0" * (2 * _TAR_BLOCK)


class ByteStream(StreamingHttpResponse):
    """A response whose chunks are read in a thread, one at a time, when they are sent.

    Django itself gathers a synchronous iterator into one list before an ASGI server sends the first byte.
    """

    async def __aiter__(self) -> AsyncIterator[bytes]:
        chunks = self.streaming_content
        assert isinstance(chunks, Iterator), "made from a synchronous iterator"
        following = sync_to_async(_next, thread_sensitive=False)
        while (chunk := await following(chunks)) is not None:
            yield chunk


class RangeNotSatisfiable(DomainError):  # noqa: N818 - named for what happened, as in apps.core.errors
    """The range lies behind the end of the file."""

    status = 416
    code = "range_not_satisfiable"
    title = "The range lies outside the file"
    remedy = "Ask for a range below size_bytes."


def file_response(request: HttpRequest, file: StoredFile) -> HttpResponseBase:
    """Answer GET or HEAD of one file: 200, 206 for a range, 304 when the client has it, 416 behind its end.

    Raises:
        RangeNotSatisfiable: HTTP 416.
        Unavailable: the row is there and its bytes are not.
    """
    etag = f'"{file.sha256}"'
    name = file.path.rpartition("/")[2]
    if _client_has(request, etag):
        return _finish(HttpResponse(status=304), name, etag)
    span = _requested_range(request, file.size_bytes, etag)
    start, stop = (span.start, span.stop) if span is not None else (0, file.size_bytes)
    chunks = iter(()) if request.method == "HEAD" else _open(file, start, stop)
    response = ByteStream(chunks, status=206 if span is not None else 200)
    if span is not None:
        response["Content-Range"] = f"bytes {start}-{stop - 1}/{file.size_bytes}"
    response["Content-Length"] = str(stop - start)
    response["Accept-Ranges"] = "bytes"
    return _finish(response, name, etag)


def archive_response(
    request: HttpRequest, *, files: Sequence[StoredFile], name: str, digest: str, modified_at: datetime
) -> HttpResponseBase:
    """Answer GET of a whole set as ``<name>.tar``, all files below the folder ``<name>/``.

    ``digest`` is the set's; with ``name`` and ``modified_at`` it fixes every byte of the archive.
    """
    etag = f'"{digest}-{name}-tar"'
    if _client_has(request, etag):
        return _finish(HttpResponse(status=304), f"{name}.tar", etag)
    headers = [_tar_header(f"{name}/{file.path}", file.size_bytes, modified_at) for file in files]
    response = ByteStream(iter(()) if request.method == "HEAD" else _tar(headers, files))
    padded = sum(len(header) + file.size_bytes + _padding(file) for header, file in zip(headers, files, strict=True))
    response["Content-Length"] = str(padded + len(_TAR_END))
    return _finish(response, f"{name}.tar", etag, content_type="application/x-tar")


def content_disposition(name: str) -> str:
    """Return an attachment header for any file name: ASCII for old clients, UTF-8 by RFC 8187 beside it."""
    plain = re.sub(r"[^A-Za-z0-9 ._()+,=@-]", "_", name) or "file"
    header = f'attachment; filename="{plain}"'
    return header if plain == name else f"{header}; filename*=UTF-8''{quote(name, safe='')}"


def _finish(
    response: HttpResponseBase, name: str, etag: str, content_type: str = "application/octet-stream"
) -> HttpResponseBase:
    response["Content-Type"] = content_type
    response["Content-Disposition"] = content_disposition(name)
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = "sandbox; default-src 'none'"
    response["ETag"] = etag
    response["Cache-Control"] = "private, no-cache"  # keep it, but ask whether one may still see it
    return response


def _client_has(request: HttpRequest, etag: str) -> bool:
    given = parse_etags(request.headers.get("If-None-Match", ""))
    return "*" in given or etag in given or f"W/{etag}" in given


def _requested_range(request: HttpRequest, size_bytes: int, etag: str) -> range | None:
    """Return the bytes that Range asks for; None when the whole file is to be sent."""
    match = _ONE_RANGE.fullmatch(request.headers.get("Range", "").replace(" ", ""))
    if match is None or request.method != "GET" or request.headers.get("If-Range", etag) != etag:
        return None
    first, last = match.groups()
    if not first and not last:
        return None
    if not first:  # the last N bytes
        start, stop = max(0, size_bytes - int(last)), size_bytes
    else:
        start, stop = int(first), min(int(last) + 1, size_bytes) if last else size_bytes
        if last and int(last) < int(first):
            return None  # malformed: ignored, as the RFC demands
    if start >= stop:
        raise RangeNotSatisfiable(f"The file has {size_bytes} bytes.", extra={"size_bytes": size_bytes})
    return range(start, stop)


def _open(file: StoredFile, start: int, stop: int) -> Iterator[bytes]:
    try:
        return storage().read(file.storage_key, start, stop)
    except FileNotFoundError as error:
        raise Unavailable(f"The bytes of {file.path!r} are missing from the storage.", code="bytes_missing") from error


def _tar(headers: Sequence[bytes], files: Sequence[StoredFile]) -> Iterator[bytes]:
    for header, file in zip(headers, files, strict=True):
        yield header
        yield from _open(file, 0, file.size_bytes)
        yield b"\0" * _padding(file)
    yield _TAR_END


def _tar_header(path: str, size_bytes: int, modified_at: datetime) -> bytes:
    info = tarfile.TarInfo(path)
    info.size = size_bytes
    info.mtime = int(modified_at.timestamp())
    info.mode = 0o644
    return info.tobuf(format=tarfile.PAX_FORMAT)


def _padding(file: StoredFile) -> int:
    return -file.size_bytes % _TAR_BLOCK


def _next(chunks: Iterator[bytes]) -> bytes | None:
    return next(chunks, None)

"""Downloads: ranges, conditions, names, and archives that tar reads."""

import io
import tarfile
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from channels.db import database_sync_to_async
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.test import RequestFactory

from apps.core.errors import Unavailable
from apps.storage.backend import CHUNK_BYTES, storage
from apps.storage.models import Artifact
from apps.storage.responses import (
    ByteStream,
    RangeNotSatisfiable,
    archive_response,
    content_disposition,
    file_response,
)
from apps.storage.selectors import StoredFile

pytestmark = pytest.mark.django_db
Store = Callable[[bytes], Artifact]
CONTENT = b"0123456789"


def stored(artifact: Artifact, path: str = "folder/data.bin") -> StoredFile:
    return StoredFile(path, artifact.sha256, artifact.size_bytes, artifact.storage_key)


def body_of(response: HttpResponseBase) -> bytes:
    return response.getvalue() if isinstance(response, StreamingHttpResponse) else response.content  # type: ignore[attr-defined]


def test_whole_file_is_an_attachment_that_is_not_sniffed(store: Store) -> None:
    artifact = store(CONTENT)
    response = file_response(RequestFactory().get("/"), stored(artifact))
    assert (response.status_code, body_of(response)) == (200, CONTENT)
    assert response["Content-Disposition"] == 'attachment; filename="data.bin"'
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Type"] == "application/octet-stream"
    assert response["ETag"] == f'"{artifact.sha256}"'
    assert (response["Content-Length"], response["Accept-Ranges"]) == ("10", "bytes")


@pytest.mark.parametrize(
    ("asked", "content", "content_range"),
    [
        ("bytes=0-0", b"0", "bytes 0-0/10"),
        ("bytes=2-5", b"2345", "bytes 2-5/10"),
        ("bytes=7-", b"789", "bytes 7-9/10"),
        ("bytes=7-999", b"789", "bytes 7-9/10"),
        ("bytes=-3", b"789", "bytes 7-9/10"),
        ("bytes=-99", CONTENT, "bytes 0-9/10"),
    ],
)
def test_range_gives_its_bytes(store: Store, asked: str, content: bytes, content_range: str) -> None:
    response = file_response(RequestFactory().get("/", headers={"range": asked}), stored(store(CONTENT)))
    assert (response.status_code, body_of(response), response["Content-Range"]) == (206, content, content_range)
    assert response["Content-Length"] == str(len(content))


@pytest.mark.parametrize("asked", ["bytes=10-", "bytes=99-100", "bytes=-0"])
def test_range_behind_the_end_is_refused(store: Store, asked: str) -> None:
    with pytest.raises(RangeNotSatisfiable) as caught:
        file_response(RequestFactory().get("/", headers={"range": asked}), stored(store(CONTENT)))
    assert caught.value.extra == {"size_bytes": 10}


@pytest.mark.parametrize("asked", ["bytes=5-2", "bytes=-", "lines=0-1", "bytes=0-1,4-5", "bytes=a-b", "0-4"])
def test_what_is_no_single_range_gives_the_whole_file(store: Store, asked: str) -> None:
    response = file_response(RequestFactory().get("/", headers={"range": asked}), stored(store(CONTENT)))
    assert (response.status_code, body_of(response)) == (200, CONTENT)


def test_range_of_another_version_gives_the_whole_file(store: Store) -> None:
    artifact = store(CONTENT)
    for condition, status in (('"other"', 200), (f'"{artifact.sha256}"', 206)):
        request = RequestFactory().get("/", headers={"range": "bytes=0-1", "if-range": condition})
        assert file_response(request, stored(artifact)).status_code == status


def test_client_that_has_the_file_is_not_sent_it(store: Store) -> None:
    artifact = store(CONTENT)
    request = RequestFactory().get("/", headers={"if-none-match": f'"x", W/"{artifact.sha256}"'})
    response = file_response(request, stored(artifact))
    assert isinstance(response, HttpResponse)
    assert (response.status_code, response.content) == (304, b"")


def test_head_tells_the_size_and_reads_nothing(store: Store) -> None:
    response = file_response(RequestFactory().head("/"), stored(store(CONTENT)))
    assert (response["Content-Length"], body_of(response)) == ("10", b"")


def test_empty_file_is_sent_empty(store: Store) -> None:
    response = file_response(RequestFactory().get("/"), stored(store(b"")))
    assert (response.status_code, response["Content-Length"], body_of(response)) == (200, "0", b"")


def test_lost_bytes_are_said_to_be_lost_before_anything_is_sent(store: Store) -> None:
    artifact = store(CONTENT)
    storage().delete(artifact.storage_key)
    with pytest.raises(Unavailable, match="missing from the storage"):
        file_response(RequestFactory().get("/"), stored(artifact))


def test_any_name_makes_a_legal_header() -> None:
    assert content_disposition("a b.txt") == 'attachment; filename="a b.txt"'
    odd = content_disposition('ev"il\r\n\u00e9.txt')
    assert "\r" not in odd
    assert odd == "attachment; filename=\"ev_il___.txt\"; filename*=UTF-8''ev%22il%0D%0A%C3%A9.txt"


def archive(files: list[StoredFile], method: str = "GET") -> HttpResponseBase:
    return archive_response(
        RequestFactory().generic(method, "/"),
        files=files,
        name="tiny_v3",
        digest="d" * 64,
        modified_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def test_archive_holds_every_file_below_its_folder(store: Store) -> None:
    contents = {"a.txt": b"one", "b/" + "long" * 60 + "/c.bin": b"x" * 1025, "d.empty": b"", "\u00e9.txt": b"e"}
    response = archive([stored(store(content), path) for path, content in contents.items()])
    data = body_of(response)
    assert len(data) == int(response["Content-Length"])
    assert response["Content-Disposition"] == 'attachment; filename="tiny_v3.tar"'
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        found = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
        assert {member.mode for member in tar} == {0o644}
    assert found == {f"tiny_v3/{path}": content for path, content in contents.items()}


def test_archive_is_the_same_bytes_each_time(store: Store) -> None:
    files = [stored(store(CONTENT))]
    assert body_of(archive(files)) == body_of(archive(files))
    head = archive(files, "HEAD")
    assert (body_of(head), head["Content-Length"]) == (b"", str(len(body_of(archive(files)))))


@pytest.mark.django_db(transaction=True)
async def test_stream_reads_one_chunk_at_a_time_under_asgi(store: Store) -> None:
    """Django would gather a synchronous iterator into a list first."""
    artifact = await database_sync_to_async(store)(b"x" * (16 * CHUNK_BYTES))
    response = file_response(RequestFactory().get("/"), stored(artifact))
    assert isinstance(response, ByteStream)
    tracemalloc.start()
    try:
        sizes = [len(chunk) async for chunk in response]
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(sizes) == 16 * CHUNK_BYTES
    assert peak_bytes < 4 * CHUNK_BYTES

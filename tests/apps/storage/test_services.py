"""The transfer protocol: what arrives is what was announced, however often and in whatever order it is sent."""

import errno
import hashlib
import io
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from uuid import uuid4

import pytest
from django.db import connection

from apps.accounts.models import User, Workspace
from apps.core.errors import InvalidInput
from apps.storage import selectors, services
from apps.storage.backend import Storage, storage
from apps.storage.errors import DigestMismatch, PartTooLarge, PartTruncated, StorageFull, UploadIncomplete
from apps.storage.models import Artifact, FileSet, Upload, UploadPart
from workers.contract.manifest import FileRef, set_digest

pytestmark = pytest.mark.django_db
Announce = Callable[[bytes], Upload]


def bytes_of(artifact: Artifact) -> bytes:
    return b"".join(storage().read(artifact.storage_key))


def ref(path: str, content: bytes) -> FileRef:
    return FileRef(path=path, size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


@pytest.mark.parametrize("content", [b"", b"short", b"exactly10!", b"a longer text in several parts"])
def test_file_of_any_number_of_parts_becomes_an_artifact(
    small_parts: int, store: Callable[[bytes], Artifact], content: bytes
) -> None:
    artifact = store(content)
    assert bytes_of(artifact) == content
    assert (artifact.size_bytes, artifact.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert not UploadPart.objects.exists()


def test_parts_arrive_in_any_order_and_twice(small_parts: int, announce: Announce) -> None:
    content = b"0123456789abcdefghijXYZ"
    upload = announce(content)
    for number in (2, 0, 2, 1, 0):
        services.put_part(upload=upload, number=number, stream=io.BytesIO(content[number * 10 : number * 10 + 10]))
    reply = selectors.upload_reply(upload)
    assert (reply.received_parts, reply.complete, reply.part_size_bytes) == ((0, 1, 2), False, 10)
    done = services.finalise_upload(upload=upload)
    assert done.artifact is not None
    assert bytes_of(done.artifact) == content


@pytest.mark.django_db(transaction=True)
def test_replaced_part_leaves_no_bytes_behind(announce: Announce) -> None:
    upload = announce(b"text")
    for content in (b"????", b"text"):
        services.put_part(upload=upload, number=0, stream=io.BytesIO(content))
    folder = Path(storage()._path(upload.parts.get().storage_key)).parent
    assert len(list(folder.iterdir())) == 1


def test_only_the_finished_file_stays_on_disk(small_parts: int, store: Callable[[bytes], Artifact]) -> None:
    artifact = store(b"three parts of ten bytes!!")
    folder = Path(storage()._path(artifact.storage_key)).parent
    assert [path.name for path in folder.iterdir()] == [artifact.storage_key.rpartition("/")[2]]


def test_same_bytes_again_need_no_sending(announce: Announce, store: Callable[[bytes], Artifact]) -> None:
    artifact = store(b"known")
    again = announce(b"known")
    assert again.artifact_id == artifact.pk
    assert selectors.upload_reply(again).complete
    assert services.finalise_upload(upload=again).artifact_id == artifact.pk


def test_same_bytes_in_another_workspace_are_not_an_oracle(user: User, store: Callable[[bytes], Artifact]) -> None:
    known = store(b"secret")
    other = Workspace.objects.create(name="Other")
    upload = services.create_upload(workspace=other, user=user, sha256=known.sha256, size_bytes=known.size_bytes)
    assert not selectors.upload_reply(upload).complete


def test_interrupted_sender_goes_on_with_the_same_upload(small_parts: int, announce: Announce) -> None:
    content = b"0123456789abc"
    first = announce(content)
    services.put_part(upload=first, number=0, stream=io.BytesIO(content[:10]))
    again = announce(content)
    assert again.pk == first.pk
    assert selectors.upload_reply(again).received_parts == (0,)


def test_other_senders_have_uploads_of_their_own(workspace: Workspace, announce: Announce) -> None:
    mine, node_id = announce(b"x"), uuid4()
    theirs = services.create_upload(workspace=workspace, node_id=node_id, sha256=mine.sha256, size_bytes=1)
    assert theirs.pk != mine.pk
    found = selectors.node_upload(node_id=node_id, workspace_id=workspace.pk, upload_id=theirs.pk)
    assert found == theirs


def test_longer_part_is_refused_and_leaves_nothing(small_parts: int, announce: Announce) -> None:
    upload = announce(b"0123456789abc")
    with pytest.raises(PartTooLarge):
        services.put_part(upload=upload, number=0, stream=io.BytesIO(b"x" * 11))
    with pytest.raises(PartTooLarge):
        services.put_part(upload=upload, number=1, stream=io.BytesIO(b""), declared_bytes=4)
    assert selectors.upload_reply(upload).received_parts == ()


def test_truncated_part_is_refused_and_can_be_sent_again(small_parts: int, announce: Announce) -> None:
    upload = announce(b"0123456789")
    with pytest.raises(PartTruncated):
        services.put_part(upload=upload, number=0, stream=io.BytesIO(b"012345678"))
    services.put_part(upload=upload, number=0, stream=io.BytesIO(b"0123456789"))
    assert services.finalise_upload(upload=upload).artifact is not None


@pytest.mark.parametrize("number", [-1, 2, 10**12])
def test_part_number_outside_the_file_is_refused(small_parts: int, announce: Announce, number: int) -> None:
    with pytest.raises(InvalidInput, match="There is no part"):
        services.put_part(upload=announce(b"0123456789abc"), number=number, stream=io.BytesIO(b"x"))


def test_missing_parts_are_named(small_parts: int, announce: Announce) -> None:
    upload = announce(b"0123456789abcdefghijXYZ")
    services.put_part(upload=upload, number=1, stream=io.BytesIO(b"abcdefghij"))
    with pytest.raises(UploadIncomplete) as caught:
        services.finalise_upload(upload=upload)
    assert caught.value.extra == {"missing_parts": [0, 2]}


@pytest.mark.parametrize("content", [b"012345678", b"0123456789abc"])
def test_wrong_bytes_are_refused_and_the_upload_starts_over(
    small_parts: int, announce: Announce, content: bytes
) -> None:
    upload = announce(content)
    for number in range(selectors.num_parts(upload)):
        length = services.expected_part_size(upload, number)
        services.put_part(upload=upload, number=number, stream=io.BytesIO(b"?" * length))
    with pytest.raises(DigestMismatch):
        services.finalise_upload(upload=upload)
    assert not Artifact.objects.exists()
    assert selectors.upload_reply(announce(content)).received_parts == ()
    for number in range(selectors.num_parts(upload)):
        services.put_part(upload=upload, number=number, stream=io.BytesIO(content[number * 10 : number * 10 + 10]))
    assert services.finalise_upload(upload=upload).artifact is not None


def test_full_disk_is_a_clear_refusal(announce: Announce, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(self: Storage, key: str, chunks: Iterable[bytes], *, is_durable: bool = True) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Storage, "write", write)
    with pytest.raises(StorageFull):
        services.put_part(upload=announce(b"x"), number=0, stream=io.BytesIO(b"x"))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("finalise_upload", [services.finalise_upload, services._prove])
def test_several_finalise_at_once_and_all_get_the_same_artifact(
    small_parts: int, send: Announce, finalise_upload: Callable[..., Upload]
) -> None:
    """In one process they wait for each other; the second case is that of several processes, which do not."""
    upload = send(b"0123456789" * 50)
    results: list[object] = []

    def finalise() -> None:
        try:
            results.append(finalise_upload(upload=upload).artifact_id)
        except Exception as error:  # noqa: BLE001 - whatever it is, the assertion shows it
            results.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=finalise) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    artifact = Artifact.objects.get()
    assert results == [artifact.pk] * 6
    assert bytes_of(artifact) == b"0123456789" * 50


@pytest.mark.django_db(transaction=True)
def test_same_file_sent_several_times_at_once_by_one_sender(small_parts: int, announce: Announce) -> None:
    """A folder with identical files, sent by a client with several connections: they share one upload."""
    content = b"0123456789" * 5
    results: list[object] = []

    def send() -> None:
        try:
            upload = announce(content)
            for number in range(5):
                part = content[number * 10 : number * 10 + 10]
                services.put_part(upload=upload, number=number, stream=io.BytesIO(part))
            results.append(services.finalise_upload(upload=upload).artifact_id)
        except Exception as error:  # noqa: BLE001 - whatever it is, the assertion shows it
            results.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=send) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    artifact = Artifact.objects.get()
    assert results == [artifact.pk] * 5
    assert bytes_of(artifact) == content


def test_two_uploads_of_the_same_bytes_share_one_artifact(workspace: Workspace, user: User, send: Announce) -> None:
    mine = send(b"shared")
    theirs = services.create_upload(workspace=workspace, node_id=uuid4(), sha256=mine.sha256, size_bytes=6)
    services.put_part(upload=theirs, number=0, stream=io.BytesIO(b"shared"))
    first, second = services.finalise_upload(upload=mine), services.finalise_upload(upload=theirs)
    assert first.artifact_id == second.artifact_id
    assert first.artifact is not None
    assert bytes_of(first.artifact) == b"shared"


def test_size_that_no_file_can_have_is_refused(workspace: Workspace, user: User) -> None:
    for size in (-1, services.MAX_FILE_BYTES + 1):
        with pytest.raises(InvalidInput):
            services.create_upload(workspace=workspace, user=user, sha256="0" * 64, size_bytes=size)


def test_large_file_has_larger_parts_rather_than_more(workspace: Workspace, user: User) -> None:
    upload = services.create_upload(workspace=workspace, user=user, sha256="0" * 64, size_bytes=services.MAX_FILE_BYTES)
    assert selectors.num_parts(upload) <= services.MAX_PARTS
    assert upload.part_size_bytes % services.MIB == 0


def test_known_digest_with_another_size_is_refused(
    workspace: Workspace, user: User, store: Callable[[bytes], Artifact]
) -> None:
    known = store(b"known")
    with pytest.raises(InvalidInput, match="5 bytes"):
        services.create_upload(workspace=workspace, user=user, sha256=known.sha256, size_bytes=6)


def test_file_of_the_servers_disk_is_copied_once(tmp_path: Path, workspace: Workspace, user: User) -> None:
    source = tmp_path / "a.txt"
    source.write_bytes(b"on the server" * 1000)
    first = services.store_file(workspace=workspace, user=user, source=source)
    second = services.store_file(workspace=workspace, user=user, source=source)
    assert first == second
    assert bytes_of(first) == source.read_bytes()


def test_file_set_has_the_contracts_digest_and_is_made_once(
    workspace: Workspace, store: Callable[[bytes], Artifact]
) -> None:
    store(b"one")
    store(b"two")
    files = [ref("b/two.txt", b"two"), ref("a.txt", b"one")]
    made = services.build_file_set(workspace=workspace, files=files)
    assert (made.digest, made.num_files, made.size_bytes) == (set_digest(files), 2, 6)
    assert services.build_file_set(workspace=workspace, files=files[::-1]) == made
    assert selectors.file_refs(made) == (files[1], files[0])
    assert FileSet.objects.count() == 1


def test_same_bytes_under_two_names_are_stored_once(workspace: Workspace, store: Callable[[bytes], Artifact]) -> None:
    store(b"one")
    made = services.build_file_set(workspace=workspace, files=[ref("a", b"one"), ref("b", b"one")])
    assert (made.num_files, made.entries.count(), Artifact.objects.count()) == (2, 2, 1)


def test_missing_artifacts_are_named(workspace: Workspace, store: Callable[[bytes], Artifact]) -> None:
    store(b"one")
    with pytest.raises(InvalidInput) as caught:
        services.build_file_set(workspace=workspace, files=[ref("a", b"one"), ref("b", b"two"), ref("c", b"three")])
    assert [error.field for error in caught.value.errors] == ["files.1.sha256", "files.2.sha256"]
    assert "'b' is not stored" in caught.value.detail


@pytest.mark.parametrize(
    ("paths", "field"),
    [
        (["../../etc/passwd"], "files.0.path"),
        (["/etc/passwd"], "files.0.path"),
        (["ok", "a\\b"], "files.1.path"),
        (["twice", "twice"], "files.1.path"),
        (["a/b", "a"], "files.1.path"),
    ],
)
def test_path_that_cannot_be_laid_out_is_refused(
    workspace: Workspace, store: Callable[[bytes], Artifact], paths: list[str], field: str
) -> None:
    store(b"one")
    with pytest.raises(InvalidInput) as caught:
        services.build_file_set(workspace=workspace, files=[ref(path, b"one") for path in paths])
    assert [error.field for error in caught.value.errors] == [field]
    assert not FileSet.objects.exists()


def test_empty_set_and_wrong_size_are_refused(workspace: Workspace, store: Callable[[bytes], Artifact]) -> None:
    store(b"one")
    with pytest.raises(InvalidInput):
        services.build_file_set(workspace=workspace, files=[])
    wrong = ref("a", b"one").model_copy(update={"size_bytes": 4})
    with pytest.raises(InvalidInput, match="3 bytes"):
        services.build_file_set(workspace=workspace, files=[wrong])


def test_sets_of_other_workspaces_cannot_be_reached(workspace: Workspace, store: Callable[[bytes], Artifact]) -> None:
    store(b"one")
    other = Workspace.objects.create(name="Other")
    with pytest.raises(InvalidInput, match="not stored"):
        services.build_file_set(workspace=other, files=[ref("a", b"one")])

"""Files to the server: in parts, resumed, repaired."""

import hashlib
import threading
from pathlib import Path
from uuid import uuid4

import pytest

from tests.agent.conftest import make_order
from tests.agent.stub_server import PART_BYTES, ControlPlane, Upload
from workers.agent.api import GaveUp, NodeApi, Retry, StaleFence
from workers.agent.uploads import Uploader, UploadFailed
from workers.contract.manifest import FileRef, Manifest
from workers.contract.node_api import UploadRequest

DATA = bytes(index % 251 for index in range(3 * PART_BYTES + 7))
DIGEST = hashlib.sha256(DATA).hexdigest()
MANIFEST = Manifest(files=(FileRef(path="d/f", size_bytes=len(DATA), sha256=DIGEST),))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_bytes(DATA)
    return tmp_path


def make_uploader(plane: ControlPlane, stop: threading.Event | None = None) -> Uploader:
    plane.node_token = "t"
    allocation_id = plane.add(make_order([])).order.allocation_id
    return Uploader(NodeApi(plane.url, "t"), allocation_id, Retry(0.01, 0.05, stop or threading.Event()))


def test_file_arrives_whole(plane: ControlPlane, directory: Path) -> None:
    make_uploader(plane).send_all(directory, MANIFEST)
    assert plane.blobs[DIGEST] == DATA
    assert sorted(plane.part_puts) == [0, 1, 2, 3]


def test_bytes_the_server_has_are_not_sent(plane: ControlPlane, directory: Path) -> None:
    plane.blobs[DIGEST] = DATA
    make_uploader(plane).send_all(directory, MANIFEST)
    assert not plane.part_puts


@pytest.mark.faults
def test_upload_goes_on_with_the_missing_parts(plane: ControlPlane, directory: Path) -> None:
    upload = Upload(uuid4(), UploadRequest(sha256=DIGEST, size_bytes=len(DATA)))
    upload.parts = {0: DATA[:PART_BYTES], 2: DATA[2 * PART_BYTES : 3 * PART_BYTES]}
    plane.uploads[upload.id] = upload
    make_uploader(plane).send_all(directory, MANIFEST)
    assert sorted(plane.part_puts) == [1, 3]
    assert plane.blobs[DIGEST] == DATA


@pytest.mark.faults
def test_lost_answers_cost_a_repetition_only(plane: ControlPlane, directory: Path) -> None:
    plane.lost_acknowledgements.update({"uploads": 1, "part": 2, "finalise": 1})
    make_uploader(plane).send_all(directory, MANIFEST)
    assert plane.blobs[DIGEST] == DATA
    assert plane.part_puts.total() == 6


@pytest.mark.faults
def test_damaged_part_is_repaired_by_sending_all_again(plane: ControlPlane, directory: Path) -> None:
    upload = Upload(uuid4(), UploadRequest(sha256=DIGEST, size_bytes=len(DATA)), {0: b"x" * PART_BYTES})
    plane.uploads[upload.id] = upload
    make_uploader(plane).send_all(directory, MANIFEST)
    assert plane.blobs[DIGEST] == DATA


def test_file_that_changed_on_disk_is_told(plane: ControlPlane, directory: Path) -> None:
    (directory / "d" / "f").write_bytes(b"y" * len(DATA))
    with pytest.raises(UploadFailed, match="digest_mismatch"):
        make_uploader(plane).send_all(directory, MANIFEST)


def test_missing_file_and_unsafe_path_are_told(plane: ControlPlane, directory: Path) -> None:
    (directory / "d" / "f").unlink()
    with pytest.raises(UploadFailed, match="not there any more"):
        make_uploader(plane).send_all(directory, MANIFEST)
    unsafe = Manifest(files=(MANIFEST.files[0].model_copy(update={"path": "../f"}),))
    with pytest.raises(UploadFailed, match="unsafe"):
        make_uploader(plane).send_all(directory, unsafe)


@pytest.mark.faults
def test_upload_is_given_up_when_called_off(plane: ControlPlane, directory: Path) -> None:
    stop = threading.Event()
    uploader = make_uploader(plane, stop)
    plane.is_down = True
    threading.Timer(0.1, stop.set).start()
    with pytest.raises(GaveUp):
        uploader.send_all(directory, MANIFEST)


def test_attempt_that_is_over_takes_no_files(plane: ControlPlane, directory: Path) -> None:
    uploader = make_uploader(plane)
    for stored in plane.allocations.values():
        stored.is_stale = True
    with pytest.raises(StaleFence):
        uploader.send_all(directory, MANIFEST)

"""The whole transfer protocol as one call."""

import hashlib
import io
from collections.abc import Callable

import pytest

from apps.accounts.models import User, Workspace
from apps.storage import services
from apps.storage.models import Artifact, Upload

Store = Callable[[bytes], Artifact]


@pytest.fixture
def user(editor: User) -> User:
    """Return who sends files in these tests."""
    return editor


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> int:
    """Cut files at 10 bytes, so that a few words make several parts."""
    monkeypatch.setattr(services, "PART_SIZE_BYTES", 10)
    return 10


@pytest.fixture
def announce(workspace: Workspace, user: User) -> Callable[[bytes], Upload]:
    def create(content: bytes) -> Upload:
        return services.create_upload(
            workspace=workspace, user=user, sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content)
        )

    return create


@pytest.fixture
def send(announce: Callable[[bytes], Upload]) -> Callable[[bytes], Upload]:
    """Announce a file and send all its parts."""

    def run(content: bytes) -> Upload:
        upload = announce(content)
        for number in range(-(-len(content) // upload.part_size_bytes)):
            start = number * upload.part_size_bytes
            part = content[start : start + upload.part_size_bytes]
            services.put_part(upload=upload, number=number, stream=io.BytesIO(part))
        return upload

    return run


@pytest.fixture
def store(send: Callable[[bytes], Upload]) -> Store:
    def run(content: bytes) -> Artifact:
        upload = services.finalise_upload(upload=send(content))
        assert upload.artifact is not None
        return upload.artifact

    return run

"""A disk that fills up while a job trains on the live stack.

For one test the agent's allocations lie on a file system of a few MiB, a tmpfs in the agent's own mount namespace: the
kernel refuses writes exactly as a full disk does (ENOSPC), for every file of the job together. A limit on the size of
single files would say EFBIG, and could not be lifted again from a process that runs.
"""

import contextlib
import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.api import FINAL, Api, Json
from tests.live.stack import LiveStack, eventually

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

_SIZE_BYTES = 32 << 20
_LEFT_BYTES = 400_000  # for events, logs and the agent's own records; a checkpoint takes three times as much


class SmallDisk:
    """A file system that a neighbour fills: the ballast grows to whatever is free, and goes at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        """Leave hardly any room, also where something has been deleted since; all of it or, losing a race, nothing."""
        disk = os.statvfs(self._folder)
        free = disk.f_bavail * disk.f_frsize - _LEFT_BYTES
        with self._ballast.open("ab") as file:
            if free > 0:
                with contextlib.suppress(OSError):
                    os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, free)

    def free(self) -> None:
        """Give everything back."""
        self._ballast.unlink()


@pytest.fixture
def small_disk(stack: LiveStack) -> Iterator[SmallDisk]:
    """The disk of the allocations, small for as long as the test lasts."""
    if os.geteuid() != 0:
        assert "CI" not in os.environ, "run the tests as root: only root can mount a file system"
        pytest.skip("only root can mount a file system")
    agent = stack.pid("agent")
    folder = str(stack.paths.agent / "allocations")
    within = ["nsenter", f"--mount=/proc/{agent}/ns/mnt"]
    subprocess.run([*within, "mount", "-t", "tmpfs", "-o", f"size={_SIZE_BYTES}", "none", folder], check=True)
    try:
        yield SmallDisk(Path(f"/proc/{agent}/root{folder}"))
    finally:
        subprocess.run([*within, "umount", "--lazy", folder], check=True)


def test_full_disk_ends_the_job_in_error_and_keeps_the_checkpoint_before(
    stack: LiveStack, api: Api, spec: Json, small_disk: SmallDisk
) -> None:
    agent = stack.pid("agent")
    short = spec | {"steps": 1000, "checkpoint": {"every_steps": 10, "keep_last": 3}}
    job_id = api.submit("full-disk", short)
    eventually(lambda: api.get(f"jobs/{job_id}/checkpoints")["results"], bool)

    def read_on_a_full_disk() -> Json:
        small_disk.fill()  # again: the end of an attempt frees what it had written
        return api.job(job_id)

    job = eventually(read_on_a_full_disk, lambda job: job["state"] in FINAL, timeout_s=240)
    assert job["state"] == "error", job["state_reason"]
    assert "attempts in a row ended without a new checkpoint" in job["state_reason"]
    assert "no space left on the disk" in job["state_reason"]

    before = max(api.get(f"jobs/{job_id}/checkpoints")["results"], key=lambda row: row["step"])
    assert before["deleted_at"] is None
    resumed = [attempt["resumed_step"] for attempt in api.attempts(job_id)]
    assert resumed[1:] == [before["step"]] * (len(resumed) - 1)
    assert len(resumed) == 3
    artifacts = api.get(f"jobs/{job_id}/artifacts")["results"]
    files = [file for file in artifacts if file["kind"] == f"checkpoint {before['step']}"]
    assert len(files) == before["num_files"] > 0
    for file in files:
        content = api.http.get(f"jobs/{job_id}/artifacts/{file['id']}/content").content
        assert hashlib.sha256(content).hexdigest() == file["sha256"]

    small_disk.free()
    again = api.wait_final(api.submit("disk-again", short | {"steps": 20}))
    assert again["state"] == "succeeded", again["state_reason"]
    assert stack.pid("agent") == agent

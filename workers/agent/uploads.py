"""Files on their way to the control plane: in parts, resumed where they were cut, verified by digest."""

from pathlib import Path
from uuid import UUID

from workers.agent.api import NodeApi, NotFound, Refused, Retry
from workers.contract.manifest import Manifest, is_safe_path
from workers.contract.node_api import UploadReply, UploadRequest


class UploadFailed(Exception):  # noqa: N818  named for what happened
    """A file cannot be delivered, and trying again would not change that."""


class Uploader:
    """Sends one allocation's files."""

    def __init__(self, api: NodeApi, allocation_id: UUID, retry: Retry) -> None:
        self._api = api
        self._allocation_id = allocation_id
        self._retry = retry

    def send_all(self, directory: Path, manifest: Manifest) -> None:
        """Upload every file of a set; what the server has already is not sent again.

        Raises:
            UploadFailed: a path leaves the directory, a file is missing, or the server refuses one.
            StaleFence: the attempt is over.
            GaveUp: ``retry`` was stopped while the server could not be reached.
        """
        for ref in manifest.files:
            if not is_safe_path(ref.path):
                raise UploadFailed(f"unsafe path in a manifest: {ref.path!r}")
            request = UploadRequest(sha256=ref.sha256, size_bytes=ref.size_bytes)
            try:
                self._send_file(directory / ref.path, request)
            except (NotFound, Refused) as error:
                raise UploadFailed(f"the server refuses {ref.path!r}: {error}") from error
            except FileNotFoundError as error:
                raise UploadFailed(f"{ref.path!r} is not there any more") from error

    def _send_file(self, path: Path, request: UploadRequest) -> None:
        reply = self._retry.call(lambda: self._api.create_upload(self._allocation_id, request))
        if reply.complete:
            return
        try:
            self._send_parts(path, request, reply)
            final = self._finalise(reply)
        except Refused as error:
            if error.code != "digest_mismatch":
                raise
            # A part was damaged on its way, and the server dropped them all: once more from the beginning.
            self._send_parts(path, request, reply.model_copy(update={"received_parts": ()}))
            final = self._finalise(reply)
        if not final.complete:
            raise UploadFailed(f"{path.name!r} is incomplete on the server after all its parts were sent")

    def _finalise(self, reply: UploadReply) -> UploadReply:
        return self._retry.call(lambda: self._api.finalise_upload(self._allocation_id, reply.upload_id))

    def _send_parts(self, path: Path, request: UploadRequest, reply: UploadReply) -> None:
        received = set(reply.received_parts)
        num_parts = -(-request.size_bytes // reply.part_size_bytes)
        with path.open("rb") as file:
            for number in range(num_parts):
                if number in received:
                    continue
                file.seek(number * reply.part_size_bytes)
                data = file.read(reply.part_size_bytes)
                self._retry.call(
                    lambda number=number, data=data: self._api.put_part(  # type: ignore[misc]
                        self._allocation_id, reply.upload_id, number, data
                    )
                )

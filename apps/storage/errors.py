"""Refusals of the transfer protocol; ``code`` is what a client acts on."""

from apps.core.errors import Conflict, DomainError, InvalidInput


class PartTooLarge(DomainError):  # noqa: N818 - named for what happened, as in apps.core.errors
    """More bytes than the part may have."""

    status = 413
    code = "part_too_large"
    title = "The part is too large"
    remedy = "Cut the file at part_size_bytes and send one part per request."


class PartTruncated(InvalidInput):
    """Fewer bytes than the part must have."""

    code = "part_truncated"
    title = "The part is incomplete"
    remedy = "Send the whole part again."


class UploadIncomplete(Conflict):
    """The file cannot be finished: parts are missing."""

    code = "upload_incomplete"
    title = "Parts are missing"
    remedy = "Send the missing parts, then finalise again."


class UploadChanged(Conflict):
    """A part was replaced while the file was put together."""

    code = "upload_changed"
    title = "The upload changed meanwhile"
    remedy = "Finalise again when no part is being sent."


class DigestMismatch(InvalidInput):
    """The bytes are not those that were announced. The parts are dropped; the upload can be sent again."""

    code = "digest_mismatch"
    title = "The content is not what was announced"
    remedy = "Send all parts again; if the file has changed, create a new upload with its new SHA-256."


class StorageFull(DomainError):  # noqa: N818 - named for what happened, as in apps.core.errors
    """The store takes no more bytes."""

    status = 507
    code = "storage_full"
    title = "The storage is full"
    remedy = "Ask an operator for space; nothing was stored."

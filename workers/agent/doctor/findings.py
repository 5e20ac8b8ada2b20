"""What a check answers."""

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Finding:
    """The answer of one check."""

    check: str
    status: Status
    message: str
    fix: str = ""


def ok(check: str, message: str) -> Finding:
    """All is well."""
    return Finding(check, Status.OK, message)


def failed(check: str, message: str, fix: str) -> Finding:
    """A node cannot work like this."""
    return Finding(check, Status.FAILED, message, fix)


def warning(check: str, message: str, fix: str) -> Finding:
    """A node works, but not well."""
    return Finding(check, Status.WARNING, message, fix)


def skipped(check: str, message: str) -> Finding:
    """It could not be looked at."""
    return Finding(check, Status.SKIPPED, message)

"""Who must act on a failure, told by the exception's type, and the mapping of foreign exceptions to it."""

import errno

import torch
import torch.distributed as dist
from torch.distributed.checkpoint.api import CheckpointException

from workers.contract.run import FailureKind


class UserError(Exception):
    """The spec or the data cannot work as they are; the message is shown as it stands."""


class RetryableError(Exception):
    """A peer or a device was lost: another attempt may succeed."""


class CheckpointError(Exception):
    """A checkpoint could not be written or read; what was published before is intact."""


# Gloo and NCCL raise plain RuntimeErrors in places; these words are what tells them from a bug.
_PEER_LOST = (
    "Connection closed by peer",
    "Connection reset by peer",
    "Broken pipe",
    "Connection refused",
    "gloo",
    "NCCL",
    "Timed out waiting",
    "Socket Timeout",
    "failed to recv, got 0 bytes",
)

EXIT_CODES = {FailureKind.USER: 65, FailureKind.SYSTEM: 70, FailureKind.RETRYABLE: 75}
"""Exit status of a rank by failure kind, after sysexits.h: data error, software error, temporary failure."""


def classify(error: BaseException) -> FailureKind:
    """Tell who must act on ``error``."""
    if isinstance(error, UserError | torch.OutOfMemoryError | MemoryError):
        return FailureKind.USER
    if isinstance(error, RetryableError | dist.DistError | torch.AcceleratorError):
        return FailureKind.RETRYABLE
    if isinstance(error, CheckpointError):
        return FailureKind.SYSTEM
    if isinstance(error, RuntimeError) and any(words in str(error) for words in _PEER_LOST):
        return FailureKind.RETRYABLE
    return FailureKind.SYSTEM


def describe(error: BaseException) -> str:
    """One paragraph for a person: what happened and, where it is known, what to do."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return (
            "out of memory: lower micro_batch_size or context_length, or switch activation_checkpointing on "
            f"({str(error).splitlines()[0] if str(error) else type(error).__name__})"
        )
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"no space left on the disk: {error}"
    if isinstance(error, UserError | RetryableError | CheckpointError):
        return str(error)
    if classify(error) is FailureKind.RETRYABLE:
        return f"lost contact with another rank or with the device: {str(error).splitlines()[0]}"
    return f"{type(error).__name__}: {error}"


def root_cause(error: BaseException) -> BaseException:
    """Unwrap what torch.distributed.checkpoint raises to the first exception of a rank."""
    if isinstance(error, CheckpointException) and error.failures:
        return next(iter(error.failures.values()))[0]
    return error

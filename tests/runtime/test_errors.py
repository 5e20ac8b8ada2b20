"""Who must act on which exception."""

import errno

import pytest
import torch
import torch.distributed as dist
from torch.distributed.checkpoint.api import CheckpointException

from workers.contract.run import FailureKind
from workers.runtime.errors import CheckpointError, RetryableError, UserError, classify, describe, root_cause


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (UserError("the data"), FailureKind.USER),
        (torch.OutOfMemoryError("CUDA out of memory"), FailureKind.USER),
        (MemoryError(), FailureKind.USER),
        (RetryableError("a peer"), FailureKind.RETRYABLE),
        (dist.DistBackendError("nccl"), FailureKind.RETRYABLE),
        (RuntimeError("[pair.cc:534] Connection closed by peer [127.0.0.1]:1"), FailureKind.RETRYABLE),
        (RuntimeError("shape mismatch"), FailureKind.SYSTEM),
        (CheckpointError("disk"), FailureKind.SYSTEM),
        (KeyError("bug"), FailureKind.SYSTEM),
    ],
)  # fmt: skip
def test_kind_follows_from_the_exception(error: BaseException, kind: FailureKind) -> None:
    assert classify(error) is kind


def test_full_disk_is_named() -> None:
    error = OSError(errno.ENOSPC, "No space left on device")
    assert describe(error).startswith("no space left on the disk")
    assert classify(error) is FailureKind.SYSTEM


def test_memory_error_says_what_to_lower() -> None:
    assert "lower micro_batch_size" in describe(MemoryError())


def test_cause_is_found_inside_a_checkpoint_exception() -> None:
    cause = OSError(errno.ENOSPC, "No space left on device")
    wrapped = CheckpointException("save", {0: (cause, [])})  # type: ignore[dict-item]
    assert root_cause(wrapped) is cause
    assert root_cause(cause) is cause

"""What takes part in each step without changing how the model is split: the hooks of communication-saving methods.

An extension lives as long as the run. Everything it does must be the same on all ranks, or be a collective.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import torch

from workers.runtime.communication.synchroniser import Synchroniser

if TYPE_CHECKING:
    from torch._C._distributed_c10d import GradBucket

    from workers.runtime.parallel.assembly import Assembly

Tensors = dict[str, torch.Tensor]
BucketHook = Callable[["GradBucket"], torch.futures.Future[torch.Tensor]]


class Extension:
    """Does nothing; subclasses override what they need."""

    replaces_gradient_sync = False
    """True: gradients stay local in every step, and the synchroniser brings the ranks together."""

    def prepare(self, assembly: "Assembly") -> None:
        """Take hold of what is trained: it is split and on its device, but nothing wraps it yet."""

    def bucket_hook(self) -> BucketHook | None:
        """Return what averages a bucket of gradients over the data-parallel ranks, in place of the fp32 mean."""
        return None

    def synchroniser(self) -> Synchroniser | None:
        """Return what keeps the replicas together, in place of averaged gradients."""
        return None

    def adopt_weights(self) -> None:
        """Begin anew from the model's weights; the state of a checkpoint that knows this extension comes after."""

    def begin(self, step: int) -> None:
        """Called before the step after ``step``, the first of this attempt."""

    def after_update(self, step: int) -> None:
        """Called when the step is made."""

    def shared_state(self) -> Tensors:
        """Return the live tensors a checkpoint must hold that are the same on all ranks, by name."""
        return {}

    def rank_state(self) -> Tensors:
        """Return those that differ from rank to rank; another number of ranks begins without them."""
        return {}

    def final_weights(self) -> AbstractContextManager[None]:
        """Let the model hold, within the block, the weights to validate and export in place of the trained ones."""
        return nullcontext()

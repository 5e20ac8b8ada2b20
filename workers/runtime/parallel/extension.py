"""What takes part in each step without changing how the model is split: the hooks of communication-saving methods.

An extension lives as long as the run. Everything it does must be the same on all ranks, or be a collective.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch._C._distributed_c10d import GradBucket

    from workers.runtime.parallel.execution import Execution

Tensors = dict[str, torch.Tensor]
BucketHook = Callable[["GradBucket"], torch.futures.Future[torch.Tensor]]


class Extension:
    """Does nothing; subclasses override what they need."""

    replaces_gradient_sync = False
    """True: gradients stay local in every step, and the extension brings the ranks together itself."""
    replicated_state = False
    """True: ``state`` is the same on all ranks and rank 0 alone need write it."""

    def bucket_hook(self) -> BucketHook | None:
        """Return what averages a bucket of gradients over the data-parallel ranks, in place of the fp32 mean."""
        return None

    def attach(self, execution: "Execution") -> None:
        """Take hold of what is trained, before the first step and before a checkpoint is restored."""

    def after_restore(self) -> None:
        """Called when weights, optimizer and ``state`` have been restored from a checkpoint."""

    def before_update(self, step: int) -> None:
        """Called when the step's gradients are in place, before they are clipped and applied."""

    def after_update(self, step: int) -> None:
        """Called when the optimizer has made the step, while the parameters still have their gradients."""

    def state(self) -> Tensors:
        """Return the live tensors a checkpoint must hold, by name; copying into them restores the extension.

        Tensors that differ from rank to rank are stored for each rank.
        """
        return {}

    def finalise(self, weights: Tensors) -> Tensors:
        """Return the weights to validate and export in place of the trained ones; on rank 0, on the CPU."""
        return weights

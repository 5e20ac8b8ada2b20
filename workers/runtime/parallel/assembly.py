"""What the strategies work on, one after the other: see ``STRATEGIES`` in the package."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import nn
from transformers import PreTrainedModel

from workers.contract.training import TrainSpec
from workers.runtime.data.sampler import Batch
from workers.runtime.parallel.extension import Extension
from workers.runtime.parallel.mesh import Mesh
from workers.runtime.parallel.parts import ModelParts
from workers.runtime.timing import StepTimer

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Logits (B, C, V) and targets (B, C) to the mean loss, a scalar."""


class GradientSync:
    """Brings the gradients of the data-parallel ranks together; this one has nothing to bring together."""

    def accumulating(self) -> AbstractContextManager[object]:
        """Leave gradients local within the block: forward and backward of all but a step's last pass."""
        return nullcontext()

    def finish(self) -> None:
        """Make sure that every rank has the mean gradient; called once a step, after its last backward."""

    def settle(self) -> None:
        """Undo what a forward leaves behind that no backward follows."""


class Passes(Protocol):
    """Runs forward and backward."""

    def forward_backward(self, batches: Iterable[Batch]) -> torch.Tensor:
        """Add a step's gradients to the parameters; return this data rank's mean loss, detached."""

    def evaluate(self, batch: Batch) -> torch.Tensor:
        """Return the mean loss without gradients; the same on all ranks that share the batch."""


@dataclass
class Assembly:
    """A model on its way to being trained by many ranks."""

    spec: TrainSpec
    mesh: Mesh
    device: torch.device
    dtype: torch.dtype
    """Of forward and backward."""
    model: PreTrainedModel
    """The whole model; parts of it may have been taken out or split."""
    parts: ModelParts
    timer: StepTimer
    on_last_bucket: Callable[[], None]
    """To be called in backward when this rank's last gradients are ready."""
    is_tied: bool
    """True when input and output embeddings are one parameter; asked before anything replaces it."""
    extensions: tuple[Extension, ...] = ()
    is_decomposed: bool = False
    """True when the parts are called on hidden states or tokens directly, not as Hugging Face models."""
    is_placed: bool = False
    """True when the parts are where they compute; until then they may be in host memory."""
    is_sharded: bool = False
    """True when ranks hold state that others do not: all of them write the checkpoint."""
    sync: GradientSync = field(default_factory=GradientSync)
    loss: Loss | None = None
    passes: Passes | None = None
    around_step: Callable[[], AbstractContextManager[object]] = nullcontext
    """Entered for forward and backward (loss parallelism needs one)."""
    optimizer: torch.optim.Optimizer | None = None
    entry: nn.Module | None = None
    """What to call in place of the whole model, when something wraps it."""

    @property
    def synchronises(self) -> bool:
        """False when an extension replaces the averaging of gradients in each step."""
        return not any(extension.replaces_gradient_sync for extension in self.extensions)

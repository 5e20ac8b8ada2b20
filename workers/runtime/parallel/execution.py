"""How one rank carries out its part of each step: what the training loop holds in its hand.

Nothing here knows which strategies were used; see ``STRATEGIES`` in the package.
"""

from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor

from workers.runtime.data.sampler import Batch
from workers.runtime.optimizer import clip_gradients, make_optimizer, named_state
from workers.runtime.parallel.assembly import Assembly
from workers.runtime.parallel.mesh import Mesh
from workers.runtime.parallel.parts import ModelParts

Tensors = dict[str, torch.Tensor]


class Execution:
    """A model that many ranks train together, ready to train."""

    def __init__(self, assembly: Assembly) -> None:
        assert assembly.passes is not None
        self._passes = assembly.passes
        self._extensions = assembly.extensions
        self.mesh: Mesh = assembly.mesh
        self.parts: ModelParts = assembly.parts
        self.optimizer = assembly.optimizer or make_optimizer(assembly.parts, assembly.spec.optimizer)
        self._max_grad_norm = assembly.spec.optimizer.max_grad_norm
        for extension in self._extensions:
            extension.attach(self)
        self.is_sharded = assembly.is_sharded or any(
            extension.state() and not extension.replicated_state for extension in self._extensions
        )
        """True when every rank writes its own share of a checkpoint."""

    def forward_backward(self, batches: Iterable[Batch]) -> torch.Tensor:
        """Add a step's gradients to the parameters; return this data rank's mean loss, detached."""
        return self._passes.forward_backward(batches)

    def update(self, step: int) -> torch.Tensor:
        """Clip the gradients and make the optimizer's step; return their global norm before, a scalar."""
        for extension in self._extensions:
            extension.before_update(step)
        grad_norm = clip_gradients(self.parts, self._max_grad_norm, own=self._is_own, total=self._total_norm)
        self.optimizer.step()
        for extension in self._extensions:
            extension.after_update(step)
        self.optimizer.zero_grad(set_to_none=True)
        return grad_norm

    def evaluate(self, batch: Batch) -> torch.Tensor:
        """Return the mean loss without gradients; the same on all ranks that share the batch."""
        return self._passes.evaluate(batch)

    def train(self, *, mode: bool = True) -> None:
        """Switch dropout and its like on or off."""
        self.parts.train(mode=mode)

    def state(self, rank: int, *, for_saving: bool) -> Tensors:
        """Return the live tensors of weights, optimizer and extensions by name; copying into them restores the run.

        With ``for_saving`` without what another rank answers for.
        """
        skipped = self.parts.copies() if for_saving else set()
        tensors = {f"model.{name}": each for name, each in self.parts.tensors().items() if name not in skipped}
        named = ((name, each) for name, each in self.parts.named_parameters() if name not in skipped)
        tensors |= {f"optimizer.{name}": each for name, each in named_state(named, self.optimizer).items()}
        for extension in self._extensions:
            prefix = "extension" if extension.replicated_state else f"rank.{rank}"
            tensors |= {f"{prefix}.{name}": each for name, each in extension.state().items()}
        return tensors

    def after_restore(self) -> None:
        """Tell the extensions that the tensors of ``state`` have been restored."""
        for extension in self._extensions:
            extension.after_restore()

    def full_weights(self) -> Tensors:
        """Return the whole model's weights on rank 0, on the CPU, and nothing elsewhere. A collective."""
        weights: Tensors = {}
        skipped = self.parts.copies()
        is_first_of_stage = self.mesh.data_rank == 0 and self.mesh.coordinate("tp") == 0
        for name, tensor in self.parts.tensors().items():
            if name not in skipped:
                whole = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
                if is_first_of_stage:
                    weights[name] = whole.to("cpu")
        if self.mesh.degrees.pp > 1 and is_first_of_stage:
            weights = _gather_stages(weights, self.mesh)
        if self.mesh.rank != 0:
            return {}
        for extension in self._extensions:
            weights = extension.finalise(weights)
        return weights

    def _is_own(self, name: str) -> bool:
        return name not in self.parts.copies()

    def _total_norm(self, norm: torch.Tensor) -> torch.Tensor:
        """Return the norm over all ranks from that of this rank's gradients."""
        if isinstance(norm, DTensor):
            norm = norm.full_tensor()
        if self.mesh.degrees.pp > 1:
            squares = norm.square()
            dist.all_reduce(squares, group=self.mesh.group("pp"))
            norm = squares.sqrt()
        return norm


def _gather_stages(weights: Tensors, mesh: Mesh) -> Tensors:
    """Send every stage's weights to the first one, a tensor at a time."""
    group, stages = mesh.group("pp"), mesh.degrees.pp
    own = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in weights.items()}
    everyone: list[dict[str, tuple[tuple[int, ...], torch.dtype]]] = [{} for _ in range(stages)]
    dist.all_gather_object(everyone, own, group=group)
    if mesh.coordinate("pp") > 0:
        for tensor in weights.values():
            dist.send(tensor.contiguous(), group=group, group_dst=0)
        return {}
    for stage in range(1, stages):
        for name, (shape, dtype) in everyone[stage].items():
            weights[name] = torch.empty(shape, dtype=dtype)
            dist.recv(weights[name], group=group, group_src=stage)
    return weights

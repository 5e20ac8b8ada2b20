"""How one rank carries out its part of each step: what the training loop holds in its hand.

Nothing here knows which strategies were used; see ``STRATEGIES`` in the package.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor

from workers.runtime.communication.flat import average
from workers.runtime.communication.synchroniser import Synchroniser
from workers.runtime.data.sampler import Batch
from workers.runtime.optimizer import clip_gradients, make_optimizer, named_state, set_learning_rate
from workers.runtime.parallel.assembly import Assembly
from workers.runtime.parallel.mesh import Mesh
from workers.runtime.parallel.parts import ModelParts
from workers.runtime.schedule import learning_rate

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
        self._spec = assembly.spec
        self._entry = assembly.entry
        self._grad_norm = torch.zeros((), device=assembly.device)
        made = (extension.synchroniser() for extension in self._extensions)
        self.synchroniser = next((each for each in made if each is not None), Synchroniser())
        self._is_model_sharded = assembly.is_sharded
        self.is_sharded = (
            assembly.is_sharded
            or self.synchroniser.diverges
            or any(extension.rank_state() for extension in self._extensions)
        )
        """True when every rank writes its own share of a checkpoint."""

    def forward_backward(self, batches: Iterable[Batch]) -> torch.Tensor:
        """Add a step's gradients to the parameters; return this data rank's mean loss, detached."""
        return self._passes.forward_backward(batches)

    def begin(self, step: int) -> None:
        """Get ready for the step after ``step``, the first of this attempt. A collective."""
        for extension in self._extensions:
            extension.begin(step)
        self.synchroniser.begin(self._apply_gradients, step)

    def update(self, step: int, loss: torch.Tensor) -> torch.Tensor:
        """Make the optimizer's step, of which a method may make none or two; keep the replicas together.

        Returns:
            The global norm of the gradients applied last, before clipping: a scalar, not finite where ``loss`` is not.
        """
        updates = 0
        for _ in self.synchroniser.updates(step, loss):
            self._apply_gradients(step)
            updates += 1
        self.synchroniser.after_step(step)
        for extension in self._extensions:
            extension.after_update(step)
        return self._grad_norm if updates else self._grad_norm + 0 * loss

    def _apply_gradients(self, step: int) -> None:
        """Clip the gradients and make the optimizer's step. Of a parameter server in another thread than the rest."""
        set_learning_rate(self.optimizer, learning_rate(self._spec, step))
        max_norm = self._spec.optimizer.max_grad_norm
        self._grad_norm = clip_gradients(self.parts, max_norm, own=self._is_own, total=self._total_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def evaluate(self, batch: Batch) -> torch.Tensor:
        """Return the mean loss without gradients; the same on all ranks that share the batch."""
        return self._passes.evaluate(batch)

    def train(self, *, mode: bool = True) -> None:
        """Switch dropout and its like on or off."""
        self.parts.train(mode=mode)
        if self._entry is not None:
            self._entry.train(mode)  # it may be another module than the parts: a parameter server's replica

    def training_state(self, *, for_saving: bool) -> Tensors:
        """Return the live tensors of weights and optimizer by name; copying into them restores the run.

        With ``for_saving`` without what another rank answers for.
        """
        skipped = self.parts.copies() if for_saving else set()
        tensors = {f"model.{name}": each for name, each in self.parts.tensors().items() if name not in skipped}
        named = ((name, each) for name, each in self.parts.named_parameters() if name not in skipped)
        return tensors | {f"optimizer.{name}": each for name, each in named_state(named, self.optimizer).items()}

    def shared_state(self) -> Tensors:
        """Return the live tensors of extensions that are the same on all ranks."""
        return {
            f"extension.{name}": each
            for extension in self._extensions
            for name, each in extension.shared_state().items()
        }

    def rank_state(self, rank: int) -> Tensors:
        """Return the live tensors that only this rank has; its weights and moments where they are its own."""
        own = {name: each for extension in self._extensions for name, each in extension.rank_state().items()}
        if self.synchroniser.diverges:
            own |= self.training_state(for_saving=True)
        return {f"rank.{rank}.{name}": each for name, each in own.items()}

    def state_to_save(self, rank: int) -> Tensors:
        """Return this rank's share of a checkpoint. A collective.

        Where replicas differ their mean stands for the model, and each rank's own lies beside it.
        """
        state = self.training_state(for_saving=True)
        if self.synchroniser.diverges:
            state = {name: each.clone() for name, each in state.items()}
            average([each for each in state.values() if each.is_floating_point()])
        if rank > 0 and not self._is_model_sharded:  # the same on all: the others need not even copy it
            return self.rank_state(rank)
        return state | self.shared_state() | self.rank_state(rank)

    def adopt_weights(self) -> None:
        """Let the extensions begin anew from the weights that were restored."""
        for extension in self._extensions:
            extension.adopt_weights()

    @contextmanager
    def final_weights(self, step: int) -> Iterator[None]:
        """Let the model hold, within the block, the weights that count after ``step``: to validate and export.

        A collective.
        """
        with ExitStack() as stack:
            stack.enter_context(self.synchroniser.together(step))
            for extension in self._extensions:
                stack.enter_context(extension.final_weights())
            yield

    def full_weights(self) -> Tensors:
        """Return the whole model's weights on rank 0, on the CPU, and nothing elsewhere. A collective."""
        weights: Tensors = {}
        skipped = self.parts.copies()
        is_first_of_stage = self.mesh.data_rank == 0 and self.mesh.coordinate("tp") == 0
        for name, tensor in self.parts.tensors().items():
            if name not in skipped:
                whole = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
                if is_first_of_stage:
                    weights[name] = whole.to("cpu", copy=True)  # the model may hold other weights afterwards
        if self.mesh.degrees.pp > 1 and is_first_of_stage:
            weights = _gather_stages(weights, self.mesh)
        return weights if self.mesh.rank == 0 else {}

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

"""The teacher of a student: a frozen model on every rank, and the projection that is learned beside the student.

The projection is no part of the student, so it is an extension with an optimizer of its own: its gradients are averaged
over the ranks, it is saved in checkpoints, and the exported model does not have it.
"""

from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch import nn
from transformers import PreTrainedModel

from workers.contract.model_source import DistilledModel
from workers.contract.training import AdamWSpec, TrainSpec
from workers.runtime.context import RankContext
from workers.runtime.errors import UserError
from workers.runtime.model import load_pretrained, token_loss
from workers.runtime.optimizer import allocate_state, named_state, set_learning_rate
from workers.runtime.parallel.distillation.losses import hidden_loss, soft_loss
from workers.runtime.parallel.extension import Extension, Tensors
from workers.runtime.schedule import learning_rate

if TYPE_CHECKING:
    from workers.runtime.parallel.assembly import Assembly

_PROJECTION = "projection"


def teacher_of(spec: TrainSpec, context: RankContext) -> "Teacher | None":
    """Return the teacher that the spec names, loaded; None where it names none.

    Raises:
        UserError: its directory is no model.
    """
    if not isinstance(spec.model, DistilledModel):
        return None
    if context.paths.model is None:
        raise UserError("model.teacher: the run file names no model directory")
    model = load_pretrained(context.paths.model)
    module: nn.Module = model
    module.eval().requires_grad_(requires_grad=False).to(context.device)
    return Teacher(spec.model, model, spec.optimizer, seed=spec.seed)


class Teacher(Extension):
    """Tells a student what to predict, and with hidden states what to think."""

    def __init__(self, spec: DistilledModel, model: PreTrainedModel, optimizer: AdamWSpec, *, seed: int) -> None:
        self._spec = spec
        self._module: nn.Module = model
        self._width = int(model.config.hidden_size)
        self._adamw = optimizer
        self._seed = seed
        self._projection_ST: nn.Parameter | None = None
        self._optimizer: torch.optim.AdamW | None = None
        self._train: TrainSpec
        self._data_size = 1

    @property
    def needs_hidden(self) -> bool:
        """True when the student's hidden states are compared too."""
        return self._spec.hidden_weight > 0

    def prepare(self, assembly: "Assembly") -> None:
        """Make the projection from the student's width to the teacher's; the same on every rank."""
        self._train, self._data_size = assembly.spec, assembly.mesh.data_size
        if self.needs_hidden:
            self.make_projection(int(assembly.model.config.hidden_size), assembly.device)

    def make_projection(self, student_width: int, device: torch.device) -> None:
        """Make the projection (S, T) and its optimizer; orthogonal, by the seed."""
        shape = (student_width, self._width)
        generator = torch.Generator().manual_seed(self._seed)
        start = torch.empty(shape)
        nn.init.orthogonal_(start, generator=generator)
        self._projection_ST = nn.Parameter(start.to(device))
        adamw = self._adamw
        self._optimizer = torch.optim.AdamW(
            [self._projection_ST],
            lr=adamw.learning_rate,
            betas=(adamw.beta1, adamw.beta2),
            eps=adamw.eps,
            weight_decay=adamw.weight_decay,
            fused=True,
        )
        allocate_state(self._optimizer)

    def loss(self, student: nn.Module, inputs_BC: torch.Tensor, targets_BC: torch.Tensor) -> torch.Tensor:
        """Run both on a batch; return the mixed mean loss of the student."""
        spec, options = self._spec, {"use_cache": False, "output_hidden_states": self.needs_hidden}
        with torch.no_grad():
            wanted = self._module(input_ids=inputs_BC, **options)
        seen = student(input_ids=inputs_BC, **options)
        mixed = spec.soft_weight * soft_loss(seen.logits, wanted.logits, spec.temperature)
        if spec.soft_weight < 1:
            mixed = mixed + (1 - spec.soft_weight) * token_loss(seen.logits, targets_BC)
        if self._projection_ST is not None:
            with torch.autocast(self._projection_ST.device.type, enabled=False):  # it would compute in bf16
                distance = hidden_loss(seen.hidden_states, wanted.hidden_states, self._projection_ST)
            mixed = mixed + spec.hidden_weight * distance
        return mixed

    def after_update(self, step: int) -> None:
        """Average the projection's gradient over the ranks, all of which are data-parallel, and make its step."""
        if self._projection_ST is None or self._optimizer is None:
            return
        gradient = self._projection_ST.grad
        assert gradient is not None
        if self._data_size > 1:
            dist.all_reduce(gradient)
            gradient /= self._data_size
        set_learning_rate(self._optimizer, learning_rate(self._train, step))
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)

    def shared_state(self) -> Tensors:
        """Return the projection and its optimizer's state."""
        if self._projection_ST is None or self._optimizer is None:
            return {}
        named = named_state([(_PROJECTION, self._projection_ST)], self._optimizer)
        return {_PROJECTION: self._projection_ST.detach()} | named

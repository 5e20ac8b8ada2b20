"""Forward and backward of a student whose loss takes its teacher's word; validation stays on the true tokens."""

import torch

from workers.runtime.data.sampler import Batch
from workers.runtime.parallel.assembly import Assembly
from workers.runtime.parallel.distillation.teacher import Teacher
from workers.runtime.parallel.passes import WholePasses, autocast


def learn_from_teacher(assembly: Assembly) -> None:
    """Let the student learn from its teacher, where it has one."""
    teacher = next((each for each in assembly.extensions if isinstance(each, Teacher)), None)
    if teacher is not None:
        assembly.passes = StudentPasses(assembly, teacher)


class StudentPasses(WholePasses):
    """Asks the teacher about each batch."""

    def __init__(self, assembly: Assembly, teacher: Teacher) -> None:
        super().__init__(assembly)
        self._student = assembly.entry or assembly.model
        self._teacher = teacher

    def training_loss(self, batch: Batch) -> torch.Tensor:
        """Return what is minimised: the mean loss of a batch, a scalar."""
        with autocast(self._assembly):
            return self._teacher.loss(self._student, batch.inputs_BC, batch.targets_BC)

"""What a student minimises beside the loss of the true tokens.

Soft targets: Hinton et al., arXiv:1503.02531, section 2. Hidden states: Jiao et al., TinyBERT, arXiv:1909.10351,
equation 8, one projection for all pairs, and section 3.1's uniform mapping of layers. Both in fp32.

Shapes: B = micro-batch, C = context length, V = vocabulary, S and T = widths of student and teacher.
"""

from collections.abc import Sequence

import torch
from torch import nn


def soft_loss(student_BCV: torch.Tensor, teacher_BCV: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return the mean KL divergence from the teacher's softened prediction, in nats per token, times temperature^2.

    The square keeps the gradients' size when the temperature changes (the paper's section 2).
    """
    student = torch.log_softmax(student_BCV.float() / temperature, dim=-1).flatten(0, 1)
    teacher = torch.log_softmax(teacher_BCV.float() / temperature, dim=-1).flatten(0, 1)
    return nn.functional.kl_div(student, teacher, reduction="batchmean", log_target=True) * temperature**2


def hidden_loss(
    student_BCS: Sequence[torch.Tensor], teacher_BCT: Sequence[torch.Tensor], projection_ST: torch.Tensor
) -> torch.Tensor:
    """Return the mean squared distance of projected hidden states, averaged over the student's blocks.

    Both sequences start with the embeddings, which are left out.
    """
    pairs = teacher_layers(len(student_BCS) - 1, len(teacher_BCT) - 1)
    distances = [
        nn.functional.mse_loss(student_BCS[index].float() @ projection_ST, teacher_BCT[other].float())
        for index, other in enumerate(pairs, start=1)
    ]
    return torch.stack(distances).mean()


def teacher_layers(num_student: int, num_teacher: int) -> list[int]:
    """Return which block of the teacher each of the student's imitates, counted from 1; the last imitates the last."""
    return [max(1, round(index * num_teacher / num_student)) for index in range(1, num_student + 1)]

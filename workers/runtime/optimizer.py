"""AdamW with weight decay on matrices only, and its state by parameter name.

Decoupled weight decay: Loshchilov and Hutter, arXiv:1711.05101. Norm gains and biases are not decayed.
"""

import torch
from torch import nn

from workers.contract.training import AdamWSpec

_MOMENTS = ("exp_avg", "exp_avg_sq")
_STEP = "step"


def make_optimizer(model: nn.Module, spec: AdamWSpec) -> torch.optim.AdamW:
    """Return the optimizer with its whole state allocated, so that a checkpoint always has the same entries."""
    matrices = [parameter for parameter in model.parameters() if parameter.ndim >= 2]
    others = [parameter for parameter in model.parameters() if parameter.ndim < 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": spec.weight_decay}, {"params": others, "weight_decay": 0.0}],
        lr=spec.learning_rate,
        betas=(spec.beta1, spec.beta2),
        eps=spec.eps,
        fused=True,
    )
    for parameter in model.parameters():
        state = optimizer.state[parameter]
        state[_STEP] = torch.zeros((), dtype=torch.float32, device=parameter.device)
        for moment in _MOMENTS:
            state[moment] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
    return optimizer


def named_state(model: nn.Module, optimizer: torch.optim.AdamW) -> dict[str, torch.Tensor]:
    """Return the live state tensors under ``<parameter>.<entry>``; copying into them restores the optimizer."""
    return {
        f"{name}.{entry}": optimizer.state[parameter][entry]
        for name, parameter in model.named_parameters()
        for entry in (_STEP, *_MOMENTS)
    }


def set_learning_rate(optimizer: torch.optim.AdamW, learning_rate: float) -> None:
    """Use ``learning_rate`` in every group from the next step on."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate


def clip_gradients(model: nn.Module, max_norm: float) -> torch.Tensor:
    """Scale all gradients down to a global norm of ``max_norm`` (0: never); return the norm before."""
    limit = max_norm if max_norm > 0 else float("inf")
    return nn.utils.clip_grad_norm_(model.parameters(), limit)

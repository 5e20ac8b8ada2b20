"""AdamW with weight decay on matrices only, and its state by parameter name.

Decoupled weight decay: Loshchilov and Hutter, arXiv:1711.05101. Norm gains and biases are not decayed.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import torch
from torch import nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from workers.contract.training import AdamWSpec

_MOMENTS = ("exp_avg", "exp_avg_sq")
_STEP = "step"


class Parametrised(Protocol):
    """Whatever has named parameters: a module, or the parts of one that a rank holds."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """Each parameter once."""

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Each parameter once, under its first name."""


def make_optimizer(model: Parametrised, spec: AdamWSpec) -> torch.optim.AdamW:
    """Return the optimizer with its whole state allocated, so that a checkpoint always has the same entries."""
    optimizer = torch.optim.AdamW(
        parameter_groups(model, spec),
        lr=spec.learning_rate,
        betas=(spec.beta1, spec.beta2),
        eps=spec.eps,
        fused=True,
    )
    allocate_state(optimizer)
    return optimizer


def parameter_groups(model: Parametrised, spec: AdamWSpec) -> list[dict[str, object]]:
    """Return matrices and the rest as groups, each with its weight decay."""
    matrices = [parameter for parameter in model.parameters() if parameter.ndim >= 2]
    others = [parameter for parameter in model.parameters() if parameter.ndim < 2]
    groups: list[dict[str, object]] = [
        {"params": matrices, "weight_decay": spec.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def allocate_state(optimizer: torch.optim.Optimizer) -> None:
    """Give every parameter of the optimizer its state, all zero."""
    for parameter in (each for group in optimizer.param_groups for each in group["params"]):
        state = optimizer.state[parameter]
        state[_STEP] = torch.zeros((), dtype=torch.float32, device=parameter.device)
        for moment in _MOMENTS:
            state[moment] = torch.zeros_like(parameter, memory_format=torch.preserve_format)


def named_state(named: Iterable[tuple[str, nn.Parameter]], optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Return the live state tensors under ``<parameter>.<entry>``; copying into them restores the optimizer.

    Only of the parameters whose state this rank keeps.
    """
    kept = getattr(optimizer, "optim", optimizer).state  # zero1 wraps the optimizer of this rank's share
    return {
        f"{name}.{entry}": kept[parameter][entry]
        for name, parameter in named
        if parameter in kept
        for entry in (_STEP, *_MOMENTS)
    }


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Use ``learning_rate`` in every group from the next step on."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate


def clip_gradients(
    model: Parametrised,
    max_norm: float,
    *,
    own: Callable[[str], bool] = lambda _name: True,
    total: Callable[[torch.Tensor], torch.Tensor] = lambda norm: norm,
) -> torch.Tensor:
    """Scale all gradients down to a global norm of ``max_norm`` (0: never); return the norm before.

    ``total`` makes the norm over all ranks of that of this rank's gradients, among which only those whose name is
    ``own`` count.
    """
    limit = max_norm if max_norm > 0 else float("inf")
    counted = [each.grad for name, each in model.named_parameters() if each.grad is not None and own(name)]
    norm = total(get_total_norm(counted))
    clip_grads_with_norm_(list(model.parameters()), limit, norm)
    return norm

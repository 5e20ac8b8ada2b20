"""Which layers a model can least do without: each is compressed alone, and the loss on the samples is compared.

The data-free stand-in of a step is used (rounding to nearest, magnitude), which is what ranks layers in seconds; the
order is a hint for ``skip`` patterns, not a forecast of the final loss.
"""

import torch
from torch import nn

from workers.contract.compression.low_rank import LowRankSpec
from workers.contract.compression.pruning import MagnitudeSpec, NMPattern, SparseGPTSpec, WandaSpec
from workers.contract.compression.quantization import Int8DynamicSpec, SmoothQuantSpec, WeightOnlySpec
from workers.contract.compression.recipe import AnyStep
from workers.contract.compression.result import LayerSensitivity
from workers.runtime.compression.architecture import NamedLinear, select_linears
from workers.runtime.compression.integers import group_scales, round_to, to_real
from workers.runtime.compression.linear import effective_weight
from workers.runtime.compression.low_rank import factor_linear
from workers.runtime.compression.pruning.masks import lowest, lowest_per_row
from workers.runtime.compression.quantization.rtn import check_group
from workers.runtime.compression.session import Session
from workers.runtime.model import token_loss


def rank_layers(session: Session, recipe: tuple[AnyStep, ...]) -> tuple[LayerSensitivity, ...]:
    """Return what each layer of the recipe costs alone, most sensitive first; the model is as before afterwards."""
    dense_loss = _loss(session)
    costs: dict[str, float] = {}
    work = [(step, layer) for step in recipe for layer in _layers(session, step)]
    for done, (step, layer) in enumerate(work):
        session.on_progress(done / len(work))
        kept_OI = layer.module.weight.detach().clone()
        layer.module.weight.detach().copy_(_compressed_weight(layer.module, step))
        cost = _loss(session) - dense_loss
        layer.module.weight.detach().copy_(kept_OI)
        costs[layer.name] = max(cost, costs.get(layer.name, cost))
    ranked = sorted(costs.items(), key=lambda item: item[1], reverse=True)
    return tuple(LayerSensitivity(layer=name, loss_increase=cost) for name, cost in ranked)


def _layers(session: Session, step: AnyStep) -> list[NamedLinear]:
    selection = getattr(step, "layers", None)  # steps on the whole model have none
    return [] if selection is None else select_linears(session.model, selection)


def _compressed_weight(linear: nn.Linear, step: AnyStep) -> torch.Tensor:
    weight_OI = linear.weight.detach()
    if isinstance(step, MagnitudeSpec | WandaSpec | SparseGPTSpec):
        is_n_m = isinstance(step.pattern, NMPattern)
        score_OI = weight_OI.abs()
        mask_OI = lowest_per_row(score_OI, step.pattern) if is_n_m else lowest(score_OI, step.pattern.sparsity)
        return weight_OI.masked_fill(mask_OI, 0)
    if isinstance(step, LowRankSpec):
        return effective_weight(factor_linear(linear, step))
    bits, group_size = 8, 0
    if isinstance(step, WeightOnlySpec):
        check_group(linear, step)
        bits, group_size = step.bits, step.group_size
    else:
        assert isinstance(step, SmoothQuantSpec | Int8DynamicSpec)
    scale_OG = group_scales(weight_OI, bits=bits, group_size=group_size)
    return to_real(round_to(weight_OI, scale_OG, bits=bits), scale_OG)


@torch.no_grad()
def _loss(session: Session) -> float:
    """Return nats per token on the calibration samples."""
    assert session.samples_SC is not None  # the contract refuses a scan without calibration
    model: nn.Module = session.model
    total, count = 0.0, 0
    for start in range(0, len(session.samples_SC), session.batch_size):
        rows = session.samples_SC[start : start + session.batch_size]
        logits = model(input_ids=rows[:, :-1], use_cache=False).logits
        targets = rows[:, 1:]
        total += float(token_loss(logits, targets)) * targets.numel()
        count += targets.numel()
    return total / count

"""Applying a recipe: its steps in order, then the account of what came of it."""

import time
from collections.abc import Callable

from transformers import PreTrainedModel

from workers.contract.compression.recipe import CompressSpec
from workers.contract.compression.result import CompressionResult, LayerSensitivity
from workers.runtime.compression.architecture import stored_bytes
from workers.runtime.compression.registry import METHODS
from workers.runtime.compression.session import Session
from workers.runtime.memory import PeakMemory


def apply_recipe(
    session: Session, spec: CompressSpec, memory: PeakMemory, on_step: Callable[[str], None]
) -> CompressionResult:
    """Compress the session's model in place; ``on_step`` is told the name of each step as it begins.

    Raises:
        UserError: a step cannot take a layer.
    """
    from workers.runtime.compression.sensitivity import rank_layers

    started = time.monotonic()
    bytes_before, parameters_before = stored_bytes(session.model), num_weights(session.model)
    ranking: tuple[LayerSensitivity, ...] = ()
    if spec.sensitivity_scan:
        on_step("sensitivity")
        ranking = rank_layers(session, spec.recipe)
    for index, step in enumerate(spec.recipe):
        session.step, session.method = index, step.method
        on_step(step.method)
        METHODS[type(step)](session, step)
    return CompressionResult(
        layers=tuple(session.reports),
        sensitivity=ranking,
        bytes_before=bytes_before,
        bytes_after=stored_bytes(session.model),
        parameters_before=parameters_before,
        parameters_after=num_weights(session.model),
        peak_memory_bytes=memory.peak_bytes(),
        duration_s=time.monotonic() - started,
    )


def num_weights(model: PreTrainedModel) -> int:
    """Count the weights that the model stands for, packed ones by what they unpack to; scales are no weights."""
    from workers.runtime.compression.linear import Int8Linear, PackedLinear

    total = sum(parameter.numel() for parameter in model.parameters())
    for module in model.modules():
        if isinstance(module, PackedLinear):
            total += module.weight_packed.shape[0] * module.in_features
        elif isinstance(module, Int8Linear):
            total += module.weight.numel()
    return total

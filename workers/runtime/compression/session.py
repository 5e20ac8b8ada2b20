"""One recipe on its way through a model: what methods are given, and where they say what they have done."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import nn
from transformers import PreTrainedModel

from workers.contract.compression.layers import LayerSelection
from workers.contract.compression.result import LayerReport
from workers.runtime.compression.architecture import (
    NamedLinear,
    find_blocks,
    linears_of,
    replace_module,
    select_linears,
    stored_bytes,
)
from workers.runtime.compression.calibration import BlockWalk
from workers.runtime.compression.linear import effective_weight
from workers.runtime.compression.statistics import InputStatistics, output_error, weight_error
from workers.runtime.errors import UserError

FreeMethod = Callable[[nn.Linear], nn.Module]
"""Changes a layer in place and returns it, or returns what takes its place."""
CalibratedMethod = Callable[[nn.Linear, InputStatistics], nn.Module]


def _stay_silent(*_: object) -> None:
    pass


@dataclass
class Session:
    """The model, the calibration samples, and the reports so far."""

    model: PreTrainedModel
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    """Where blocks are worked on; the model itself stays on the CPU."""
    samples_SC: torch.Tensor | None = None
    batch_size: int = 8
    on_progress: Callable[[float], None] = _stay_silent
    """Told the share of the step that is done, before each layer; may raise to end it all."""
    on_report: Callable[[LayerReport], None] = _stay_silent
    step: int = 0
    """Index of the recipe's step that is being applied."""
    method: str = ""
    reports: list[LayerReport] = field(default_factory=list)

    def walk(self) -> BlockWalk:
        """Go through the blocks with the calibration samples."""
        assert self.samples_SC is not None  # the contract refuses such a recipe without calibration
        return BlockWalk(self.model, self.samples_SC, self.batch_size, self.device)

    def for_each_linear(self, selection: LayerSelection, method: FreeMethod) -> None:
        """Apply a method that needs no data to each selected layer."""
        chosen = select_linears(self.model, selection)
        for done, layer in enumerate(chosen):
            self.on_progress(done / len(chosen))
            self.apply(layer, method)

    def for_each_calibrated(self, selection: LayerSelection, method: CalibratedMethod) -> None:
        """Apply a method to each selected layer with the statistics of its inputs, block by block."""
        chosen = self.inside_blocks(selection)
        walk = self.walk()
        done = 0
        for block in walk:
            layers = linears_of(block, chosen)
            statistics = walk.collect(block, layers)
            for layer in layers:
                self.on_progress(done / len(chosen))
                self._apply_calibrated(layer, method, statistics[layer.name])
                done += 1

    def inside_blocks(self, selection: LayerSelection) -> list[NamedLinear]:
        """Return the selected layers, all of them in blocks.

        Raises:
            UserError: one is outside, where no statistics are taken.
        """
        chosen = select_linears(self.model, selection)
        blocks = find_blocks(self.model)
        inside = {layer.name for block in blocks for layer in linears_of(block, chosen)}
        outside = [layer.name for layer in chosen if layer.name not in inside]
        if outside:
            raise UserError(f"layers: {outside[0]} is in no block, where {self.method} takes no statistics: skip it")
        return chosen

    def apply(self, layer: NamedLinear, method: FreeMethod) -> None:
        """Let a method change one layer, and report what that did to its weights."""
        before_OI, bytes_before = layer.module.weight.detach().clone(), stored_bytes(layer.module)
        changed = method(layer.module)
        after_OI = self._put(layer, changed)
        self.report(layer.name, changed, after_OI, bytes_before, error=weight_error(before_OI, after_OI))

    def _apply_calibrated(self, layer: NamedLinear, method: CalibratedMethod, statistics: InputStatistics) -> None:
        before_OI, bytes_before = layer.module.weight.detach().clone(), stored_bytes(layer.module)
        changed = method(layer.module, statistics)
        after_OI = self._put(layer, changed)
        error = output_error(before_OI, after_OI, statistics)
        self.report(layer.name, changed, after_OI, bytes_before, error=error, is_of_outputs=True)

    def _put(self, layer: NamedLinear, changed: nn.Module) -> torch.Tensor:
        if changed is not layer.module:
            replace_module(self.model, layer.name, changed)
        return effective_weight(changed)

    def report(
        self,
        name: str,
        changed: nn.Module,
        after_OI: torch.Tensor,
        bytes_before: int,
        *,
        error: float,
        is_of_outputs: bool = False,
    ) -> None:
        """Say what became of a layer whose weight now stands for ``after_OI``."""
        report = LayerReport(
            step=self.step,
            layer=name,
            method=self.method,
            error=error,
            error_of="outputs" if is_of_outputs else "weights",
            bytes_before=bytes_before,
            bytes_after=stored_bytes(changed),
            sparsity=float((after_OI == 0).float().mean()),
        )
        self.reports.append(report)
        self.on_report(report)

"""Moving a scale of each channel from a layer's input into its weights, which leaves the function as it was.

The producer of the channels (a norm, or a linear layer) is divided by the scale, the layers that read them are
multiplied: what AWQ (arXiv:2306.00978, section 3.2) and SmoothQuant (arXiv:2211.10438, section 4) do before rounding.

Shapes: O = output features, I = input features = scaled channels.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import nn

from workers.runtime.compression.architecture import Block, LlamaBlock, NamedLinear, replace_module, stored_bytes
from workers.runtime.compression.linear import effective_weight
from workers.runtime.compression.session import Session
from workers.runtime.compression.statistics import InputStatistics, output_error


@dataclass(frozen=True)
class ScaleGroup:
    """Layers that read the same channels, and what makes these channels."""

    producer: str
    consumers: tuple[str, ...]


NORM_GROUPS = (
    ScaleGroup("input_layernorm", ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")),
    ScaleGroup("post_attention_layernorm", ("mlp.gate_proj", "mlp.up_proj")),
)
LINEAR_GROUPS = (
    # only where each value head feeds one query head: otherwise v's rows and o's columns are not the same channels
    ScaleGroup("self_attn.v_proj", ("self_attn.o_proj",)),
    ScaleGroup("mlp.up_proj", ("mlp.down_proj",)),
)

ChooseScale = Callable[[list[torch.Tensor], InputStatistics], torch.Tensor]
"""Takes the weights (O, I) that read the channels and what is known of these; returns a positive scale (I)."""


@dataclass
class ScaledBlock:
    """A block on its way: its weights are scaled, and it is remembered how they were."""

    block: LlamaBlock
    layers: dict[str, NamedLinear]
    """The selected ones by their path within the block."""
    statistics: dict[str, InputStatistics]
    """By full name."""
    before: dict[str, torch.Tensor] = field(default_factory=dict)
    columns: dict[str, torch.Tensor] = field(default_factory=dict)
    rows: dict[str, torch.Tensor] = field(default_factory=dict)

    @classmethod
    def of(
        cls, session: Session, block: Block, chosen: list[NamedLinear], statistics: dict[str, InputStatistics]
    ) -> "ScaledBlock":
        """Look at a block before anything is done to it."""
        layers = {layer.name.removeprefix(f"{block.name}."): layer for layer in chosen}
        before = {path: layer.module.weight.detach().clone() for path, layer in layers.items()}
        return cls(LlamaBlock.of(session.model, block), layers, statistics, before)

    def scale(self, group: ScaleGroup, choose: ChooseScale) -> None:
        """Move a scale, unless some layer that reads the channels is not selected, or the channels do not match."""
        if not all(path in self.layers for path in group.consumers):
            return
        weights = [self.layers[path].module.weight.detach() for path in group.consumers]
        producer = self._producer(group.producer)
        produced = producer.weight
        assert isinstance(produced, torch.Tensor)
        if produced.shape[0] != weights[0].shape[1]:
            return
        known = self.statistics[self.layers[group.consumers[0]].name]
        scale_I = choose([weight.float() for weight in weights], known)
        for path, weight_OI in zip(group.consumers, weights, strict=True):
            weight_OI.mul_(scale_I)
            self.columns[path] = scale_I
        for parameter in producer.parameters():
            parameter.detach().div_(scale_I if parameter.dim() == 1 else scale_I[:, None])
        if group.producer in self.layers:
            self.rows[group.producer] = scale_I

    def put(self, session: Session, path: str, changed: nn.Module) -> None:
        """Replace a layer by its rounded form, and report the error its outputs have without the scales."""
        layer, before_OI = self.layers[path], self.before[path]
        bytes_before = stored_bytes(layer.module)
        replace_module(session.model, layer.name, changed)
        after_OI = effective_weight(changed).float()
        if path in self.columns:
            after_OI = after_OI / self.columns[path]
        if path in self.rows:
            after_OI = after_OI * self.rows[path][:, None]
        error = output_error(before_OI, after_OI, self.statistics[layer.name])
        session.report(layer.name, changed, after_OI, bytes_before, error=error, is_of_outputs=True)

    def _producer(self, path: str) -> nn.Module:
        return self.block.module.get_submodule(path)

"""What of a model one rank computes, under the parameter names of the whole.

A rank holds the whole model, or the pipeline stages that are its own. Names are those of the Hugging Face model
whatever the strategy, so that a checkpoint written under one strategy is read under another.
"""

from collections.abc import Iterator

import torch
from torch import nn


class ModelParts:
    """The modules of one rank."""

    def __init__(self, modules: tuple[nn.Module, ...], *, aliases: dict[str, str] | None = None) -> None:
        self.modules = modules
        self._aliases = aliases or {}
        """Name here -> name in the whole model, of tied weights whose first holder is on another rank."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """Yield each parameter once."""
        for _, parameter in self.named_parameters():
            yield parameter

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield each parameter once, under its name in the whole model."""
        for module in self.modules:
            for name, parameter in module.named_parameters():
                yield self._aliases.get(name, name), parameter

    def copies(self) -> set[str]:
        """Names of the parameters that another rank holds too and answers for."""
        return {self._aliases[name] for module in self.modules for name, _ in module.named_parameters()
                if name in self._aliases}  # fmt: skip

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the live weights and persistent buffers; tied weights appear once, under their first name."""
        tensors: dict[str, torch.Tensor] = dict(self.named_parameters())
        for module in self.modules:
            persistent = module.state_dict()
            tensors |= {name: buffer for name, buffer in module.named_buffers() if name in persistent}
        return {name: tensor.detach() for name, tensor in tensors.items()}

    def train(self, *, mode: bool = True) -> None:
        """Switch dropout and its like on or off."""
        for module in self.modules:
            module.train(mode)

"""What compression must know of a model's build: its blocks, its linear layers, and their names.

Blocks are found by what transformers says of each model (the classes it never splits over devices), so any decoder
whose layers are ``nn.Linear`` can be pruned and quantized. What moves scales or channels between layers knows the
names of the Llama family alone (``LlamaBlock``).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import nn
from transformers import PreTrainedModel

from workers.contract.compression.fit import LLAMA_LIKE
from workers.contract.compression.layers import LayerSelection
from workers.runtime.errors import UserError


@dataclass(frozen=True)
class NamedLinear:
    """A dense linear layer and its place in the model."""

    name: str
    module: nn.Linear


@dataclass(frozen=True)
class Block:
    """One decoder block."""

    name: str
    module: nn.Module


def find_blocks(model: PreTrainedModel) -> list[Block]:
    """Return the decoder blocks in order.

    Raises:
        UserError: the model has no list of blocks.
    """
    kinds = set(model._no_split_modules or ())
    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) and type(module[0]).__name__ in kinds:
            return [Block(f"{name}.{index}", block) for index, block in enumerate(module)]
    raise UserError(f"model: the family {model.config.model_type!r} has no list of decoder blocks to go through")


def select_linears(model: PreTrainedModel, selection: LayerSelection) -> list[NamedLinear]:
    """Return the dense linear layers that a step takes, in the model's order.

    Raises:
        UserError: there is none, or one shares its weight with the embeddings.
    """
    found = [layer for layer in _all_linears(model) if _is_selected(layer.name, selection)]
    if not found:
        known = ", ".join(layer.name for layer in list(_all_linears(model))[:3]) or "none: its layers are no nn.Linear"
        raise UserError(f"layers: no linear layer matches {list(selection.targets)}; the model has {known}, ...")
    embeddings = model.get_input_embeddings()
    for layer in found:
        if isinstance(embeddings, nn.Embedding) and layer.module.weight is embeddings.weight:
            raise UserError(f"layers: {layer.name} shares its weight with the embeddings: skip it")
    return found


def linears_of(block: Block, chosen: list[NamedLinear]) -> list[NamedLinear]:
    """Return those of the chosen layers that are in a block."""
    return [layer for layer in chosen if layer.name.startswith(f"{block.name}.")]


def replace_module(model: nn.Module, name: str, module: nn.Module) -> None:
    """Put another module in a named place."""
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, module)


def keep_blocks(model: PreTrainedModel, kept: Sequence[int]) -> None:
    """Leave only these decoder blocks, named by their numbers in ascending order, and say so in the configuration.

    Raises:
        UserError: the model has no list of blocks.
    """
    blocks = find_blocks(model)
    staying = nn.ModuleList(blocks[index].module for index in kept)
    replace_module(model, blocks[0].name.rpartition(".")[0], staying)
    for index, block in enumerate(staying):
        for module in block.modules():
            if hasattr(module, "layer_idx"):
                module.layer_idx = index  # type: ignore[assignment]  # the place in the cache of keys and values
    config = model.config
    config.num_hidden_layers = len(staying)
    if getattr(config, "layer_types", None):
        config.layer_types = [config.layer_types[index] for index in kept]


def stored_bytes(module: nn.Module) -> int:
    """Return the bytes of the tensors that are saved; tied ones count once."""
    tensors = {tensor.data_ptr(): tensor for tensor in module.state_dict().values()}
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def _all_linears(model: nn.Module) -> Iterator[NamedLinear]:
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            yield NamedLinear(name, module)


def _is_selected(name: str, selection: LayerSelection) -> bool:
    def matches(patterns: tuple[str, ...]) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in patterns)

    return matches(selection.targets) and not matches(selection.skip)


@dataclass(frozen=True)
class LlamaBlock:
    """A block of the Llama family: what feeds what.

    The input norm feeds q, k and v; v feeds o; the second norm feeds gate and up; up feeds down.
    """

    name: str
    module: nn.Module

    @classmethod
    def of(cls, model: PreTrainedModel, block: Block) -> "LlamaBlock":
        """Look at a block as one of the family.

        Raises:
            UserError: it is of another.
        """
        if model.config.model_type not in LLAMA_LIKE:
            known = ", ".join(sorted(LLAMA_LIKE))
            raise UserError(f"model: the method does not know the family {model.config.model_type!r}; it knows {known}")
        return cls(block.name, block.module)

    def linear(self, path: str) -> nn.Linear:
        """Return a dense layer such as ``self_attn.q_proj``.

        Raises:
            UserError: an earlier step has made something else of it.
        """
        module = self.module.get_submodule(path)
        if not isinstance(module, nn.Linear):
            raise UserError(f"{self.name}.{path} is not dense any more: an earlier step has changed it")
        return module

    def norm_weight(self, path: str) -> torch.Tensor:
        """Return the gain of ``input_layernorm`` or ``post_attention_layernorm``."""
        weight = self.module.get_submodule(path).weight
        assert isinstance(weight, torch.Tensor)
        return weight

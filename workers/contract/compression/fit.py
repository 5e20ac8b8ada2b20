"""Whether a recipe fits a model, told from its configuration before anything is started."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from workers.contract.compression.pruning import MagnitudeSpec, NMPattern, SparseGPTSpec, StructuredSpec, WandaSpec
from workers.contract.compression.quantization import AWQSpec, SmoothQuantSpec, WeightOnlySpec
from workers.contract.compression.recipe import AnyStep, CompressSpec

LLAMA_LIKE = frozenset({"llama", "mistral", "qwen2", "qwen3"})
"""Families whose blocks are RMS norm, separate q, k, v, o projections, and a gated MLP."""

Config = Mapping[str, Any]  # config.json as it is stored: its shape is the model's own


@dataclass(frozen=True)
class Misfit:
    """One thing that cannot work; ``field`` is the path within the spec."""

    field: str
    message: str


def find_misfits(spec: CompressSpec, config: Config) -> list[Misfit]:
    """Say what of a recipe a model with this ``config.json`` cannot take; empty when nothing is known to be wrong."""
    found = []
    if "quantization_config" in config:
        found.append(Misfit("model", "it is quantized already: compress the version it was made from"))
    if str(config.get("model_type", "")).startswith("low_rank_"):
        found.append(Misfit("model", "its layers are factored already: compress the version it was made from"))
    if found:
        return found
    for index, step in enumerate(spec.recipe):
        for check in _CHECKS:
            found += [Misfit(f"recipe.{index}.{field}", message) for field, message in check(step, config).items()]
    longest = config.get("max_position_embeddings")
    if spec.calibration is not None and isinstance(longest, int) and spec.calibration.length > longest:
        found.append(Misfit("calibration.length", f"{spec.calibration.length} exceeds the model's {longest} positions"))
    return found


def _family(step: AnyStep, config: Config) -> dict[str, str]:
    family = config.get("model_type")
    if isinstance(step, StructuredSpec | AWQSpec | SmoothQuantSpec) and family not in LLAMA_LIKE:
        known = ", ".join(sorted(LLAMA_LIKE))
        return {"method": f"{step.method} does not know the model family {family!r}; it knows {known}"}
    return {}


def _groups(step: AnyStep, config: Config) -> dict[str, str]:
    """Every linear layer of a block reads the residual stream, the heads or the MLP's hidden units."""
    if not isinstance(step, WeightOnlySpec) or step.group_size == 0:
        return {}
    for name in ("hidden_size", "intermediate_size"):
        size = config.get(name)
        if isinstance(size, int) and size % step.group_size and step.layers.targets == ("*",):
            return {"group_size": f"{step.group_size} must divide the model's {name}={size}"}
    return {}


def _neighbours(step: AnyStep, config: Config) -> dict[str, str]:
    if not isinstance(step, MagnitudeSpec | WandaSpec | SparseGPTSpec) or not isinstance(step.pattern, NMPattern):
        return {}
    for name in ("hidden_size", "intermediate_size"):
        size = config.get(name)
        if isinstance(size, int) and size % step.pattern.m and step.layers.targets == ("*",):
            return {"pattern.m": f"{step.pattern.m} must divide the model's {name}={size}"}
    return {}


def _structure(step: AnyStep, config: Config) -> dict[str, str]:
    if not isinstance(step, StructuredSpec):
        return {}
    found = {}
    num_kv = config.get("num_key_value_heads") or config.get("num_attention_heads")
    if isinstance(num_kv, int) and step.kv_groups >= num_kv:
        found["kv_groups"] = f"the model has {num_kv} key-value heads, and one must stay"
    num_blocks = config.get("num_hidden_layers")
    if isinstance(num_blocks, int) and step.blocks >= num_blocks:
        found["blocks"] = f"the model has {num_blocks} blocks, and one must stay"
    width = config.get("intermediate_size")
    if isinstance(width, int) and step.mlp_ratio and width < 2 * step.mlp_multiple:
        found["mlp_multiple"] = f"{step.mlp_multiple} leaves nothing to remove of an MLP of width {width}"
    return found


_CHECKS: tuple[Callable[[AnyStep, Config], dict[str, str]], ...] = (_family, _groups, _neighbours, _structure)

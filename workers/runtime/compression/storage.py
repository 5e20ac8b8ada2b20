"""Compressed models on disk: what config.json says of them, and loading them as they are.

Quantized layers are written in compressed-tensors' layouts, which transformers and vLLM load. Factored layers have no
public layout: such a model gets a ``model_type`` of its own, so that a program that does not know it refuses it rather
than fill the missing weights in at random; ``export`` writes it out dense. Reading goes by the tensors' names and
shapes, so it needs no second description of them.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from workers.runtime.compression.architecture import replace_module
from workers.runtime.compression.linear import CompressedLinear, Int8Linear, LowRankLinear, PackedLinear, dense_linear
from workers.runtime.errors import UserError

LOW_RANK_PREFIX = "low_rank_"
_CONFIG = "config.json"
Document = dict[str, Any]  # config.json: its shape is the model's own
Tensors = dict[str, torch.Tensor]


def is_compressed(config: Document) -> bool:
    """Tell whether a model's ``config.json`` is of one that transformers does not load into plain layers."""
    return "quantization_config" in config or str(config.get("model_type", "")).startswith(LOW_RANK_PREFIX)


def describe_in_config(directory: Path, model: nn.Module) -> None:
    """Add to the ``config.json`` of a written model what its layers are."""
    path = directory / _CONFIG
    config: Document = json.loads(path.read_text(encoding="utf-8"))
    if (quantization := _quantization_config(model)) is not None:
        config["quantization_config"] = quantization
    if any(isinstance(module, LowRankLinear) for module in model.modules()):
        config["model_type"] = LOW_RANK_PREFIX + config["model_type"]
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def load_compressed(directory: Path) -> PreTrainedModel:
    """Load a model with its layers in the form in which they are stored.

    Raises:
        UserError: a layout that this program does not read, or files that do not fit each other.
    """
    config: Document = json.loads((directory / _CONFIG).read_text(encoding="utf-8"))
    _check_layout(directory, config.pop("quantization_config", None))
    model_type = str(config["model_type"]).removeprefix(LOW_RANK_PREFIX)
    tensors = _read_tensors(directory)
    try:
        built = AutoConfig.for_model(model_type, **{key: value for key, value in config.items() if key != "model_type"})
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(built)  # type: ignore[no-untyped-call]
        assert isinstance(model, PreTrainedModel)
        _swap_layers(model, tensors)
        missing, unexpected = model.load_state_dict(tensors, strict=False, assign=True)
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise UserError(f"model: {directory} cannot be loaded: {error}") from error
    model.tie_weights()
    tied = set(model.all_tied_weights_keys)
    if unexpected or set(missing) - tied:
        names = [*unexpected, *sorted(set(missing) - tied)]
        raise UserError(f"model: {directory} does not fit its configuration: {', '.join(names[:3])}")
    _fill_computed_buffers(model)
    return model


def make_dense(model: nn.Module, dtype: torch.dtype | None = None) -> None:
    """Replace every smaller form by the plain layer it stands for, and cast all to ``dtype``."""
    compressed = [(name, module) for name, module in model.named_modules() if isinstance(module, CompressedLinear)]
    factored = {name for name, module in compressed if isinstance(module, LowRankLinear)}
    for name, module in compressed:
        if name.rpartition(".")[0] not in factored:  # factors go with the layer they are of
            replace_module(model, name, dense_linear(module))
    if dtype is not None:
        model.to(dtype)


def _quantization_config(model: nn.Module) -> Document | None:
    """Describe quantized layers as compressed-tensors does: one group per scheme, layers by their names."""
    groups: dict[str, Document] = {}
    for name, module in model.named_modules():
        if isinstance(module, PackedLinear):
            weights = _integers(module.bits, module.group_size)
            scheme = {"weights": weights, "input_activations": None, "format": "pack-quantized"}
        elif isinstance(module, Int8Linear):
            activations = _integers(8, None) | {"dynamic": True, "strategy": "token", "observer": None}
            scheme = {"weights": _integers(8, 0), "input_activations": activations, "format": "int-quantized"}
        else:
            continue
        group = groups.setdefault(json.dumps(scheme), scheme | {"output_activations": None, "targets": []})
        group["targets"].append(name)
    if not groups:
        return None
    linears = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    formats = {group["format"] for group in groups.values()}
    if len(groups) == 1:  # one scheme for all that is quantized: said of the class, as most readers expect it
        next(iter(groups.values()))["targets"] = ["Linear"]
    return {
        "quant_method": "compressed-tensors",
        "quantization_status": "compressed",
        "format": formats.pop() if len(formats) == 1 else "mixed-precision",
        "ignore": linears,
        "kv_cache_scheme": None,
        "global_compression_ratio": None,
        "config_groups": {f"group_{number}": group for number, group in enumerate(groups.values())},
    }


def _integers(bits: int, group_size: int | None) -> Document:
    return {
        "num_bits": bits,
        "type": "int",
        "symmetric": True,
        "group_size": group_size or None,
        "strategy": "group" if group_size else "channel",
        "dynamic": False,
    }


def _check_layout(directory: Path, quantization: Document | None) -> None:
    if quantization is None:
        return
    known = quantization.get("quant_method") == "compressed-tensors"
    for group in quantization.get("config_groups", {}).values():
        weights, activations = group.get("weights") or {}, group.get("input_activations")
        known = known and weights.get("type") == "int" and weights.get("num_bits") in {4, 8}
        known = known and weights.get("symmetric") is True and weights.get("actorder") is None
        known = known and (
            activations is None or (activations.get("num_bits"), activations.get("dynamic")) == (8, True)
        )
    if not known:
        raise UserError(
            f"model: {directory} is quantized in a layout that is not read here; symmetric integers of 4 or 8 bits in "
            "the compressed-tensors layout are"
        )


def _read_tensors(directory: Path) -> Tensors:
    tensors: Tensors = {}
    for path in sorted(directory.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            tensors |= {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  no mapping
    if not tensors:
        raise UserError(f"model: {directory} has no .safetensors file")
    return tensors


def _swap_layers(model: nn.Module, tensors: Tensors) -> None:
    """Put an empty layer of the stored form wherever the tensors are not those of a dense one."""
    for name in [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]:
        if f"{name}.down.weight" in tensors or f"{name}.down.weight_scale" in tensors:
            bias = tensors.get(f"{name}.up.bias")
            down, up = _empty(tensors, f"{name}.down"), _empty(tensors, f"{name}.up")
            low_rank = LowRankLinear(torch.empty(1, 1, device="meta"), torch.empty(1, 1, device="meta"), bias)
            low_rank.down, low_rank.up = down, up
            replace_module(model, name, low_rank)
        elif f"{name}.weight_scale" in tensors:
            replace_module(model, name, _empty(tensors, name))


def _empty(tensors: Tensors, name: str) -> nn.Module:
    """Return a layer whose tensors have the right names; their values come with the loading."""
    bias = tensors.get(f"{name}.bias")
    if (words_OW := tensors.get(f"{name}.weight_packed")) is not None:
        in_features = int(tensors[f"{name}.weight_shape"][1])
        bits = 32 * words_OW.shape[1] // in_features
        packed = PackedLinear(words_OW, tensors[f"{name}.weight_scale"], in_features=in_features, bits=bits)
        packed.bias = None if bias is None else nn.Parameter(bias)
        return packed
    weight_OI = tensors[f"{name}.weight"]
    if weight_OI.dtype is torch.int8:
        int8 = Int8Linear(weight_OI, tensors[f"{name}.weight_scale"])
        int8.bias = None if bias is None else nn.Parameter(bias)
        return int8
    return nn.Linear(weight_OI.shape[1], weight_OI.shape[0], bias=bias is not None, device="meta")


def _fill_computed_buffers(model: PreTrainedModel) -> None:
    """Compute buffers that are never stored (rotary frequencies), left empty by building on the meta device."""
    for module in model.modules():
        missing = [name for name, buffer in module.named_buffers(recurse=False) if buffer.is_meta]
        for name in missing:
            setattr(module, name, torch.empty_like(getattr(module, name), device="cpu"))
        if missing:
            model._init_weights(module)  # type: ignore[no-untyped-call]

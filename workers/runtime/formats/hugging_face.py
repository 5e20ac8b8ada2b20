"""A directory in the Hugging Face layout: as the version is stored, or with plain layers in one type.

Quantized layers stay in the compressed-tensors layout, which transformers and vLLM load; factored ones have none.
"""

from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedModel

from workers.contract.export import HuggingFaceTarget
from workers.runtime.compression.linear import LowRankLinear
from workers.runtime.compression.storage import make_dense
from workers.runtime.data.tokenizer import load_model_tokenizer
from workers.runtime.errors import UserError
from workers.runtime.export import write_model
from workers.runtime.formats.reference import LogitsOf, Requirement, torch_logits
from workers.runtime.model import load_pretrained, load_stored
from workers.runtime.parallel.parts import ModelParts

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
_SAME_KERNELS, _ROUNDED = 1e-5, 0.05
"""Bounds on the error: the same numbers again, and weights with the eight bits of precision that bf16 has."""


def requirement_of(target: HuggingFaceTarget) -> Requirement:
    """Return how near the export must be."""
    return Requirement(max_error=_ROUNDED if target.dtype == "bf16" else _SAME_KERNELS)


def original_of(target: HuggingFaceTarget, model_dir: Path) -> PreTrainedModel:
    """Load what the export must equal: the version as it is, or as plain layers in fp32."""
    return load_stored(model_dir) if target.dtype == "stored" else load_pretrained(model_dir)


def write_directory(directory: Path, target: HuggingFaceTarget, model_dir: Path) -> None:
    """Write the model and its tokenizer.

    Raises:
        UserError: it has factored layers that are to stay as they are.
    """
    model = load_stored(model_dir)
    if target.dtype == "stored":
        if any(isinstance(module, LowRankLinear) for module in model.modules()):
            raise UserError("target.dtype: factored layers have no public layout: choose fp32 or bf16")
    else:
        make_dense(model, _DTYPES[target.dtype])
        model.config.dtype = _DTYPES[target.dtype]
    model.config.architectures = [type(model).__name__]
    weights = ModelParts((model,)).tensors()
    tokenizer = load_model_tokenizer(model_dir)
    write_model(directory, weights, model.config, tokenizer, model_dir=model_dir, model=model)


def reload(directory: Path, target: HuggingFaceTarget) -> LogitsOf:
    """Load what was written, as it is; plain layers compute in fp32."""
    model = load_stored(directory, dtype=None if target.dtype == "stored" else torch.float32)
    module: nn.Module = model
    module.eval()
    return lambda tokens_BC: torch_logits(model, tokens_BC)

"""Through the disk and back: bit-equal for us, and the same model for transformers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from tests.runtime.compression.conftest import Compress, logits_of
from workers.runtime.errors import UserError
from workers.runtime.model import load_pretrained, load_stored

RECIPES: dict[str, list[dict[str, Any]]] = {
    "int4": [{"method": "rtn"}],
    "int8": [{"method": "rtn", "bits": 8, "group_size": 0}],
    "w8a8": [{"method": "int8_dynamic"}],
    "mixed": [
        {"method": "rtn", "layers": {"targets": ["*.mlp.*"], "skip": ["*.0.*"]}},
        {"method": "rtn", "bits": 8, "layers": {"targets": ["*.self_attn.*"]}},
    ],
    "bf16 int4": [{"method": "cast"}, {"method": "rtn"}],
    "low rank": [{"method": "low_rank", "rank": 8}],
    "low rank int4": [{"method": "low_rank", "rank": 8}, {"method": "rtn", "group_size": 8}],
}


@pytest.mark.parametrize("name", RECIPES)
def test_model_comes_back_bit_for_bit(
    model: PreTrainedModel, compress: Compress, saved: Callable[[], Path], samples_SC: torch.Tensor, name: str
) -> None:
    result = compress(*RECIPES[name])
    directory = saved()
    loaded = load_stored(directory).eval()
    ours, theirs = model.state_dict(), loaded.state_dict()
    assert set(ours) == set(theirs)
    assert all(torch.equal(ours[key], theirs[key]) and ours[key].dtype == theirs[key].dtype for key in ours)
    assert torch.equal(logits_of(loaded, samples_SC), logits_of(model, samples_SC))
    header = int.from_bytes((directory / "model.safetensors").read_bytes()[:8], "little") + 8
    assert (directory / "model.safetensors").stat().st_size - header == result.bytes_after


@pytest.mark.parametrize("name", ["int4", "int8", "w8a8", "mixed", "bf16 int4"])
def test_transformers_loads_the_same_model(
    model: PreTrainedModel, compress: Compress, saved: Callable[[], Path], samples_SC: torch.Tensor, name: str
) -> None:
    compress(*RECIPES[name])
    theirs = AutoModelForCausalLM.from_pretrained(saved(), dtype="auto").eval()
    ours, found = logits_of(model, samples_SC), logits_of(theirs, samples_SC)
    if name == "w8a8":  # its scales of activations are 2 / 255 of the largest, ours (as vLLM's) 2 / 254
        assert float((found - ours).norm() / ours.norm()) < 0.05
    else:
        assert torch.equal(found, ours)


@pytest.mark.parametrize("name", ["int4", "w8a8", "low rank int4"])
def test_training_gets_plain_layers_in_fp32(
    model: PreTrainedModel, compress: Compress, saved: Callable[[], Path], samples_SC: torch.Tensor, name: str
) -> None:
    compress(*RECIPES[name])
    dense = load_pretrained(saved())
    assert {parameter.dtype for parameter in dense.parameters()} == {torch.float32}
    loss = dense(input_ids=samples_SC, labels=samples_SC).loss
    loss.backward()
    linears = [module for module in dense.modules() if isinstance(module, torch.nn.Linear)]
    assert len(linears) == 22
    assert all(layer.weight.grad is not None for layer in linears)
    ours, found = logits_of(model, samples_SC), logits_of(dense, samples_SC)
    assert float((found - ours).norm() / ours.norm()) < (0.05 if name == "w8a8" else 1e-5)


def test_factored_model_is_refused_by_who_cannot_read_it(
    model: PreTrainedModel, compress: Compress, saved: Callable[[], Path]
) -> None:
    compress({"method": "low_rank", "rank": 4})
    with pytest.raises(ValueError, match="low_rank_llama"):
        AutoModelForCausalLM.from_pretrained(saved())


def test_layout_that_is_not_read_here_is_told(
    model: PreTrainedModel, compress: Compress, saved: Callable[[], Path]
) -> None:
    compress({"method": "rtn"})
    directory = saved()
    config = json.loads((directory / "config.json").read_text())
    config["quantization_config"]["config_groups"]["group_0"]["weights"]["symmetric"] = False
    (directory / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="a layout that is not read here"):
        load_stored(directory)


def test_missing_tensor_is_told(model: PreTrainedModel, compress: Compress, saved: Callable[[], Path]) -> None:
    from safetensors.torch import load_file, save_file

    compress({"method": "rtn"})
    path = saved() / "model.safetensors"
    tensors = load_file(path)
    del tensors["model.norm.weight"]
    save_file(tensors, path)
    with pytest.raises(UserError, match=r"does not fit its configuration: model\.norm\.weight"):
        load_stored(path.parent)

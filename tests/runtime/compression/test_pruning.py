"""Pruning of a whole model: exact sparsity, the right weights, really smaller tensors."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from tests.runtime.compression.conftest import Compress, blocks_of, embeddings_of, logits_of
from workers.contract.compression.pruning import UnstructuredPattern
from workers.runtime.compression.pruning.masks import lowest_per_row
from workers.runtime.errors import UserError


def _linears(model: PreTrainedModel) -> dict[str, nn.Linear]:
    return {
        name: module for name, module in model.named_modules() if isinstance(module, nn.Linear) and name != "lm_head"
    }


@pytest.mark.parametrize("method", ["magnitude", "wanda", "sparsegpt"])
@pytest.mark.parametrize("sparsity", [0.5, 0.25])
def test_every_selected_layer_is_exactly_as_sparse_as_asked(
    model: PreTrainedModel, compress: Compress, method: str, sparsity: float
) -> None:
    kept = {name: layer.weight.detach().clone() for name, layer in _linears(model).items()}
    embeddings = embeddings_of(model).detach().clone()
    step = {
        "method": method, "pattern": {"kind": "unstructured", "sparsity": sparsity},
        "layers": {"targets": ["*"], "skip": ["lm_head", "*.1.*"]},
    }  # fmt: skip
    result = compress(step)
    for name, layer in _linears(model).items():
        if ".1." in name:
            assert torch.equal(layer.weight, kept[name])
        else:
            assert int((layer.weight == 0).sum()) == int(sparsity * layer.weight.numel())
    assert torch.equal(embeddings_of(model), embeddings)
    assert {report.layer for report in result.layers} == {name for name in kept if ".1." not in name}
    assert all(report.sparsity == pytest.approx(sparsity) and 0 < report.error < 1 for report in result.layers)


@pytest.mark.parametrize("method", ["magnitude", "wanda", "sparsegpt"])
def test_two_of_four_neighbours_stay(model: PreTrainedModel, compress: Compress, method: str) -> None:
    compress({"method": method, "pattern": {"kind": "n_m", "n": 2, "m": 4}})
    for layer in _linears(model).values():
        assert bool(((layer.weight.view(-1, 4) != 0).sum(dim=1) == 2).all())


def test_global_magnitude_is_one_threshold_for_all(model: PreTrainedModel, compress: Compress) -> None:
    _linears(model)["model.layers.0.mlp.up_proj"].weight.detach().mul_(100)
    before = torch.cat([layer.weight.detach().abs().flatten() for layer in _linears(model).values()])
    compress({"method": "magnitude", "scope": "global"})
    after = torch.cat([layer.weight.detach().abs().flatten() for layer in _linears(model).values()])
    assert int((after == 0).sum()) == before.numel() // 2
    assert float(after[after > 0].min()) > float(before[after == 0].max())
    assert bool((_linears(model)["model.layers.0.mlp.up_proj"].weight != 0).float().mean() > 0.9)


def test_wanda_takes_the_smallest_products_of_a_row() -> None:
    weight_OI, norm_I = torch.randn(4, 10), torch.rand(10) * 5
    mask_OI = lowest_per_row(weight_OI.abs() * norm_I, UnstructuredPattern(sparsity=0.3))
    for row in range(4):  # by the paper's definition, one number after the other
        scores = [abs(float(weight_OI[row, column])) * float(norm_I[column]) for column in range(10)]
        assert {column for column in range(10) if mask_OI[row, column]} == set(
            sorted(range(10), key=scores.__getitem__)[:3]
        )


def test_pruning_twice_changes_nothing_more(model: PreTrainedModel, compress: Compress) -> None:
    compress({"method": "magnitude"})
    once = {name: layer.weight.detach().clone() for name, layer in _linears(model).items()}
    compress({"method": "magnitude"})
    assert all(torch.equal(layer.weight, once[name]) for name, layer in _linears(model).items())


def test_structured_pruning_makes_an_ordinary_smaller_model(
    model: PreTrainedModel, compress: Compress, samples_SC: torch.Tensor, saved: Callable[[], Path]
) -> None:
    result = compress({"method": "structured", "mlp_ratio": 0.3, "kv_groups": 1, "blocks": 1})
    config = model.config
    assert (config.num_hidden_layers, config.num_attention_heads, config.num_key_value_heads) == (2, 2, 1)
    assert config.intermediate_size == 40  # 64 * 0.7 = 44.8, down to a multiple of 8
    assert result.bytes_after < 0.55 * result.bytes_before
    assert result.parameters_after == sum(parameter.numel() for parameter in model.parameters())
    loaded = AutoModelForCausalLM.from_pretrained(saved(), dtype=torch.float32).eval()
    torch.testing.assert_close(logits_of(loaded, samples_SC), logits_of(model, samples_SC))
    generated = loaded.generate(samples_SC[:1, :4], max_new_tokens=4, do_sample=False)  # blocks renumbered: cache works
    assert generated.shape == (1, 8)


def test_channels_and_heads_that_carry_nothing_go_first(
    model: PreTrainedModel, compress: Compress, samples_SC: torch.Tensor
) -> None:
    dead = torch.randperm(64)[:16]
    for block in blocks_of(model):
        block.mlp.down_proj.weight.detach()[:, dead] = 0
        block.self_attn.o_proj.weight.detach()[:, 16:] = 0  # the second key-value head's query heads
    before = logits_of(model, samples_SC)
    compress({"method": "structured", "mlp_ratio": 0.25, "kv_groups": 1})
    torch.testing.assert_close(logits_of(model, samples_SC), before, rtol=1e-4, atol=1e-4)


def test_block_that_does_nothing_goes_first(
    model: PreTrainedModel, compress: Compress, samples_SC: torch.Tensor
) -> None:
    idle = blocks_of(model)[1]
    idle.mlp.down_proj.weight.detach().zero_()
    idle.self_attn.o_proj.weight.detach().zero_()
    before = logits_of(model, samples_SC)
    compress({"method": "structured", "blocks": 1})
    torch.testing.assert_close(logits_of(model, samples_SC), before)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"method": "magnitude", "layers": {"targets": ["*.nothing"]}}, r"no linear layer matches \['\*.nothing'\]"),
        ({"method": "magnitude", "layers": {"targets": ["*"], "skip": []}}, "lm_head shares its weight"),
        ({"method": "wanda", "pattern": {"kind": "n_m", "n": 2, "m": 5}}, "m=5 must divide the layer's 32"),
        ({"method": "sparsegpt", "pattern": {"kind": "n_m", "n": 2, "m": 5}, "block_size": 5}, "m=5 must divide"),
        ({"method": "structured", "kv_groups": 2}, "2 key-value heads, and one must stay"),
        ({"method": "structured", "blocks": 3}, "3 blocks, and one must stay"),
    ],
)
def test_what_a_model_cannot_take_is_told(compress: Compress, step: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        compress(step)

"""Quantization of a whole model."""

from typing import Any

import pytest
import torch
from transformers import LlamaForCausalLM, PreTrainedModel

from tests.runtime.compression.conftest import Compress, blocks_of, correlated_inputs, logits_of
from workers.contract.compression.layers import LayerSelection
from workers.contract.compression.quantization import AWQSpec
from workers.runtime.compression.architecture import linears_of
from workers.runtime.compression.integers import group_scales, round_to, to_real
from workers.runtime.compression.linear import Int8Linear, PackedLinear
from workers.runtime.compression.quantization.awq import best_scale
from workers.runtime.compression.quantization.scaling import LINEAR_GROUPS, NORM_GROUPS, ScaledBlock
from workers.runtime.compression.quantization.smoothquant import smoothing
from workers.runtime.compression.session import Session
from workers.runtime.compression.statistics import InputStatistics, output_error
from workers.runtime.errors import UserError


def _relative(after: torch.Tensor, before: torch.Tensor) -> float:
    return float((after - before).norm() / before.norm())


@pytest.mark.parametrize(
    ("step", "most_error", "most_share"),
    [
        ({"method": "rtn", "bits": 8, "group_size": 0}, 0.02, 0.32),
        ({"method": "rtn", "bits": 4}, 0.4, 0.20),
        ({"method": "gptq", "bits": 4}, 0.4, 0.20),
        ({"method": "awq", "bits": 4}, 0.4, 0.20),
        ({"method": "int8_dynamic"}, 0.05, 0.32),
        ({"method": "smoothquant"}, 0.05, 0.32),
    ],
)
def test_layers_get_smaller_and_the_model_stays_close(
    model: PreTrainedModel,
    compress: Compress,
    samples_SC: torch.Tensor,
    step: dict[str, Any],
    most_error: float,
    most_share: float,
) -> None:
    before = logits_of(model, samples_SC)
    result = compress(step)
    assert _relative(logits_of(model, samples_SC), before) < most_error
    assert len(result.layers) == 21
    assert sum(r.bytes_after for r in result.layers) <= most_share * sum(r.bytes_before for r in result.layers)
    assert result.parameters_after == result.parameters_before
    assert result.bytes_after < result.bytes_before


def test_integer_product_is_the_one_of_the_rounded_numbers() -> None:
    linear = torch.nn.Linear(24, 10)
    module = Int8Linear.of(linear)
    inputs = torch.randn(3, 5, 24)
    scale = inputs.abs().amax(dim=-1, keepdim=True) / 127
    rounded = (inputs / scale).round() * scale
    torch.testing.assert_close(module(inputs), rounded @ module.dense_weight().T + linear.bias)


def test_cast_halves_everything(model: PreTrainedModel, compress: Compress, samples_SC: torch.Tensor) -> None:
    before = logits_of(model, samples_SC)
    result = compress({"method": "cast"})
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert result.bytes_after * 2 == result.bytes_before
    assert _relative(logits_of(model, samples_SC).float(), before) < 0.05


def test_fp16_refuses_weights_beyond_its_range(model: PreTrainedModel, compress: Compress) -> None:
    weight = model.get_submodule("model.norm").weight
    assert isinstance(weight, torch.Tensor)
    weight.detach()[0] = 1e5
    with pytest.raises(UserError, match=r"model\.norm\.weight has weights beyond 65504"):
        compress({"method": "cast", "dtype": "fp16"})


def test_schemes_can_be_mixed_but_no_layer_is_quantized_twice(model: PreTrainedModel, compress: Compress) -> None:
    compress(
        {"method": "gptq", "layers": {"targets": ["*.mlp.*"]}},
        {"method": "int8_dynamic", "layers": {"targets": ["*.self_attn.*"]}},
    )
    kinds = {name.split(".")[3]: type(module) for name, module in model.named_modules() if name.endswith("_proj")}
    assert kinds == {"mlp": PackedLinear, "self_attn": Int8Linear}
    with pytest.raises(UserError, match="no linear layer matches"):
        compress({"method": "rtn", "layers": {"targets": ["*.mlp.*"]}})


def test_moving_scales_leaves_the_function_as_it_was(model: PreTrainedModel, samples_SC: torch.Tensor) -> None:
    before = logits_of(model, samples_SC)
    session = Session(model, samples_SC=samples_SC)
    chosen = session.inside_blocks(LayerSelection())
    walk = session.walk()
    for block in walk:
        layers = linears_of(block, chosen)
        scaled = ScaledBlock.of(session, block, layers, walk.collect(block, layers))
        for group in (*NORM_GROUPS, *LINEAR_GROUPS):
            scaled.scale(group, lambda weights, known: smoothing(weights, known, alpha=0.7))
        assert "mlp.down_proj" in scaled.columns
        assert "self_attn.o_proj" not in scaled.columns  # two query heads share a value head
    torch.testing.assert_close(logits_of(model, samples_SC), before, rtol=1e-4, atol=1e-4)


def test_awq_protects_channels_with_large_activations() -> None:
    spec = AWQSpec(group_size=32)
    inputs_TI = correlated_inputs(200, 64)
    inputs_TI[:, ::16] *= 30
    known = InputStatistics(64, torch.device("cpu"))
    known.add(inputs_TI)
    weight_OI = torch.randn(16, 64, generator=torch.Generator().manual_seed(2))

    def error_with(scale_I: torch.Tensor) -> float:
        scaled_OI = weight_OI * scale_I
        step_OG = group_scales(scaled_OI, bits=4, group_size=32)
        return output_error(weight_OI, to_real(round_to(scaled_OI, step_OG, bits=4), step_OG) / scale_I, known)

    assert error_with(best_scale([weight_OI], known, spec)) < 0.8 * error_with(torch.ones(64))


def test_smoothing_is_the_papers_and_tames_outliers(
    model: PreTrainedModel, compress: Compress, samples_SC: torch.Tensor
) -> None:
    known = InputStatistics(2, torch.device("cpu"))
    known.add(torch.tensor([[16.0, -1.0], [2.0, 4.0]]))
    scale_I = smoothing([torch.tensor([[0.5, -1.0]]), torch.tensor([[4.0, 0.25]])], known, alpha=0.5)
    torch.testing.assert_close(scale_I, torch.tensor([16**0.5 / 4**0.5, 4**0.5 / 1**0.5]))
    for block in blocks_of(model):
        block.input_layernorm.weight.detach()[::8] *= 60  # outlier channels
        for layer in (block.self_attn.q_proj, block.self_attn.k_proj, block.self_attn.v_proj):
            layer.weight.detach()[:, ::8] /= 60
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    compress({"method": "smoothquant"})
    smooth = logits_of(model, samples_SC)
    assert isinstance(model, LlamaForCausalLM)
    rough = LlamaForCausalLM(model.config)
    rough.eval()
    rough.load_state_dict(state)
    before = logits_of(rough, samples_SC)
    for name, module in list(rough.named_modules()):
        if name.endswith("_proj"):
            assert isinstance(module, torch.nn.Linear)
            parent, _, last = name.rpartition(".")
            setattr(rough.get_submodule(parent), last, Int8Linear.of(module))
    assert _relative(smooth, before) < 0.7 * _relative(logits_of(rough, samples_SC), before)


def test_group_size_that_does_not_divide_is_told(compress: Compress) -> None:
    for method in ("rtn", "gptq", "awq"):
        with pytest.raises(UserError, match="group_size: 24 must divide the 32 input features"):
            compress({"method": method, "group_size": 24})

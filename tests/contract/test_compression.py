"""Recipes that make sense, and what is said of those that do not."""

from typing import Any

import pytest
from pydantic import ValidationError

from workers.contract.compression.fit import find_misfits
from workers.contract.compression.recipe import CompressSpec

CALIBRATION = {"dataset": "corpus"}
LLAMA = {
    "model_type": "llama", "hidden_size": 96, "intermediate_size": 256, "num_hidden_layers": 4,
    "num_attention_heads": 6, "num_key_value_heads": 2, "max_position_embeddings": 128,
}  # fmt: skip


def _spec(*recipe: dict[str, Any], **fields: Any) -> CompressSpec:
    return CompressSpec.model_validate({"model": "m_v1", "recipe": recipe, "calibration": CALIBRATION} | fields)


@pytest.mark.parametrize(
    "recipe",
    [
        ("structured", "sparsegpt", "gptq"),
        ("structured", "low_rank", "cast", "rtn"),
        ("magnitude", "cast", "gptq", "int8_dynamic"),
    ],
)
def test_order_that_makes_sense_is_taken(recipe: tuple[str, ...]) -> None:
    options: dict[str, dict[str, Any]] = {"structured": {"mlp_ratio": 0.3}, "low_rank": {"rank": 8}}
    spec = _spec(*({"method": method, **options.get(method, {})} for method in recipe))
    assert [step.method for step in spec.recipe] == list(recipe)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (("rtn", "magnitude"), r"recipe\.1 \(magnitude\) cannot follow recipe\.0 \(rtn\): the scales were chosen"),
        (("gptq", "cast"), "the rounding was done for the wider type"),
        (("cast", "rtn", "wanda"), r"recipe\.2 \(wanda\) cannot follow recipe\.1 \(rtn\)"),
        (("low_rank", "structured"), "no channels of their own"),
        (("sparsegpt", "low_rank"), "fills the zeros in again"),
    ],
)
def test_order_that_makes_none_is_refused_with_the_reason(recipe: tuple[str, ...], message: str) -> None:
    options: dict[str, dict[str, Any]] = {"structured": {"mlp_ratio": 0.3}, "low_rank": {"rank": 8}}
    with pytest.raises(ValidationError, match=message):
        _spec(*({"method": method, **options.get(method, {})} for method in recipe))


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"method": "wanda", "pattern": {"kind": "n_m", "n": 4, "m": 4}}, "4:4 removes nothing"),
        ({"method": "wanda", "pattern": {"kind": "n_m", "n": 5, "m": 4}}, "5:4 removes nothing"),
        ({"method": "magnitude", "scope": "global", "pattern": {"kind": "n_m"}}, "needs an unstructured pattern"),
        ({"method": "sparsegpt", "pattern": {"kind": "n_m"}, "block_size": 6}, "must be a multiple of m=4"),
        ({"method": "structured"}, "nothing would be removed"),
        ({"method": "low_rank"}, "either rank or energy"),
        ({"method": "rtn", "bits": 3}, "Input should be 4 or 8"),
        ({"method": "melt"}, "does not match any of the expected tags"),
    ],
)
def test_step_without_sense_is_refused(step: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        _spec(step)


@pytest.mark.parametrize("method", ["wanda", "sparsegpt", "gptq", "awq", "smoothquant"])
def test_method_that_needs_data_says_so(method: str) -> None:
    with pytest.raises(ValidationError, match=rf"recipe\.0 \({method}\) needs calibration"):
        _spec({"method": method}, calibration=None)
    with pytest.raises(ValidationError, match="sensitivity_scan needs calibration"):
        _spec({"method": "rtn"}, calibration=None, sensitivity_scan=True)


@pytest.mark.parametrize(
    ("step", "field"),
    [
        ({"method": "rtn", "group_size": 64}, "recipe.0.group_size"),
        ({"method": "wanda", "pattern": {"kind": "n_m", "n": 2, "m": 5}}, "recipe.0.pattern.m"),
        ({"method": "structured", "kv_groups": 2}, "recipe.0.kv_groups"),
        ({"method": "structured", "blocks": 4}, "recipe.0.blocks"),
        ({"method": "structured", "mlp_ratio": 0.5, "mlp_multiple": 256}, "recipe.0.mlp_multiple"),
    ],
)
def test_recipe_is_compared_with_the_models_dimensions(step: dict[str, Any], field: str) -> None:
    calibration = {"dataset": "corpus", "length": 128}
    assert [misfit.field for misfit in find_misfits(_spec(step, calibration=calibration), LLAMA)] == [field]
    assert find_misfits(_spec({"method": "rtn"}, calibration=calibration), LLAMA) == []


def test_model_that_a_method_does_not_know_is_refused() -> None:
    spec = _spec({"method": "awq"}, {"method": "smoothquant"}, calibration={"dataset": "c", "length": 64})
    found = find_misfits(spec, LLAMA | {"model_type": "mamba"})
    assert [misfit.field for misfit in found] == ["recipe.0.method", "recipe.1.method"]
    assert "llama, mistral" in found[0].message
    (misfit,) = find_misfits(spec, LLAMA | {"quantization_config": {}})
    assert misfit.field == "model"
    (misfit,) = find_misfits(_spec({"method": "rtn"}), LLAMA)
    assert (misfit.field, misfit.message) == ("calibration.length", "256 exceeds the model's 128 positions")

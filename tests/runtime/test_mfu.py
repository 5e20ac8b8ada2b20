"""Counting what a step computes."""

from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaForCausalLM

from workers.runtime.mfu import flops_per_token, peak_flops


@pytest.mark.parametrize("is_tied", [True, False])
def test_operations_are_those_of_the_products(is_tied: bool) -> None:
    width, mlp, vocabulary, layers, context = 16, 40, 100, 3, 8
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary, hidden_size=width, intermediate_size=mlp, num_hidden_layers=layers,
            num_attention_heads=2, tie_word_embeddings=is_tied,
        )
    )  # fmt: skip
    products = layers * (4 * width * width + 3 * width * mlp) + vocabulary * width
    assert flops_per_token(model, context) == 6 * products + 12 * layers * width * context


def test_peak_of_a_cpu_is_measured_once(tmp_path: Path) -> None:
    cpu = torch.device("cpu")
    first = peak_flops(cpu, torch.float32, tmp_path)
    assert first is not None
    assert 1e8 < first < 1e15
    assert peak_flops(cpu, torch.float32, tmp_path) == first
    assert len(list(tmp_path.iterdir())) == 1

"""Estimates told from a spec, against the model that torch builds from it."""

import pytest
import torch
from transformers import LlamaConfig as HFLlamaConfig
from transformers.models.llama.modeling_llama import LlamaForCausalLM

from workers.contract.distribution import Degrees
from workers.contract.estimate import ModelSize, block_bytes_per_token, rank_memory, size_of, tokens_per_step
from workers.contract.model_source import LlamaConfig
from workers.contract.training import TrainSpec

VOCAB = 300


def build(config: LlamaConfig) -> LlamaForCausalLM:
    return LlamaForCausalLM(
        HFLlamaConfig(
            vocab_size=VOCAB, hidden_size=config.hidden_size, intermediate_size=config.intermediate_size,
            num_hidden_layers=config.num_layers, num_attention_heads=config.num_heads,
            num_key_value_heads=config.num_kv_heads or config.num_heads, tie_word_embeddings=config.tie_embeddings,
            use_cache=False,
        )
    )  # fmt: skip


@pytest.mark.parametrize("tie", [True, False])
@pytest.mark.parametrize("num_kv_heads", [None, 2])
def test_parameters_are_those_of_the_model(tie: bool, num_kv_heads: int | None) -> None:
    config = LlamaConfig(
        hidden_size=64, num_layers=3, num_heads=4, num_kv_heads=num_kv_heads, intermediate_size=96, tie_embeddings=tie
    )
    with torch.device("meta"):
        model = build(config)
    assert size_of(config, VOCAB).num_parameters == sum(weight.numel() for weight in model.parameters())


def kept_bytes(config: LlamaConfig, num_samples: int, length: int) -> int:
    """Bytes that torch keeps between forward and backward, parameters apart."""
    torch.manual_seed(0)
    model = build(config)
    own = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage
        return tensor

    tokens = torch.randint(0, VOCAB, (num_samples, length))
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model.model(tokens)
        return sum(storage.nbytes() for storage in kept.values())


def test_activations_of_a_block_are_what_torch_keeps() -> None:
    sizes = {"hidden_size": 64, "num_heads": 4, "num_kv_heads": 2, "intermediate_size": 160}
    one, three = (kept_bytes(LlamaConfig.model_validate({**sizes, "num_layers": n}), 2, 64) for n in (1, 3))
    model = size_of(LlamaConfig.model_validate({**sizes, "num_layers": 1}), VOCAB)
    assert block_bytes_per_token(model, is_fp32=True) == pytest.approx((three - one) / 2 / 128, rel=0.15)


def test_axes_share_out_what_they_split() -> None:
    model = ModelSize(1_000_000, 4, 128, 128, 256, 1000)

    def memory(kind: str, degrees: Degrees) -> tuple[int, int, int]:
        spec = TrainSpec.model_validate({"data": {"dataset": "d"}, "distribution": {"data_parallel": {"kind": kind}}})
        found = rank_memory(spec, degrees, model)
        return found.weights, found.gradients, found.optimizer

    four = 4_000_000
    assert memory("ddp", Degrees(1, 4, 1, 1)) == (four, four, 2 * four)
    assert memory("zero1", Degrees(1, 4, 1, 1)) == (four, four, 2 * four // 4)
    assert memory("fsdp", Degrees(1, 1, 4, 1)) == (four // 4, four // 4, 2 * four // 4)
    assert memory("ddp", Degrees(2, 1, 1, 2)) == (four // 4, four // 4, 2 * four // 4)


def test_tokens_of_a_step_count_ranks_that_see_different_samples() -> None:
    data = {"dataset": "d", "context_length": 100}
    spec = TrainSpec.model_validate({"data": data, "micro_batch_size": 3, "gradient_accumulation": 5})
    assert tokens_per_step(spec, Degrees(pp=2, dp_replicate=2, dp_shard=2, tp=2)) == 100 * 3 * 5 * 4

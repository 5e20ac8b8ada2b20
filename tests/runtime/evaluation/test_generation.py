"""Speed: what is counted, and that generating with the cache gives what generating without one would."""

from contextlib import nullcontext

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from workers.contract.evaluation.spec import GenerationTiming
from workers.runtime.control import StopRequested
from workers.runtime.evaluation.generation import Round, Speed, prompts_of, time_rounds

TIMING = GenerationTiming(prompt_tokens=10, new_tokens=5, warmup=2, repeats=3)


@pytest.fixture
def model() -> PreTrainedModel:
    """Return a tiny decoder."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=32,
    )  # fmt: skip
    built = LlamaForCausalLM(config)
    built.eval()
    return built


def test_tokens_per_second_count_all_sequences_and_take_the_median() -> None:
    rounds = (Round(0.5, 0.6, 2.0), Round(1.0, 1.1, 4.0), Round(0.1, 0.2, 1.0))
    found = {each.metric: each for each in Speed(8, rounds, TIMING).measurements("fp32")}
    assert found["prefill_tokens_per_s_batch8"].value == 8 * 10 / 0.5
    assert found["decode_tokens_per_s_batch8"].value == 8 * 4 / 2.0, "the first token is the prompt's"
    assert found["time_to_first_token_s_batch8"].value == 0.6
    assert found["decode_tokens_per_s_batch8"].spread == pytest.approx((16 + 32) / 2 - (8 + 16) / 2)
    assert {each.num_values for each in found.values()} == {3}


def test_rounds_after_the_warm_up_generate_what_greedy_decoding_does(model: PreTrainedModel) -> None:
    seen: list[torch.Tensor] = []
    handle = model.register_forward_hook(lambda _, __, outputs: seen.append(outputs.logits[:, -1].argmax(-1)))
    prompts_BP = prompts_of(model, TIMING, batch=2, seed=3)
    rounds = list(time_rounds(model, prompts_BP, TIMING, nullcontext, lambda: None))
    handle.remove()
    assert len(rounds) == TIMING.repeats
    assert len(seen) == (TIMING.warmup + TIMING.repeats) * TIMING.new_tokens
    assert all(0 < each.prefill_s <= each.first_token_s and each.decode_s > 0 for each in rounds)
    expected = model.generate(  # type: ignore[operator]
        prompts_BP, attention_mask=torch.ones_like(prompts_BP), max_new_tokens=5, do_sample=False, eos_token_id=None,
        pad_token_id=0,
    )  # fmt: skip
    assert torch.equal(torch.stack(seen[:5], dim=1), expected[:, 10:])


def test_prompts_are_the_same_ones_and_a_smaller_batch_has_the_first(model: PreTrainedModel) -> None:
    eight = prompts_of(model, TIMING, batch=8, seed=3)
    assert torch.equal(eight, prompts_of(model, TIMING, batch=8, seed=3))
    assert not torch.equal(eight, prompts_of(model, TIMING, batch=8, seed=4))


def test_wish_to_stop_ends_it_between_rounds(model: PreTrainedModel) -> None:
    def stop() -> None:
        raise StopRequested

    with pytest.raises(StopRequested):
        list(time_rounds(model, prompts_of(model, TIMING, batch=1, seed=3), TIMING, nullcontext, stop))

"""The ``generate`` kind: sample completions of a prompt from a model directory, on one rank."""

import sys

import torch
from tokenizers import Tokenizer
from torch import nn
from transformers import GenerationConfig, PreTrainedModel

from workers.contract.generation import GenerateSpec
from workers.contract.training import Precision
from workers.runtime.context import JobEnd, RankContext
from workers.runtime.data.tokenizer import load_model_tokenizer
from workers.runtime.device import compute_dtype
from workers.runtime.errors import UserError
from workers.runtime.events import CompletionEvent
from workers.runtime.jobs.registry import register
from workers.runtime.model import load_stored


@register(GenerateSpec)
def run_generate(spec: GenerateSpec, context: RankContext) -> JobEnd:
    """Sample, print the texts and emit them.

    Raises:
        UserError: more than one rank, or no usable model directory.
    """
    if context.env.world_size > 1:
        raise UserError("generate runs on one rank: ask for one node with one slot")
    if context.paths.model is None:
        raise UserError("model: the run file names no model directory")
    context.phase("load")
    loaded = load_model_tokenizer(context.paths.model)
    model = load_stored(context.paths.model, dtype=torch.float32)
    module: nn.Module = model
    module.eval().to(context.device)
    context.phase("generate")
    completions = sample(model, loaded.tokenizer, spec, end_id=loaded.end_of_text_id)
    for completion in completions:
        sys.stdout.write(f"{spec.prompt}{completion}\n")
    sys.stdout.flush()
    context.events.emit(CompletionEvent, completions=tuple(completions))
    return JobEnd(step=0)


@torch.inference_mode()
def sample(model: PreTrainedModel, tokenizer: Tokenizer, spec: GenerateSpec, *, end_id: int) -> list[str]:
    """Return ``num_samples`` continuations of the prompt, without it.

    A prompt that leaves no room in the model's context keeps its end.
    """
    torch.manual_seed(spec.seed)
    longest = int(getattr(model.config, "max_position_embeddings", 0) or sys.maxsize)
    num_new = min(spec.max_new_tokens, longest - 1)
    prompt = tokenizer.encode(spec.prompt, add_special_tokens=False).ids[-(longest - num_new) :]
    is_greedy = spec.temperature == 0  # the same text every time: sampled once, returned as often as asked
    num_rows = 1 if is_greedy else spec.num_samples
    inputs = torch.tensor([prompt] * num_rows, device=model.device)
    options = (
        {"do_sample": False}
        if is_greedy
        else {"do_sample": True, "temperature": spec.temperature, "top_p": spec.top_p, "top_k": 0}
    )
    config = GenerationConfig(  # type: ignore[no-untyped-call]
        max_new_tokens=num_new, eos_token_id=end_id, pad_token_id=end_id, **options
    )
    dtype = compute_dtype(Precision.AUTO, model.device)
    with torch.autocast(model.device.type, dtype, enabled=dtype is not torch.float32):
        outputs = model.generate(  # type: ignore[operator]
            inputs, attention_mask=torch.ones_like(inputs), generation_config=config
        )
    texts = [tokenizer.decode(row[len(prompt) :].tolist(), skip_special_tokens=True) for row in outputs]
    return texts * (spec.num_samples if is_greedy else 1)

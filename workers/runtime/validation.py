"""Loss on held-out samples, shared among the ranks. The same samples each time, whatever the world size."""

import math

import torch
import torch.distributed as dist
from torch import nn

from workers.contract.training import TrainSpec
from workers.runtime.context import RankContext
from workers.runtime.data.sampler import Sampler, spread
from workers.runtime.data.shards import TokenStream
from workers.runtime.model import token_loss

MIN_TOKENS = 2  # a prediction needs a token and the one after it


class Validator:
    """Scores a model on the validation stream."""

    def __init__(self, spec: TrainSpec, stream: TokenStream, context: RankContext, dtype: torch.dtype) -> None:
        # A stream shorter than one window is scored as one short sample.
        length = min(spec.data.context_length, stream.num_tokens - 1)
        self.is_possible = stream.num_tokens >= MIN_TOKENS
        self._sampler = Sampler(stream, context_length=max(1, length), seed=spec.seed)
        self._samples = spread(self._sampler.num_samples, spec.data.validation_max_samples)
        self._batch = spec.micro_batch_size
        self._context = context
        self._dtype = dtype

    @torch.no_grad()
    def score(self, model: nn.Module) -> dict[str, float]:
        """Return ``val_loss`` in nats per token and ``val_perplexity``; the same on all ranks. A collective."""
        own = self._samples[self._context.env.rank :: self._context.env.world_size]
        device = self._context.device
        total = torch.zeros(2, dtype=torch.float64)
        model.eval()
        for start in range(0, len(own), self._batch):
            batch = self._sampler.batch(own[start : start + self._batch])
            with torch.autocast(device.type, self._dtype, enabled=self._dtype is not torch.float32):
                logits = model(input_ids=batch.inputs_BC.to(device), use_cache=False).logits
            tokens = batch.targets_BC.numel()
            loss = token_loss(logits, batch.targets_BC.to(device))
            total += torch.tensor([float(loss) * tokens, tokens], dtype=torch.float64)
        model.train()
        if self._context.env.world_size > 1:
            total = total if device.type == "cpu" else total.to(device)
            dist.all_reduce(total)
        loss_sum, num_tokens = total.tolist()
        mean = loss_sum / num_tokens
        return {"val_loss": mean, "val_perplexity": math.exp(min(mean, 700.0))}

"""Loss on held-out samples, shared among the ranks. The same samples each time, whatever the world size."""

import math

import torch
import torch.distributed as dist

from workers.contract.training import TrainSpec
from workers.runtime.context import RankContext
from workers.runtime.data.sampler import Batch, Sampler, spread
from workers.runtime.data.shards import TokenStream
from workers.runtime.parallel.execution import Execution

MIN_TOKENS = 2  # a prediction needs a token and the one after it


class Validator:
    """Scores a model on the validation stream."""

    def __init__(self, spec: TrainSpec, stream: TokenStream, context: RankContext) -> None:
        split = spec.distribution.mesh.tp if spec.distribution.tensor_parallel.sequence_parallel else 1
        # A stream shorter than one window is scored as one short sample.
        length = min(spec.data.context_length, stream.num_tokens - 1) // split * split
        self.is_possible = stream.num_tokens >= MIN_TOKENS and length > 0
        self._sampler = Sampler(stream, context_length=max(1, length), seed=spec.seed)
        self._samples = spread(self._sampler.num_samples, spec.data.validation_max_samples)
        self._batch = spec.micro_batch_size
        self._context = context

    def score(self, execution: Execution) -> dict[str, float]:
        """Return ``val_loss`` in nats per token and ``val_perplexity``; the same on all ranks. A collective."""
        mesh, device = execution.mesh, self._context.device
        own = self._samples[mesh.data_rank :: mesh.data_size]
        longest = math.ceil(len(self._samples) / mesh.data_size)
        total = torch.zeros(2, dtype=torch.float64)
        execution.train(mode=False)
        for start in range(0, longest, self._batch):
            chosen = own[start : start + self._batch]
            # A rank that has run out goes on with any sample: a forward may be a collective. It counts for nothing.
            batch = self._sampler.batch(chosen or self._samples[:1])
            loss = execution.evaluate(Batch(batch.inputs_BC.to(device), batch.targets_BC.to(device)))
            if chosen:
                tokens = batch.targets_BC.numel()
                total += torch.tensor([float(loss) * tokens, tokens], dtype=torch.float64)
        execution.train()
        if self._context.env.world_size > 1:  # ranks that share their samples add the same to both sums
            total = total if device.type == "cpu" else total.to(device)
            dist.all_reduce(total)
        loss_sum, num_tokens = total.tolist()
        mean = loss_sum / num_tokens
        return {"val_loss": mean, "val_perplexity": math.exp(min(mean, 700.0))}

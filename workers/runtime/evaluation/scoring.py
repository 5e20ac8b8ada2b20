"""How well a model predicts held-out text, and how far its predictions are from another model's.

Perplexity is the exponential of the mean loss over windows of a token stream, each window scored by itself. Agreement
is the share of positions at which both models find the same token likeliest; the KL divergence is KL(reference ||
model), the nats per token that are lost by predicting as the model does where the reference is right (as llama.cpp and
the GPTQ literature report it).

Shapes: B = samples of a batch, C = context, V = vocabulary.
"""

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import torch
from torch import nn

from workers.contract.evaluation.metrics import METRICS
from workers.contract.evaluation.result import Measurement
from workers.runtime.data.sampler import Batch, Sampler
from workers.runtime.data.shards import TokenStream
from workers.runtime.errors import UserError

Arithmetic = Callable[[], AbstractContextManager[object]]
"""Makes the context in which a forward pass computes: autocast, or nothing."""
_MAX_LOSS = 700.0  # exp() of more is not a double


@dataclass
class Scores:
    """Means over the positions of each sample, in the order of the samples."""

    losses: list[float] = field(default_factory=list)
    """Cross-entropy in nats per token."""
    agreements: list[float] = field(default_factory=list)
    divergences: list[float] = field(default_factory=list)
    """Nats per token."""

    @property
    def perplexity(self) -> float:
        """Of the samples so far."""
        return math.exp(min(statistics.fmean(self.losses), _MAX_LOSS))


def batches_of(stream: TokenStream, *, num_samples: int, length: int, batch_size: int, seed: int) -> list[Batch]:
    """Draw at most ``num_samples`` different windows of ``length`` predictions, in batches; the same ones by one seed.

    Raises:
        UserError: the stream has not even one.
    """
    sampler = Sampler(stream, context_length=length, seed=seed)
    if sampler.num_samples == 0:
        raise UserError(
            f"dataset: it gives {stream.num_tokens} tokens, fewer than one sample of {length}: lower length"
        )
    count = min(num_samples, sampler.num_samples)
    return [sampler.draw(start, min(batch_size, count - start)) for start in range(0, count, batch_size)]


@torch.inference_mode()
def score(
    model: nn.Module,
    reference: nn.Module | None,
    batches: Sequence[Batch],
    device: torch.device,
    arithmetic: Arithmetic,
) -> Iterator[Scores]:
    """Score batch after batch; yields all scores so far after each.

    Raises:
        UserError: the two have another vocabulary, or the model's outputs are no numbers.
    """
    scores = Scores()
    for batch in batches:
        inputs_BC, targets_BC = batch.inputs_BC.to(device), batch.targets_BC.to(device)
        log_p_BCV = _log_probabilities(model, inputs_BC, arithmetic)
        losses_B = -log_p_BCV.gather(-1, targets_BC.unsqueeze(-1)).squeeze(-1).mean(-1)
        if not bool(losses_B.isfinite().all()):
            raise UserError("model: its loss is not a number: the weights are broken")
        scores.losses += losses_B.tolist()
        if reference is not None:
            log_q_BCV = _log_probabilities(reference, inputs_BC, arithmetic)
            if log_q_BCV.shape != log_p_BCV.shape:
                sizes = f"{log_q_BCV.shape[-1]} against {log_p_BCV.shape[-1]}"
                raise UserError(f"reference: it has another vocabulary ({sizes} tokens)")
            scores.agreements += (log_p_BCV.argmax(-1) == log_q_BCV.argmax(-1)).double().mean(-1).tolist()
            # rounding can leave a divergence of equals a hair below zero
            scores.divergences += _divergence(log_q_BCV, log_p_BCV).mean(-1).clamp_min(0).tolist()
        yield scores


def measurements_of(scores: Scores, dtype: str, *, with_loss: bool) -> list[Measurement]:
    """Turn scores into figures with their standard errors."""
    found = []
    if with_loss:
        loss = mean_measurement("perplexity", scores.losses, dtype)
        value = scores.perplexity
        spread = None if loss.spread is None else value * loss.spread  # d exp(x) = exp(x) dx
        found.append(loss.model_copy(update={"value": value, "spread": spread}))
    if scores.agreements:
        found.append(mean_measurement("top1_agreement", scores.agreements, dtype))
        found.append(mean_measurement("kl_divergence", scores.divergences, dtype))
    return found


def mean_measurement(metric: str, values: Sequence[float], dtype: str) -> Measurement:
    """Return the mean over samples with its standard error."""
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
    return Measurement(
        metric=metric,
        unit=METRICS[metric].unit,
        value=statistics.fmean(values),
        spread=error,
        num_values=len(values),
        dtype=dtype,
    )


def _log_probabilities(model: nn.Module, inputs_BC: torch.Tensor, arithmetic: Arithmetic) -> torch.Tensor:
    with arithmetic():
        logits_BCV = model(input_ids=inputs_BC, use_cache=False).logits
    return torch.log_softmax(logits_BCV.float(), dim=-1)


def _divergence(log_q_BCV: torch.Tensor, log_p_BCV: torch.Tensor) -> torch.Tensor:
    """Return KL(q || p) at each position, shape (B, C)."""
    return nn.functional.kl_div(log_p_BCV, log_q_BCV, reduction="none", log_target=True).sum(-1)

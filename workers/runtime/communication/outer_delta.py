"""The mean of the ranks' weight changes, sent in fewer bits, with error feedback.

Small types are bad to add up in on the way, so they travel in two phases: every rank gets one share of all changes
(all-to-all), averages it in fp32 and sends the rounded mean to all (all-gather). That is the traffic of a ring
all-reduce, with half or a quarter of the bytes. What rounding loses is kept and added the next time: Seide et al.,
1-bit SGD, Interspeech 2014; its two quantised phases, each with a residual, are those of Tang et al., 1-bit Adam,
arXiv:2102.02888, section 4.

Shapes: W = ranks, B = blocks of a share, K = block size; each block has one fp32 scale.
"""

import torch
import torch.distributed as dist

from workers.contract.communication import DeltaDtype

BLOCK = 256
_LEVELS = 127


def average_delta(delta: torch.Tensor, residual: torch.Tensor | None, dtype: DeltaDtype) -> torch.Tensor:
    """Return the mean over ranks of the vector ``delta`` (fp32). A collective.

    With a ``residual`` it is added first and left holding what was lost in turn: the mean over ranks of delta and
    residual before equals the result and the mean of the residuals after.
    """
    if dtype is DeltaDtype.FP32:
        mean = delta.clone()
        dist.all_reduce(mean)
        return mean.div_(dist.get_world_size())
    if residual is not None:
        delta = delta + residual
    mean, lost = _average_rounded(delta, dtype)
    if residual is not None:
        residual.copy_(lost)
    return mean


def _average_rounded(delta: torch.Tensor, dtype: DeltaDtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the rounded mean, and this rank's part of what rounding lost."""
    world_size, rank = dist.get_world_size(), dist.get_rank()
    length = delta.numel()
    share = -(-length // (world_size * BLOCK)) * BLOCK
    padded = delta.new_zeros(world_size * share)
    padded[:length] = delta
    shares_WBK = padded.view(world_size, -1, BLOCK)

    sent = _encode(shares_WBK, dtype)
    lost_WBK = shares_WBK - _decode(sent)
    received = [torch.empty_like(part) for part in sent]
    for theirs, part in zip(received, sent, strict=True):
        dist.all_to_all_single(theirs, part)
    mean_BK = _decode(received).mean(dim=0)

    rounded = _encode(mean_BK, dtype)
    # What this phase loses is lost to all ranks; the share's owner owes it for all of them.
    lost_WBK[rank] += world_size * (mean_BK - _decode(rounded))
    for all_shares, part in zip(received, rounded, strict=True):
        dist.all_gather_into_tensor(all_shares.view(-1), part.view(-1))
    return _decode(received).view(-1)[:length], lost_WBK.view(-1)[:length]


def _encode(values_K: torch.Tensor, dtype: DeltaDtype) -> list[torch.Tensor]:
    if dtype is DeltaDtype.FP16:
        return [values_K.to(torch.float16)]
    return list(quantize(values_K))


def _decode(parts: list[torch.Tensor]) -> torch.Tensor:
    return parts[0].float() if len(parts) == 1 else dequantize(parts[0], parts[1])


def quantize(values_K: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Round blocks (..., K) to int8 with one scale each; the error is at most half a scale."""
    scale = values_K.abs().amax(dim=-1).clamp_min(1e-30) / _LEVELS  # an all-zero block: no 0/0
    rounded_K = (values_K / scale.unsqueeze(-1)).round().clamp(-_LEVELS, _LEVELS).to(torch.int8)
    return rounded_K, scale


def dequantize(rounded_K: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Return the fp32 values of rounded blocks."""
    return rounded_K.float() * scale.unsqueeze(-1)

"""Integers for weights: scales, rounding, and packing into 32-bit words.

The packing is that of compressed-tensors' ``pack-quantized`` layout: value + 2^(bits-1) as an unsigned number, the
first one in the lowest bits of a word.

Shapes: O = output features, I = input features, G = I / K groups, K = group size, W = words of a row.
"""

import torch


def group_scales(w_OI: torch.Tensor, *, bits: int, group_size: int) -> torch.Tensor:
    """Return one scale per group of a row, shape (O, G), in the weight's type; ``group_size`` 0: one for the row.

    Raises:
        ValueError: ``group_size`` does not divide the input features.
    """
    largest_OG: torch.Tensor = grouped(w_OI, group_size).abs().amax(dim=-1)
    return scale_of(largest_OG, bits=bits)


def scale_of(abs_max: torch.Tensor, *, bits: int) -> torch.Tensor:
    """Return the scale that brings ``abs_max`` to the largest integer, in its type; never zero: 0 / scale is 0."""
    smallest = torch.finfo(abs_max.dtype).tiny
    scale: torch.Tensor = abs_max.float() / (2 ** (bits - 1) - 1)
    return scale.clamp_min(smallest).to(abs_max.dtype)


def round_to(w_OI: torch.Tensor, scale_OG: torch.Tensor, *, bits: int) -> torch.Tensor:
    """Return the nearest integers as int8, shape (O, I); within the range the error is at most scale / 2."""
    q_max = 2 ** (bits - 1) - 1
    scale_OI = _spread(scale_OG.float(), w_OI.shape[1])
    return (w_OI.float() / scale_OI).round().clamp(-q_max - 1, q_max).to(torch.int8)


def to_real(q_OI: torch.Tensor, scale_OG: torch.Tensor) -> torch.Tensor:
    """Return the numbers that the integers stand for, in the scales' type."""
    return q_OI.to(scale_OG.dtype) * _spread(scale_OG, q_OI.shape[1])


def pack(q_OI: torch.Tensor, *, bits: int) -> torch.Tensor:
    """Return 32-bit words of shape (O, W) for 4 or 8 bits; a last word that is not full ends in zero bits."""
    per_word = 32 // bits
    num_rows, num_columns = q_OI.shape
    num_words = -(-num_columns // per_word)
    unsigned = torch.zeros(num_rows, num_words * per_word, dtype=torch.int64, device=q_OI.device)
    unsigned[:, :num_columns] = q_OI.long() + 2 ** (bits - 1)
    places = torch.arange(per_word, device=q_OI.device) * bits
    words = (unsigned.view(num_rows, num_words, per_word) << places).sum(dim=-1)
    return torch.where(words >= 2**31, words - 2**32, words).to(torch.int32)  # the same bits, signed


def unpack(words_OW: torch.Tensor, *, bits: int, in_features: int) -> torch.Tensor:
    """Return the int8 numbers of ``pack``, shape (O, I)."""
    if bits == 8:
        values = words_OW.contiguous().view(torch.uint8).view(words_OW.shape[0], -1)[:, :in_features]
        return (values ^ 0x80).view(torch.int8)  # subtracting 128 is turning the top bit over
    halves = words_OW.contiguous().view(torch.uint8)
    values = torch.stack((halves & 0xF, halves >> 4), dim=-1).view(words_OW.shape[0], -1)[:, :in_features]
    return values.view(torch.int8) - 8


def grouped(w_OI: torch.Tensor, group_size: int) -> torch.Tensor:
    """View rows as groups: shape (O, G, K).

    Raises:
        ValueError: ``group_size`` does not divide the input features.
    """
    in_features = w_OI.shape[1]
    size = group_size or in_features
    if in_features % size:
        raise ValueError(f"group_size={group_size} must divide in_features={in_features}")
    return w_OI.reshape(w_OI.shape[0], -1, size)


def _spread(scale_OG: torch.Tensor, in_features: int) -> torch.Tensor:
    return scale_OG.repeat_interleave(in_features // scale_OG.shape[1], dim=1)

"""Rounding and packing of weights."""

import pytest
import torch
from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.runtime.compression.integers import group_scales, pack, round_to, to_real, unpack


def _weight(rows: int, columns: int, seed: int) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("bits", [4, 8])
@given(rows=st.integers(1, 5), columns=st.integers(1, 70), seed=st.integers(0, 999))
@settings(max_examples=30, deadline=None)
def test_packing_is_the_librarys_bit_for_bit_and_comes_back(bits: int, rows: int, columns: int, seed: int) -> None:
    limit = 2 ** (bits - 1)
    generator = torch.Generator().manual_seed(seed)
    q_OI = torch.randint(-limit, limit, (rows, columns), generator=generator, dtype=torch.int8)
    words_OW = pack(q_OI, bits=bits)
    assert torch.equal(words_OW, pack_to_int32(q_OI, bits))
    assert torch.equal(unpack(words_OW, bits=bits, in_features=columns), q_OI)


@pytest.mark.parametrize(("bits", "group_size"), [(4, 8), (4, 0), (8, 16), (8, 0)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_rounding_errs_by_at_most_half_a_step_and_twice_is_once(bits: int, group_size: int, dtype: torch.dtype) -> None:
    weight_OI = _weight(6, 32, 3).to(dtype)
    weight_OI[2] = 0
    scale_OG = group_scales(weight_OI, bits=bits, group_size=group_size)
    assert scale_OG.dtype is dtype
    q_OI = round_to(weight_OI, scale_OG, bits=bits)
    step_OI = scale_OG.float().repeat_interleave(32 // scale_OG.shape[1], dim=1)
    real_OI = q_OI.float() * step_OI
    slack = 1 + 2**-6 if dtype is torch.bfloat16 else 1 + 2**-9  # the scale itself is rounded to the weight's type
    assert bool(((weight_OI.float() - real_OI).abs() <= step_OI / 2 * slack).all())
    assert bool((q_OI[2] == 0).all())
    again_OI = round_to(to_real(q_OI, scale_OG.float()), scale_OG, bits=bits)
    assert torch.equal(again_OI, q_OI)


def test_group_that_does_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="group_size=5 must divide in_features=32"):
        group_scales(_weight(2, 32, 0), bits=4, group_size=5)

"""Factored layers."""

import pytest
import torch
from torch import nn
from transformers import PreTrainedModel

from tests.runtime.compression.conftest import Compress, embeddings_of, logits_of
from workers.contract.compression.low_rank import LowRankSpec
from workers.runtime.compression.linear import LowRankLinear, effective_weight
from workers.runtime.compression.low_rank import factor_linear


def test_error_is_that_of_the_singular_values_left_out() -> None:
    linear = nn.Linear(40, 30)
    values_S = torch.linalg.svdvals(linear.weight.detach())
    factored = factor_linear(linear, LowRankSpec(rank=5))
    assert isinstance(factored, LowRankLinear)
    change = (linear.weight - factored.dense_weight()).norm()
    torch.testing.assert_close(change, values_S[5:].square().sum().sqrt())  # Eckart-Young: no rank-5 matrix is nearer
    inputs = torch.randn(3, 40)
    torch.testing.assert_close(factored(inputs), inputs @ factored.dense_weight().T + linear.bias)


def test_energy_takes_the_least_rank_that_keeps_it() -> None:
    left, _ = torch.linalg.qr(torch.randn(32, 32))
    right, _ = torch.linalg.qr(torch.randn(32, 32))
    linear = nn.Linear(32, 32, bias=False)
    linear.weight.detach().copy_(left @ torch.diag(torch.tensor([4.0, 2.0, 1.0] + [0.0] * 29)) @ right)
    for energy, rank in ((0.7, 1), (0.9, 2), (0.99, 3)):  # 16/21 = .76, 20/21 = .95
        factored = factor_linear(linear, LowRankSpec(energy=energy))
        assert isinstance(factored, LowRankLinear)
        assert effective_weight(factored.down).shape[0] == rank


def test_layer_that_would_grow_is_left(model: PreTrainedModel, compress: Compress, samples_SC: torch.Tensor) -> None:
    before = logits_of(model, samples_SC)
    result = compress({"method": "low_rank", "rank": 32})
    assert torch.equal(logits_of(model, samples_SC), before)
    assert all(report.error == 0 and report.bytes_after == report.bytes_before for report in result.layers)


def test_factors_can_be_quantized(model: PreTrainedModel, compress: Compress) -> None:
    result = compress({"method": "low_rank", "rank": 8}, {"method": "rtn", "group_size": 8})
    assert {report.method for report in result.layers} == {"low_rank", "rtn"}
    assert result.bytes_after < 0.25 * result.bytes_before + embeddings_of(model).numel() * 4
    with pytest.raises(ValueError, match="either rank or energy"):
        LowRankSpec(rank=4, energy=0.5)

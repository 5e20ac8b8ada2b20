"""GPTQ and SparseGPT against the textbook: each column's correction by inverting the Hessian of those that remain."""

import pytest
import torch

from tests.runtime.compression.conftest import correlated_inputs
from workers.contract.compression.pruning import NMPattern, SparseGPTSpec, UnstructuredPattern
from workers.contract.compression.quantization import GPTQSpec
from workers.runtime.compression.integers import group_scales, round_to, to_real
from workers.runtime.compression.pruning.masks import lowest, lowest_per_row
from workers.runtime.compression.pruning.sparsegpt import prune_and_correct
from workers.runtime.compression.quantization.gptq import round_and_correct
from workers.runtime.compression.second_order import inverse_factor
from workers.runtime.compression.statistics import InputStatistics, output_error

ROWS, COLUMNS, DAMPING = 6, 32, 0.01


@pytest.fixture
def statistics() -> InputStatistics:
    known = InputStatistics(COLUMNS, torch.device("cpu"))
    for part in correlated_inputs(200, COLUMNS).split(64):
        known.add(part)
    return known


@pytest.fixture
def weight_OI() -> torch.Tensor:
    return torch.randn(ROWS, COLUMNS, generator=torch.Generator().manual_seed(5))


def _damped(hessian_II: torch.Tensor) -> torch.Tensor:
    hessian_II = hessian_II.double()
    return hessian_II + DAMPING * hessian_II.diagonal().mean() * torch.eye(COLUMNS, dtype=torch.float64)


def _spread_error(w_OI: torch.Tensor, column: int, wanted_O: torch.Tensor, hessian_II: torch.Tensor) -> None:
    """Set one column, and let those after it minimise the squared output error (optimal brain surgeon)."""
    inverse = torch.linalg.inv(hessian_II[column:, column:])
    step_O = (w_OI[:, column] - wanted_O) / inverse[0, 0]
    w_OI[:, column:] -= step_O[:, None] * inverse[0]
    w_OI[:, column] = wanted_O


def test_statistics_are_those_of_all_tokens_at_once(statistics: InputStatistics) -> None:
    inputs_TI = correlated_inputs(200, COLUMNS)
    torch.testing.assert_close(statistics.hessian_II, inputs_TI.T @ inputs_TI / 200, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(statistics.abs_mean_I, inputs_TI.abs().mean(dim=0))
    assert torch.equal(statistics.abs_max_I, inputs_TI.abs().amax(dim=0))


def test_output_error_is_that_of_the_outputs(statistics: InputStatistics, weight_OI: torch.Tensor) -> None:
    inputs_TI, changed_OI = correlated_inputs(200, COLUMNS), weight_OI + 0.1 * torch.randn(ROWS, COLUMNS)
    before, after = inputs_TI @ weight_OI.T, inputs_TI @ changed_OI.T
    expected = float((after - before).norm() / before.norm())
    assert output_error(weight_OI, changed_OI, statistics) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("block_size", [128, 8])
def test_gptq_is_the_textbook_whatever_the_block(
    statistics: InputStatistics, weight_OI: torch.Tensor, block_size: int
) -> None:
    spec = GPTQSpec(bits=4, group_size=0, damping=DAMPING, block_size=block_size)
    scale_OG = group_scales(weight_OI, bits=4, group_size=0)
    hessian_II, expected_OI = _damped(statistics.hessian_II), weight_OI.double().clone()
    for column in range(COLUMNS):
        wanted_O = round_to(expected_OI[:, [column]].float(), scale_OG, bits=4)[:, 0] * scale_OG[:, 0].double()
        _spread_error(expected_OI, column, wanted_O, hessian_II)
    rounded = round_and_correct(weight_OI, statistics.hessian_II, spec)
    torch.testing.assert_close(to_real(rounded.q_OI, rounded.scale_OG), expected_OI.float(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("group_size", [0, 8])
@pytest.mark.parametrize("block_size", [4, 12, 128])
def test_gptq_beats_rounding_on_correlated_inputs(
    statistics: InputStatistics, weight_OI: torch.Tensor, group_size: int, block_size: int
) -> None:
    spec = GPTQSpec(bits=4, group_size=group_size, block_size=block_size)
    scale_OG = group_scales(weight_OI, bits=4, group_size=group_size)
    plain_OI = to_real(round_to(weight_OI, scale_OG, bits=4), scale_OG)
    rounded = round_and_correct(weight_OI, statistics.hessian_II, spec)
    corrected_OI = to_real(rounded.q_OI, rounded.scale_OG)
    gptq, rtn = (output_error(weight_OI, after, statistics) for after in (corrected_OI, plain_OI))
    assert gptq < 0.8 * rtn


def test_gptq_does_not_depend_on_the_block(statistics: InputStatistics, weight_OI: torch.Tensor) -> None:
    # groups that begin in one block and end in another must see the corrections that are not written yet
    results = [
        round_and_correct(weight_OI, statistics.hessian_II, GPTQSpec(group_size=16, block_size=block_size))
        for block_size in (12, 128)
    ]
    torch.testing.assert_close(results[0].scale_OG, results[1].scale_OG, rtol=1e-4, atol=1e-5)
    assert float((results[0].q_OI != results[1].q_OI).float().mean()) < 0.02  # ties fall either way


def test_gptq_keeps_zeros_of_an_earlier_pruning(statistics: InputStatistics, weight_OI: torch.Tensor) -> None:
    mask_OI = lowest(weight_OI.abs(), 0.5)
    rounded = round_and_correct(weight_OI.masked_fill(mask_OI, 0), statistics.hessian_II, GPTQSpec(group_size=8))
    assert bool((rounded.q_OI[mask_OI] == 0).all())


def test_sparsegpt_is_the_textbook(statistics: InputStatistics, weight_OI: torch.Tensor) -> None:
    hessian_II, expected_OI = _damped(statistics.hessian_II), weight_OI.double().clone()
    own_I = torch.stack([torch.linalg.inv(hessian_II[j:, j:])[0, 0] for j in range(COLUMNS)])
    mask_OI = lowest(weight_OI.double().square() / own_I, 0.5)
    for column in range(COLUMNS):
        wanted_O = expected_OI[:, column].masked_fill(mask_OI[:, column], 0)
        _spread_error(expected_OI, column, wanted_O, hessian_II)
    pruned_OI = prune_and_correct(weight_OI, statistics.hessian_II, SparseGPTSpec(damping=DAMPING))
    torch.testing.assert_close(pruned_OI, expected_OI.float(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("pattern", [UnstructuredPattern(sparsity=0.5), NMPattern(n=2, m=4)])
@pytest.mark.parametrize("block_size", [8, 128])
def test_sparsegpt_beats_magnitude_at_exactly_the_same_sparsity(
    statistics: InputStatistics, weight_OI: torch.Tensor, pattern: UnstructuredPattern | NMPattern, block_size: int
) -> None:
    spec = SparseGPTSpec(pattern=pattern, block_size=block_size)
    pruned_OI = prune_and_correct(weight_OI, statistics.hessian_II, spec)
    assert int((pruned_OI == 0).sum()) == ROWS * COLUMNS // 2
    if isinstance(pattern, NMPattern):
        assert bool(((pruned_OI.view(-1, 4) == 0).sum(dim=1) == 2).all())
    plain_OI = weight_OI.masked_fill(lowest_per_row(weight_OI.abs(), pattern), 0)
    ours, plain = (output_error(weight_OI, after, statistics) for after in (pruned_OI, plain_OI))
    assert ours < 0.8 * plain


def test_dead_and_repeated_inputs_are_no_obstacle(weight_OI: torch.Tensor) -> None:
    inputs_TI = correlated_inputs(100, COLUMNS)
    inputs_TI[:, 3] = 0
    inputs_TI[:, 5] = inputs_TI[:, 4]
    known = InputStatistics(COLUMNS, torch.device("cpu"))
    known.add(inputs_TI)
    factor_II = inverse_factor(known.hessian_II, damping=1e-9)
    assert bool(torch.isfinite(factor_II).all())
    assert bool(torch.isfinite(prune_and_correct(weight_OI, known.hessian_II, SparseGPTSpec(damping=1e-9))).all())

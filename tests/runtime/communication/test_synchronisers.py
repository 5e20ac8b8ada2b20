"""Local training and asynchrony against their definitions, followed replica by replica in one process."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest
import torch
import torch.distributed as dist

from tests.runtime.communication import toy
from tests.runtime.communication.ranks import train_with
from tests.runtime.gloo import on_ranks
from workers.contract.communication import DeltaDtype, DiLoCo, HierarchicalAveraging, LocalSGD
from workers.runtime.communication.delayed import DelayedUpdate
from workers.runtime.communication.diloco import OuterOptimizer
from workers.runtime.communication.local_sgd import HierarchicalPeriodicAveraging, PeriodicAveraging, make_groups
from workers.runtime.communication.outer_delta import average_delta
from workers.runtime.communication.parameter_server import ParameterServer

pytestmark = pytest.mark.gloo

Trails = dict[str, list[torch.Tensor]]
DILOCO = DiLoCo(inner_steps=5, outer_learning_rate=0.7, outer_momentum=0.6)
POST_LOCAL = LocalSGD(period=4, warmup_steps=3)


def train_two() -> Trails:
    """Train once with each algorithm on two ranks; runs on both."""
    trails: Trails = {}
    for name, local in (("period 1", LocalSGD(period=1)), ("post-local", POST_LOCAL)):
        module = toy.model()
        trails[name] = train_with(PeriodicAveraging(module, local, total_steps=toy.STEPS), module)
    averaging = DiLoCo(inner_steps=1, outer_learning_rate=1.0, outer_momentum=0.0)
    for name, spec in (
        ("diloco as averaging", averaging),
        ("diloco", DILOCO),
        ("diloco fp16", DILOCO.model_copy(update={"delta_dtype": DeltaDtype.FP16})),
        ("diloco int8", DILOCO.model_copy(update={"delta_dtype": DeltaDtype.INT8})),
    ):
        module = toy.model()
        trails[name] = train_with(OuterOptimizer(module, spec, total_steps=toy.STEPS), module)
    module = toy.model()
    trails["delayed"] = train_with(DelayedUpdate(module, total_steps=toy.STEPS), module)
    trails["delayed, resumed"] = _delayed_in_two_halves()
    trails["together"] = [_together_within_a_round()]
    return trails


def _delayed_in_two_halves() -> list[torch.Tensor]:
    module = toy.model()
    first = DelayedUpdate(module, total_steps=toy.STEPS)
    trail = train_with(first, module, last=5)
    saved = {name: tensor.clone() for name, tensor in first.shared_state().items()}
    second = DelayedUpdate(module, total_steps=toy.STEPS)
    for name, tensor in second.shared_state().items():
        tensor.copy_(saved[name])
    return trail + train_with(second, module, first=6)


def _together_within_a_round() -> torch.Tensor:
    module = toy.model()
    local = PeriodicAveraging(module, LocalSGD(period=8), total_steps=toy.STEPS)
    own = train_with(local, module, last=3)[-1]
    with local.together(3):
        shared = toy.weights(module)
    assert torch.equal(toy.weights(module), own)
    return shared


@pytest.fixture(scope="module")
def trained() -> list[Trails]:
    """Results of both ranks."""
    return on_ranks(train_two, 2)


def _alone(
    world_size: int, after_step: Callable[[int, list[torch.Tensor]], list[torch.Tensor]], warmup: int = 0
) -> list[list[torch.Tensor]]:
    """Follow replicas that train alone in one process: weights by step and rank; ``after_step`` may replace them."""
    modules = [toy.model() for _ in range(world_size)]
    optimizers = [toy.sgd(module) for module in modules]
    trail = []
    for step in range(1, toy.STEPS + 1):
        grads = [toy.gradients(module, rank, step) for rank, module in enumerate(modules)]
        for module, optimizer, own in zip(modules, optimizers, grads, strict=True):
            toy.apply(module, optimizer, toy.mean(grads) if step <= warmup else own)
        replaced = after_step(step, [toy.weights(module) for module in modules])
        for module, vector in zip(modules, replaced, strict=True):
            torch.nn.utils.vector_to_parameters(vector.clone(), module.parameters())
        trail.append(replaced)
    return trail


def _mean(weights: list[torch.Tensor]) -> list[torch.Tensor]:
    return [torch.stack(weights).mean(dim=0)] * len(weights)


def _check(trained: list[Trails], name: str, expected: list[list[torch.Tensor]], tolerance: float = 1e-5) -> None:
    for rank, trails in enumerate(trained):
        for step, weights in enumerate(trails[name], start=1):
            torch.testing.assert_close(
                weights, expected[step - 1][rank], atol=tolerance, rtol=tolerance, msg=f"{name}, step {step}"
            )


def test_parity_local_sgd_with_period_1_is_ddp(trained: list[Trails]) -> None:
    for trails in trained:
        torch.testing.assert_close(trails["period 1"][-1], toy.synchronous(2), atol=1e-6, rtol=1e-5)


def test_parity_post_local_sgd_equals_its_definition(trained: list[Trails]) -> None:
    meetings = {7, 11, 12}  # every 4 steps after the third, and the last

    def after_step(step: int, weights: list[torch.Tensor]) -> list[torch.Tensor]:
        return _mean(weights) if step in meetings else weights

    _check(trained, "post-local", _alone(2, after_step, warmup=3))
    assert not torch.equal(trained[0]["post-local"][4], trained[1]["post-local"][4])


def test_parity_diloco_with_one_inner_step_and_no_momentum_is_averaging(trained: list[Trails]) -> None:
    _check(trained, "diloco as averaging", _alone(2, lambda step, weights: _mean(weights)))


def test_parity_diloco_equals_torchs_outer_optimizer(trained: list[Trails]) -> None:
    outer = torch.nn.Parameter(toy.weights(toy.model()))
    optimizer = torch.optim.SGD([outer], lr=0.7, momentum=0.6, nesterov=True)

    def after_step(step: int, weights: list[torch.Tensor]) -> list[torch.Tensor]:
        if step % 5 and step != toy.STEPS:
            return weights
        outer.grad = outer.detach() - _mean(weights)[0]
        optimizer.step()
        return [outer.detach().clone()] * len(weights)

    _check(trained, "diloco", _alone(2, after_step))


@pytest.mark.parametrize(("dtype", "tolerance"), [("fp16", 2e-4), ("int8", 5e-3)])
def test_parity_diloco_with_small_deltas_stays_close_to_whole_ones(
    trained: list[Trails], dtype: str, tolerance: float
) -> None:
    last = trained[0][f"diloco {dtype}"][-1]
    assert torch.equal(last, trained[1][f"diloco {dtype}"][-1])
    torch.testing.assert_close(last, trained[0]["diloco"][-1], atol=tolerance, rtol=0)
    assert not torch.equal(last, trained[0]["diloco"][-1])


def test_parity_delayed_update_equals_its_definition(trained: list[Trails]) -> None:
    module = toy.model()
    optimizer = toy.sgd(module)
    waiting: list[torch.Tensor] = []
    expected = []
    for step in range(1, toy.STEPS + 1):
        fresh = toy.mean([toy.gradients(module, rank, step) for rank in range(2)])
        if waiting:
            toy.apply(module, optimizer, waiting)
        waiting = fresh
        if step == toy.STEPS:
            toy.apply(module, optimizer, waiting)
        expected.append([toy.weights(module)] * 2)
    _check(trained, "delayed", expected)


def test_delayed_gradient_survives_a_checkpoint(trained: list[Trails]) -> None:
    for trails in trained:
        for resumed, unbroken in zip(trails["delayed, resumed"], trails["delayed"], strict=True):
            assert torch.equal(resumed, unbroken)


def test_within_a_round_the_model_can_hold_the_mean_of_all_ranks(trained: list[Trails]) -> None:
    expected = _mean(_alone(2, lambda step, weights: weights)[2])[0]
    torch.testing.assert_close(trained[0]["together"][0], expected, atol=1e-6, rtol=1e-5)
    assert torch.equal(trained[0]["together"][0], trained[1]["together"][0])


@pytest.mark.parametrize("name", ["post-local", "diloco", "diloco int8", "delayed"])
def test_convergence_is_that_of_ddp_within_a_tenth(trained: list[Trails], name: str) -> None:
    start = toy.held_out(toy.weights(toy.model()))
    ddp = toy.held_out(toy.synchronous(2))
    assert ddp < start
    assert toy.held_out(trained[0][name][-1]) - ddp < 0.1 * ddp


def train_four() -> tuple[list[torch.Tensor], list[float]]:
    """Hierarchical averaging on four ranks, and how much a rounded mean loses; runs on every rank."""
    module = toy.model()
    spec = HierarchicalAveraging(period=2, global_period=6, group_size=2)
    local = HierarchicalPeriodicAveraging(module, spec, group=make_groups(2), total_steps=toy.STEPS)
    trail = train_with(local, module)
    errors = []
    for dtype in (DeltaDtype.FP16, DeltaDtype.INT8):
        generator = torch.Generator().manual_seed(dist.get_rank())
        delta = torch.randn(3000, generator=generator)
        residual = torch.randn(3000, generator=generator) / 100
        owed = delta + residual
        mean = average_delta(delta, residual, dtype)
        dist.all_reduce(owed)
        dist.all_reduce(residual)
        errors.append(float((owed / 4 - residual / 4 - mean).abs().max()))
        errors.append(float((owed / 4 - mean).abs().max()))
    return trail, errors


@pytest.fixture(scope="module")
def trained_by_four() -> list[tuple[list[torch.Tensor], list[float]]]:
    """Results of all ranks."""
    return on_ranks(train_four, 4)


def test_parity_hierarchical_averaging_equals_its_definition(
    trained_by_four: list[tuple[list[torch.Tensor], list[float]]],
) -> None:
    def after_step(step: int, weights: list[torch.Tensor]) -> list[torch.Tensor]:
        if step % 6 == 0:
            return _mean(weights)
        return _mean(weights[:2]) + _mean(weights[2:]) if step % 2 == 0 else weights

    expected = _alone(4, after_step)
    for rank, (trail, _) in enumerate(trained_by_four):
        for step, weights in enumerate(trail):
            torch.testing.assert_close(weights, expected[step][rank], atol=1e-5, rtol=1e-5)


def test_what_rounding_loses_of_a_mean_is_in_the_residuals(
    trained_by_four: list[tuple[list[torch.Tensor], list[float]]],
) -> None:
    for _, (unaccounted_fp16, lost_fp16, unaccounted_int8, lost_int8) in trained_by_four:
        assert unaccounted_fp16 < 1e-6 < lost_fp16 < 2e-3
        assert unaccounted_int8 < 1e-6 < lost_int8 < 0.03


def serve(staleness: int, slow_rank: int) -> tuple[torch.Tensor, list[float]]:
    """Train with a parameter server and AdamW; return the server's weights at the end, and the ages seen."""
    module = toy.model()
    server = ParameterServer(module, staleness=staleness, timeout=timedelta(seconds=60))
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.01)  # over the server's weights, on rank 0
    server.begin(lambda step: optimizer.step() and None, 0)
    ages = []
    gate = dist.distributed_c10d._get_default_store()
    for step in range(1, toy.STEPS + 1):
        if dist.get_rank() == slow_rank and step == 4:
            gate.wait(["ahead"])  # until the others have run into the bound
        loss = toy.loss(server.replica, dist.get_rank(), step)
        loss.backward()
        if dist.get_rank() != slow_rank and step == 3 + staleness:
            gate.set("ahead", "1")
        assert not list(server.updates(step, loss.detach()))
        ages.append(server.metrics()["staleness"])
        assert server.mean_loss(step, loss) is not None or step <= staleness
    server.meet(toy.STEPS)
    result = toy.weights(server.replica)
    assert torch.equal(result, toy.weights(module))
    server.close()
    return result, ages


def adamw(module: torch.nn.Module) -> torch.optim.Optimizer:
    """The optimizer of ``serve``."""
    return torch.optim.AdamW(module.parameters(), lr=0.01)


def test_parity_parameter_server_without_staleness_is_ddp() -> None:
    for weights, ages in on_ranks(partial(serve, 0, 1), 2):
        torch.testing.assert_close(weights, toy.synchronous(2, make=adamw), atol=1e-5, rtol=1e-5)
        assert ages == [0.0] * toy.STEPS


def test_parameter_server_lets_nobody_further_ahead_than_the_bound_and_converges() -> None:
    (weights, ages), (other, slow_ages) = on_ranks(partial(serve, 2, 1), 2)
    assert torch.equal(weights, other)
    assert max(ages) == 2
    assert all(0 <= age <= 2 for age in ages + slow_ages)
    start = toy.held_out(toy.weights(toy.model()))
    ddp = toy.held_out(toy.synchronous(2, make=adamw))
    assert ddp < start
    assert toy.held_out(weights) - ddp < 0.1 * ddp

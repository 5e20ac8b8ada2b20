"""Compressed gradients against their definitions, followed replica by replica in one process."""

import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from tests.runtime.communication import toy
from tests.runtime.communication.ranks import train_with_hook
from tests.runtime.gloo import on_ranks
from workers.contract.communication import PowerSGDCompression, TopKCompression
from workers.runtime.communication.casts import CastHook
from workers.runtime.communication.powersgd import PowerSGDHook
from workers.runtime.communication.topk import TopKHook

pytestmark = pytest.mark.gloo

WORLD_SIZE = 2
POWERSGD = PowerSGDCompression(rank=2, start_step=3)
SPARSE = TopKCompression(ratio=0.25)
FORGETFUL = TopKCompression(ratio=0.25, error_feedback=False)
Weights = dict[str, torch.Tensor]


def train_all() -> Weights:
    """Train once with each hook; runs on every rank."""
    result: Weights = {}
    for name, dtype in (("fp16", torch.float16), ("bf16", torch.bfloat16)):
        result[name] = train_with_hook(CastHook(dtype), toy.model())
    module = toy.model()
    hook = PowerSGDHook(dict(module.named_parameters()), POWERSGD, seed=7)
    result["q"] = next(iter(hook.shared_state().values())).clone()
    result["powersgd"] = train_with_hook(hook, module)
    for key, tensor in (hook.shared_state() | hook.rank_state()).items():
        result[key] = tensor
    for name, spec in (("whole", TopKCompression(ratio=1.0)), ("sparse", SPARSE), ("forgetful", FORGETFUL)):
        module = toy.model()
        topk = TopKHook(dict(module.named_parameters()), spec)
        result[name] = train_with_hook(topk, module)
        result |= {f"{name}.{key}": tensor for key, tensor in topk.rank_state().items()}
    module = toy.model()
    wrapped = DistributedDataParallel(module)
    optimizer = toy.sgd(module)
    for step in range(1, toy.STEPS + 1):
        optimizer.zero_grad()
        toy.loss(wrapped, dist.get_rank(), step).backward()
        optimizer.step()
    result["ddp"] = toy.weights(module)
    return result


@pytest.fixture(scope="module")
def trained() -> list[Weights]:
    """Results of both ranks."""
    return on_ranks(train_all, WORLD_SIZE)


@pytest.mark.parametrize(("name", "tolerance"), [("fp16", 2e-3), ("bf16", 2e-2)])
def test_parity_cast_gradients_train_like_ddp_within_their_precision(
    trained: list[Weights], name: str, tolerance: float
) -> None:
    assert torch.equal(trained[0][name], trained[1][name])
    torch.testing.assert_close(trained[0][name], trained[0]["ddp"], atol=tolerance, rtol=0)
    assert not torch.equal(trained[0][name], trained[0]["ddp"])


def test_parity_topk_that_keeps_everything_is_ddp(trained: list[Weights]) -> None:
    torch.testing.assert_close(trained[0]["whole"], trained[0]["ddp"], atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(trained[0]["ddp"], toy.synchronous(WORLD_SIZE), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("spec", [SPARSE, FORGETFUL], ids=["sparse", "forgetful"])
def test_parity_topk_equals_its_definition(trained: list[Weights], spec: TopKCompression) -> None:
    owed = [[torch.zeros_like(parameter) for parameter in toy.model().parameters()] for _ in range(WORLD_SIZE)]

    def combine(step: int, grads: list[list[torch.Tensor]]) -> list[torch.Tensor]:
        sent: list[list[torch.Tensor]] = [[] for _ in grads]
        for rank, own in enumerate(grads):
            for index, grad in enumerate(own):
                whole = grad + owed[rank][index]
                threshold = whole.abs().flatten().sort(descending=True).values[max(1, round(0.25 * grad.numel())) - 1]
                sent[rank].append(torch.where(whole.abs() >= threshold, whole, 0))
                if spec.error_feedback:
                    owed[rank][index] = whole - sent[rank][-1]
        return toy.mean(sent)

    name = "sparse" if spec.error_feedback else "forgetful"
    expected = toy.synchronous(WORLD_SIZE, combine=combine)
    torch.testing.assert_close(trained[0][name], expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(trained[0][name], trained[1][name])
    for rank, result in enumerate(trained):
        residuals = [tensor for key, tensor in result.items() if key.startswith(f"{name}.topk.error")]
        assert len(residuals) == (4 if spec.error_feedback else 0)
        for residual, expected_residual in zip(residuals, owed[rank], strict=False):
            torch.testing.assert_close(residual, expected_residual, atol=1e-5, rtol=1e-5)


def test_parity_powersgd_equals_its_definition(trained: list[Weights]) -> None:
    # Both matrices are worth it at rank 2: (16 + 12) * 2 < 192 and (4 + 16) * 2 < 64; the biases are vectors.
    errors = {index: [torch.zeros(shape)] * WORLD_SIZE for index, shape in ((0, (16, 12)), (2, (4, 16)))}
    generator = torch.Generator().manual_seed(7)
    factors = {index: torch.randn(columns, 2, generator=generator) for index, columns in ((0, 12), (2, 16))}
    assert torch.equal(factors[0], trained[0]["q"])

    def combine(step: int, grads: list[list[torch.Tensor]]) -> list[torch.Tensor]:
        result = toy.mean(grads)
        if step <= POWERSGD.start_step:
            return result
        for index, q in factors.items():
            matrices = [own[index] + error for own, error in zip(grads, errors[index], strict=True)]
            average = torch.stack(matrices).mean(dim=0)
            p, _ = torch.linalg.qr(average @ q)
            factors[index] = average.t() @ p
            result[index] = p @ factors[index].t()
            errors[index] = [matrix - result[index] for matrix in matrices]
        return result

    expected = toy.synchronous(WORLD_SIZE, combine=combine)
    torch.testing.assert_close(trained[0]["powersgd"], expected, atol=1e-4, rtol=1e-4)
    assert torch.equal(trained[0]["powersgd"], trained[1]["powersgd"])
    for rank, result in enumerate(trained):
        for index, name in ((0, "0.weight"), (2, "2.weight")):
            torch.testing.assert_close(result[f"powersgd.error.{name}"], errors[index][rank], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["powersgd", "sparse"])
def test_compressed_training_converges_with_ddp(trained: list[Weights], name: str) -> None:
    start = toy.held_out(toy.weights(toy.model()))
    ddp, compressed = toy.held_out(trained[0]["ddp"]), toy.held_out(trained[0][name])
    assert compressed < start - 0.5 * (start - ddp)

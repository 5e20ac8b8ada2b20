"""Averages of the weights against torch's own."""

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tests.runtime.communication import toy
from workers.contract.communication import EMA, SWA
from workers.runtime.communication.weight_averaging import WeightAverage


def _train(average: WeightAverage, module: torch.nn.Module, reference: AveragedModel, turns: set[int]) -> None:
    optimizer = toy.sgd(module)
    for step in range(1, 41):
        toy.apply(module, optimizer, toy.gradients(module, 0, step))
        average.after_step(step)
        if step in turns:
            reference.update_parameters(module)


def test_parity_swa_equals_torchs_averaged_model() -> None:
    module = toy.model()
    average = WeightAverage(module, SWA(start_pct=50, every_steps=6), total_steps=40)
    reference = AveragedModel(module)
    _train(average, module, reference, {26, 32, 38, 40})
    own = toy.weights(module)
    with average.in_place():
        torch.testing.assert_close(toy.weights(module), toy.weights(reference.module), atol=1e-6, rtol=1e-6)
    assert torch.equal(toy.weights(module), own)


def test_parity_ema_equals_torchs_once_its_decay_is_grown() -> None:
    module = toy.model()
    average = WeightAverage(module, EMA(decay=0.1), total_steps=40)  # 0.1 <= (1 + count) / (10 + count) from the start
    reference = AveragedModel(module, multi_avg_fn=get_ema_multi_avg_fn(0.1))
    reference.update_parameters(module)  # torch's starts with the first weights it is given
    _train(average, module, reference, set(range(1, 41)))
    with average.in_place():
        torch.testing.assert_close(toy.weights(module), toy.weights(reference.module), atol=1e-6, rtol=1e-6)


def test_initial_weights_do_not_weigh_on_a_short_run() -> None:
    module = toy.model()
    start = toy.weights(module)
    average = WeightAverage(module, EMA(decay=0.999), total_steps=40)
    optimizer = toy.sgd(module)
    for step in range(1, 41):
        toy.apply(module, optimizer, toy.gradients(module, 0, step))
        average.after_step(step)
    last = toy.weights(module)
    with average.in_place():
        averaged = toy.weights(module)
    assert (averaged - last).norm() < 0.5 * (start - last).norm()


def test_average_goes_on_from_its_state() -> None:
    module = toy.model()
    first = WeightAverage(module, EMA(decay=0.9), total_steps=40)
    reference = WeightAverage(module, EMA(decay=0.9), total_steps=40)
    optimizer = toy.sgd(module)
    for step in range(1, 21):
        toy.apply(module, optimizer, toy.gradients(module, 0, step))
        first.after_step(step)
        reference.after_step(step)
    second = WeightAverage(module, EMA(decay=0.9), total_steps=40)
    saved = {name: tensor.clone() for name, tensor in first.shared_state().items()}
    for name, tensor in second.shared_state().items():
        tensor.copy_(saved[name])
    toy.apply(module, optimizer, toy.gradients(module, 0, 21))
    for average in (second, reference):
        average.after_step(21)
    for name, tensor in reference.shared_state().items():
        assert torch.equal(tensor, second.shared_state()[name]), name

"""AdamW as the spec means it."""

import pytest
import torch
from torch import nn

from workers.contract.training import AdamWSpec
from workers.runtime.optimizer import clip_gradients, make_optimizer, named_state, set_learning_rate


def _model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))


def test_only_matrices_are_decayed() -> None:
    model = _model()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimizer = make_optimizer(model, AdamWSpec(learning_rate=0.1, weight_decay=0.5))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in model.named_parameters():
        expected = before[name] * 0.95 if parameter.ndim == 2 else before[name]
        torch.testing.assert_close(parameter.detach(), expected)


def test_first_step_is_the_sign_of_the_gradient_times_the_rate() -> None:
    model = _model()
    optimizer = make_optimizer(model, AdamWSpec(learning_rate=1.0, weight_decay=0.0))
    set_learning_rate(optimizer, 0.01)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, -3.0)
    optimizer.step()
    for old, parameter in zip(before, model.parameters(), strict=True):
        torch.testing.assert_close(parameter.detach(), old + 0.01)


def test_state_by_name_is_live_and_complete() -> None:
    model = _model()
    optimizer = make_optimizer(model, AdamWSpec())
    state = named_state(model.named_parameters(), optimizer)
    assert len(state) == 3 * len(list(model.parameters()))
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    assert state["0.weight.step"] == 1
    assert state["0.weight.exp_avg"].abs().sum() > 0


@pytest.mark.parametrize(("max_norm", "after"), [(1.0, 1.0), (0.0, 12.0), (100.0, 12.0)])
def test_gradients_are_clipped_to_the_global_norm_unless_it_is_0(max_norm: float, after: float) -> None:
    parameter = nn.Parameter(torch.zeros(4, 4))
    model = nn.ParameterList([parameter])
    parameter.grad = torch.full((4, 4), 3.0)
    assert float(clip_gradients(model, max_norm)) == pytest.approx(12.0)
    assert float(parameter.grad.norm()) == pytest.approx(after, rel=1e-4)

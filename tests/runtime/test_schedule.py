"""Learning rate schedules."""

from typing import Any

import pytest

from workers.contract.training import TrainSpec
from workers.runtime.schedule import learning_rate


def _spec(**schedule: Any) -> TrainSpec:
    return TrainSpec.model_validate(
        {"data": {"dataset": "x"}, "steps": 100, "optimizer": {"learning_rate": 0.01}, "schedule": schedule}
    )


def test_cosine_warms_up_peaks_and_ends_at_its_final_share() -> None:
    spec = _spec(kind="cosine", warmup_steps=10, final_ratio=0.1)
    assert learning_rate(spec, 1) == pytest.approx(0.001)
    assert learning_rate(spec, 10) == pytest.approx(0.01)
    assert learning_rate(spec, 55) == pytest.approx(0.0055)
    assert learning_rate(spec, 100) == pytest.approx(0.001)


def test_wsd_is_flat_until_its_linear_decay() -> None:
    spec = _spec(kind="wsd", warmup_steps=10, decay_ratio=0.2, final_ratio=0.0)
    assert learning_rate(spec, 5) == pytest.approx(0.005)
    assert {learning_rate(spec, step) for step in range(10, 81)} == {0.01}
    assert learning_rate(spec, 90) == pytest.approx(0.005)
    assert learning_rate(spec, 100) == 0.0


@pytest.mark.parametrize("kind", ["cosine", "wsd"])
def test_warm_up_longer_than_the_run_never_peaks(kind: str) -> None:
    spec = _spec(kind=kind, warmup_steps=200)
    rates = [learning_rate(spec, step) for step in range(1, 101)]
    assert rates == sorted(rates)
    assert rates[-1] == pytest.approx(0.005)


@pytest.mark.parametrize("schedule", [{"kind": "cosine", "warmup_steps": 0}, {"kind": "wsd", "warmup_steps": 0}])
def test_no_warm_up_begins_near_the_peak(schedule: dict[str, Any]) -> None:
    assert learning_rate(_spec(**schedule), 1) == pytest.approx(0.01, rel=1e-3)


def test_rates_are_never_negative_and_never_above_the_peak() -> None:
    for schedule in ({"kind": "cosine"}, {"kind": "wsd", "decay_ratio": 1.0}, {"kind": "wsd", "decay_ratio": 0.0}):
        spec = _spec(**schedule)
        assert all(0 <= learning_rate(spec, step) <= 0.01 for step in range(1, 101))

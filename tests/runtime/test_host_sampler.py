"""What the host reports beside the training."""

import pytest

from tests.runtime.ranks import Launcher, tiny_train_spec
from workers.contract.run import MetricsEvent
from workers.runtime.host_sampler import sample_host


def test_sample_has_load_and_memory() -> None:
    values = sample_host()
    assert 0 <= values["host/cpu_pct"] <= 100
    assert 0 < values["host/memory_pct"] <= 100
    assert values["host/memory_used_gib"] > 0
    assert 0 < values["host/process_memory_gib"] < values["host/memory_used_gib"] + 1


@pytest.mark.gloo
def test_one_rank_of_the_node_samples_while_it_trains(launcher: Launcher) -> None:
    run = launcher.start(tiny_train_spec(steps=100_000, checkpoint={"every_steps": 100_000}), world_size=2)
    while not run.series("host/cpu_pct"):
        run.await_step(1)
    for rank in (0, 1):
        run.kill(rank)
    run.wait()
    sampled = [event for event in run.events(0) if isinstance(event, MetricsEvent) and "host/cpu_pct" in event.values]
    assert all("loss" not in event.values for event in sampled)
    assert run.series("host/cpu_pct", rank=1) == {}

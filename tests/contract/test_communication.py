"""Methods of communication that cannot work are refused before anything starts, with the reason."""

from typing import Any

import pytest
from pydantic import ValidationError

from workers.contract.distribution import DistributionError
from workers.contract.training import TrainSpec, check_distribution


def spec(communication: dict[str, Any], **changes: Any) -> TrainSpec:
    """A spec with the method."""
    distribution = {"communication": communication} | changes.pop("distribution", {})
    return TrainSpec.model_validate(
        {"data": {"dataset": "corpus"}, "steps": 100, "distribution": distribution} | changes
    )


@pytest.mark.parametrize(
    ("communication", "distribution", "ranks", "reason"),
    [
        ({"kind": "fp16"}, {}, 1, "has only one"),
        ({"kind": "powersgd"}, {"data_parallel": {"kind": "fsdp"}}, 2, "use data_parallel.kind=ddp"),
        ({"kind": "topk"}, {"data_parallel": {"kind": "zero1"}}, 2, "use data_parallel.kind=ddp"),
        ({"kind": "diloco"}, {"mesh": {"tp": 2}}, 4, "tp=2 and pp=1 must be 1"),
        ({"kind": "parameter_server"}, {"mesh": {"pp": 2}}, 4, "tp=1 and pp=2 must be 1"),
        ({"kind": "diloco", "inner_steps": 101}, {}, 2, "inner_steps=101 is longer than the run's 100 steps"),
        ({"kind": "local_sgd", "period": 20, "warmup_steps": 90}, {}, 2, "100 steps less warmup_steps=90"),
        ({"kind": "hierarchical", "group_size": 3}, {}, 4, "group_size=3 must divide the job's 4 ranks"),
        ({"kind": "hierarchical", "group_size": 4}, {}, 4, "several groups of several ranks"),
        ({"kind": "powersgd", "start_step": 100}, {}, 2, "start_step=100 leaves none of the 100 steps"),
    ],
)
def test_method_that_cannot_work_is_refused_with_the_reason(
    communication: dict[str, Any], distribution: dict[str, Any], ranks: int, reason: str
) -> None:
    with pytest.raises(DistributionError, match=reason) as caught:
        check_distribution(spec(communication, distribution=distribution), world_size=ranks)
    assert caught.value.field == "distribution.communication"


@pytest.mark.parametrize(
    "kind", ["fp16", "bf16", "powersgd", "topk", "local_sgd", "diloco", "delayed", "parameter_server"]
)
def test_method_with_its_defaults_fits_two_ranks_under_ddp(kind: str) -> None:
    assert check_distribution(spec({"kind": kind}), world_size=2).dp == 2


def test_weights_that_differ_between_ranks_are_not_averaged_over_time() -> None:
    averaging = {"kind": "adamw", "weight_averaging": {"kind": "ema"}}
    with pytest.raises(ValidationError, match="drop one of the two"):
        spec({"kind": "local_sgd"}, optimizer=averaging)
    assert spec({"kind": "delayed"}, optimizer=averaging).optimizer.weight_averaging.kind == "ema"

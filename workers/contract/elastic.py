"""How many nodes an elastic job may have, and how each size draws the same global batch.

The contract of the batch: ``micro_batch_size``, ``gradient_accumulation`` and ``nodes`` of a submission name the passes
of one step, ``gradient_accumulation x nodes`` a slot. An attempt on another number of nodes shares the same passes out
over its own, so every step takes the same samples, the learning rate schedule means the same, and the loss differs by
the order of sums alone. A number of nodes that does not divide the passes is not one the job can have.
"""

from typing import TypeVar

from workers.contract.base import ContractModel
from workers.contract.jobs import Resources
from workers.contract.training import TrainSpec

SpecT = TypeVar("SpecT", bound=ContractModel)


class UnevenShare(ValueError):  # noqa: N818  named for what happened
    """The passes of a step do not share out over the nodes that ``field`` of the resources names."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def node_counts(resources: Resources, spec: ContractModel) -> tuple[int, ...]:
    """Return the numbers of nodes the job may have, fewest first.

    Raises:
        UnevenShare: with ``min_nodes`` or ``max_nodes`` the global batch could not be kept.
    """
    for name, count in (("min_nodes", resources.min_nodes), ("max_nodes", resources.max_nodes)):
        if count is not None and not _shares_out(spec, resources.nodes, count):
            assert isinstance(spec, TrainSpec)
            passes = spec.gradient_accumulation * resources.nodes
            raise UnevenShare(
                name,
                f"{name}={count} does not divide the {passes} passes of a step (gradient_accumulation="
                f"{spec.gradient_accumulation} x nodes={resources.nodes}), so the global batch could not be kept; "
                f"possible: {', '.join(map(str, _divisors(passes, resources)))}",
            )
    return tuple(
        count for count in range(resources.fewest, resources.most + 1) if _shares_out(spec, resources.nodes, count)
    )


def spec_on(spec: SpecT, *, nodes: int, num_nodes: int) -> SpecT:
    """Return the spec as an attempt on ``num_nodes`` runs it; ``nodes`` is the size it was written for."""
    if not isinstance(spec, TrainSpec) or num_nodes == nodes:
        return spec
    passes = spec.gradient_accumulation * nodes
    assert passes % num_nodes == 0, "only sizes that share the passes out are placed"
    return spec.model_copy(update={"gradient_accumulation": passes // num_nodes})


def _shares_out(spec: ContractModel, nodes: int, count: int) -> bool:
    return not isinstance(spec, TrainSpec) or (spec.gradient_accumulation * nodes) % count == 0


def _divisors(passes: int, resources: Resources) -> list[int]:
    """Sizes that would do, at most eight, those near what was asked."""
    most = max(resources.most, resources.nodes)
    return [count for count in range(1, min(passes, most) + 1) if passes % count == 0][-8:]

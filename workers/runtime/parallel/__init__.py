"""Parallel strategies, one module each, applied to a single-device model from outside."""

from collections.abc import Callable

import torch
from transformers import PreTrainedModel

from workers.contract.distribution import FSDP, DistributionError
from workers.contract.training import TrainSpec, check_distribution
from workers.runtime.context import RankContext
from workers.runtime.errors import UserError
from workers.runtime.parallel import ddp, fsdp, passes, pipeline, tensor, zero1
from workers.runtime.parallel.assembly import Assembly
from workers.runtime.parallel.communication import averaged_weights, communicating
from workers.runtime.parallel.distillation.passes import learn_from_teacher
from workers.runtime.parallel.distillation.teacher import teacher_of
from workers.runtime.parallel.execution import Execution
from workers.runtime.parallel.extension import Extension
from workers.runtime.parallel.mesh import make_mesh
from workers.runtime.parallel.parts import ModelParts
from workers.runtime.parallel.plans import is_tied, shape_of
from workers.runtime.timing import StepTimer

__all__ = ["Execution", "parallelise"]


def _place(assembly: Assembly) -> None:
    """Bring to the device what no strategy has brought there piece by piece."""
    if not assembly.is_placed:
        for part in assembly.parts.modules:
            part.to(assembly.device)


def _prepare_extensions(assembly: Assembly) -> None:
    for extension in assembly.extensions:
        extension.prepare(assembly)


STRATEGIES: tuple[Callable[[Assembly], None], ...] = (
    pipeline.cut_depth,  # first: the rest is done to what is left of the model
    tensor.split_layers,
    fsdp.shard,  # after tp: it shards what tp has left on each rank
    _place,
    _prepare_extensions,
    ddp.replicate,
    zero1.own_optimizer_state,
    pipeline.run_stages,
    learn_from_teacher,
    passes.run_whole,
)
"""What is done to a model, in this order; each looks at the spec and does nothing where it is not asked for."""

EXTENSIONS: tuple[Callable[[TrainSpec, RankContext], Extension | None], ...] = (
    teacher_of,
    communicating,
    averaged_weights,
)
"""What takes part in each step, in this order; each returns None where the spec does not ask for it."""


def parallelise(
    spec: TrainSpec,
    context: RankContext,
    model: PreTrainedModel,
    *,
    dtype: torch.dtype,
    timer: StepTimer,
    on_last_bucket: Callable[[], None],
) -> Execution:
    """Spread the model over the ranks; a collective. ``model`` may be on the CPU, and is not to be called any more.

    Raises:
        UserError: the distribution does not fit the ranks or the model.
    """
    try:
        degrees = check_distribution(spec, world_size=context.env.world_size, shape=shape_of(model))
    except DistributionError as error:
        raise UserError(f"{error.field}: {error}") from error
    is_sharded = isinstance(spec.distribution.data_parallel, FSDP)
    assembly = Assembly(
        spec=spec,
        mesh=make_mesh(degrees, rank=context.env.rank, device=context.device, is_sharded=is_sharded),
        device=context.device,
        dtype=dtype,
        model=model,
        parts=ModelParts((model,)),
        timer=timer,
        on_last_bucket=on_last_bucket,
        is_tied=is_tied(model),
        extensions=tuple(each for make in EXTENSIONS if (each := make(spec, context)) is not None),
    )
    for strategy in STRATEGIES:
        strategy(assembly)
    return Execution(assembly)

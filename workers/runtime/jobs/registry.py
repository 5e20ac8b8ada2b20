"""The table from a spec's type to the function that runs it."""

from collections.abc import Callable
from typing import TypeVar

from workers.contract.base import ContractModel
from workers.contract.jobs import JOB_KINDS, AnySpec
from workers.runtime.context import JobEnd, RankContext

SpecT = TypeVar("SpecT", bound=ContractModel)

HANDLERS: dict[type[ContractModel], Callable[..., JobEnd]] = {}


def register(
    spec_type: type[SpecT],
) -> Callable[[Callable[[SpecT, RankContext], JobEnd]], Callable[[SpecT, RankContext], JobEnd]]:
    """Make the decorated function the handler of ``spec_type``.

    Raises:
        ValueError: the type is no member of the contract's union, or has a handler already.
    """
    if spec_type not in JOB_KINDS.values() or spec_type in HANDLERS:
        raise ValueError(f"{spec_type.__name__} cannot be registered")

    def decorate(handler: Callable[[SpecT, RankContext], JobEnd]) -> Callable[[SpecT, RankContext], JobEnd]:
        HANDLERS[spec_type] = handler
        return handler

    return decorate


def run_job(spec: AnySpec, context: RankContext) -> JobEnd:
    """Run the handler of the spec's kind on this rank."""
    return HANDLERS[type(spec)](spec, context)

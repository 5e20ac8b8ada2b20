"""The table from a step's spec to the function that applies it."""

from collections.abc import Callable
from typing import TypeVar

from workers.contract.base import ContractModel
from workers.runtime.compression.session import Session

StepT = TypeVar("StepT", bound=ContractModel)
Method = Callable[[Session, StepT], None]

METHODS: dict[type[ContractModel], Callable[..., None]] = {}


def register(spec_type: type[StepT]) -> Callable[[Method[StepT]], Method[StepT]]:
    """Make the decorated function the method of ``spec_type``.

    Raises:
        ValueError: the type has a method already.
    """
    if spec_type in METHODS:
        raise ValueError(f"{spec_type.__name__} has a method already")

    def decorate(method: Method[StepT]) -> Method[StepT]:
        METHODS[spec_type] = method
        return method

    return decorate

"""What forbids deleting a dataset. Apps above this one register it in their ``AppConfig.ready``.

So the dataset need not know who uses it: model versions are made of it, jobs train on it.
"""

from collections.abc import Callable

from apps.datasets.models import Dataset

ReferenceCheck = Callable[[Dataset], str]
"""Says in one sentence what living thing refers to the dataset; empty when nothing does."""

_CHECKS: list[ReferenceCheck] = []


def refuse_deletion_while(check: ReferenceCheck) -> None:
    """Forbid deleting a dataset while ``check`` names something."""
    if check not in _CHECKS:
        _CHECKS.append(check)


def what_refers_to(dataset: Dataset) -> list[str]:
    """Return one sentence for each kind of thing that refers to the dataset."""
    return [sentence for check in _CHECKS if (sentence := check(dataset))]

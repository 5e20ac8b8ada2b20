"""What forbids deleting a model version. Apps above this one register it in their ``AppConfig.ready``.

So the registry need not know who uses a version: jobs start from it, others serve it.
"""

from collections.abc import Callable

from apps.model_registry.models import ModelVersion

ReferenceCheck = Callable[[ModelVersion], str]
"""Says in one sentence what living thing refers to the version; empty when nothing does."""

_CHECKS: list[ReferenceCheck] = []


def refuse_deletion_while(check: ReferenceCheck) -> None:
    """Forbid deleting a version while ``check`` names something."""
    if check not in _CHECKS:
        _CHECKS.append(check)


def what_refers_to(version: ModelVersion) -> list[str]:
    """Return one sentence for each kind of thing that refers to the version."""
    return [sentence for check in _CHECKS if (sentence := check(version))]

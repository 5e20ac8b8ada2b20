"""Stored specs of older versions, brought to the current one before they are validated.

A spec that is stored today must run again in years. When a spec changes incompatibly its ``version``
counts up and a function that lifts the old document is added to ``_UPGRADES``.
"""

from collections.abc import Callable
from typing import Any

from workers.contract.jobs import JOB_SPEC_ADAPTER, AnySpec

Document = dict[str, Any]  # JSON as stored: its shape is known only after validation

_UPGRADES: dict[tuple[str, int], Callable[[Document], Document]] = {}


def upgrade(document: Document) -> Document:
    """Lift a stored spec document, one version at a time."""
    while (step := _UPGRADES.get((document.get("kind", ""), document.get("version", 1)))) is not None:
        document = step(document)
    return document


def load_spec(document: Document) -> AnySpec:
    """Validate a stored or submitted spec, whatever its version.

    Raises:
        pydantic.ValidationError: with the path of each field that is wrong.
    """
    return JOB_SPEC_ADAPTER.validate_python(upgrade(document))

"""The table of job kinds."""

import pytest

from workers.contract.jobs import JOB_KINDS
from workers.contract.scripting import ScriptSpec
from workers.contract.training import TrainSpec
from workers.runtime.jobs import HANDLERS
from workers.runtime.jobs.registry import register


def test_every_kind_of_the_contract_has_a_handler_and_no_other() -> None:
    """But a script, which is a program of its own."""
    assert set(HANDLERS) == set(JOB_KINDS.values()) - {ScriptSpec}


def test_second_handler_of_a_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="TrainSpec cannot be registered"):
        register(TrainSpec)

"""The table of methods."""

from typing import get_args

import pytest

from workers.contract.compression.pruning import WandaSpec
from workers.contract.compression.recipe import AnyStep
from workers.runtime.compression.registry import METHODS, register


def test_every_step_of_the_contract_has_a_method_and_no_other() -> None:
    assert set(METHODS) == set(get_args(AnyStep))


def test_second_method_of_a_step_is_refused() -> None:
    with pytest.raises(ValueError, match="WandaSpec has a method already"):
        register(WandaSpec)

"""Fixtures of the job tests: a dataset, a model, and agents."""

from collections.abc import Callable

import pytest

from apps.datasets.models import DatasetVersion
from apps.projects.models import Project
from tests.apps.jobs.simulation import FakeAgent, control_plane_up_for, make_dataset


@pytest.fixture
def dataset(project: Project) -> DatasetVersion:
    """Return a ready dataset version, ``corpus@1``."""
    return make_dataset(project)


@pytest.fixture
def join(db: None) -> Callable[..., FakeAgent]:
    """Return a function that makes an agent and joins it."""
    control_plane_up_for(3600)

    def make(name: str = "n1", *, slots: int = 2, pool: str = "default") -> FakeAgent:
        return FakeAgent(name=name, slots=slots, pool=pool).join()

    return make


@pytest.fixture
def agent(join: Callable[..., FakeAgent]) -> FakeAgent:
    """Return one agent of two slots in the pool ``default``."""
    return join()

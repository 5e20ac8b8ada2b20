"""A dataset, and versions of it from literal content."""

from collections.abc import Callable, Mapping

import pytest

from apps.accounts.models import User
from apps.datasets import services
from apps.datasets.models import Dataset, DatasetVersion
from apps.projects.models import Project
from tests.apps.storage.factories import store_files

MakeVersion = Callable[[Mapping[str, bytes]], DatasetVersion]


@pytest.fixture
def dataset(project: Project, editor: User) -> Dataset:
    return services.create_dataset(actor=editor, project=project, name="corpus")


@pytest.fixture
def make_version(dataset: Dataset, editor: User) -> MakeVersion:
    """Make a version that nobody has read yet."""

    def make(files: Mapping[str, bytes]) -> DatasetVersion:
        stored = store_files(dataset.workspace, editor, files)
        return services.create_version(dataset=dataset, actor=editor, files=stored).version

    return make


@pytest.fixture
def read_version(make_version: MakeVersion) -> MakeVersion:
    """Make a version and compute its statistics."""

    def make(files: Mapping[str, bytes]) -> DatasetVersion:
        version = make_version(files)
        services.compute_statistics(version_id=version.pk)
        version.refresh_from_db()
        return version

    return make

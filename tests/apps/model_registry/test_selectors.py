"""What a version's name means."""

from collections.abc import Callable

import pytest

from apps.accounts.models import User
from apps.core.errors import InvalidInput
from apps.model_registry import selectors, services
from apps.model_registry.models import ModelVersion
from apps.projects.models import Project
from tests.apps.factories import WorkspaceFactory

pytestmark = pytest.mark.django_db


def test_name_means_that_version_in_the_workspace(make_version: Callable[..., ModelVersion], project: Project) -> None:
    first, odd = make_version("tiny"), make_version("tiny_v1")
    workspace = project.workspace
    assert selectors.resolve_version(workspace=workspace, reference="tiny_v1") == first
    assert selectors.resolve_version(workspace=workspace, reference="tiny_v1_v1") == odd
    with pytest.raises(InvalidInput, match="There is no model version"):
        selectors.resolve_version(workspace=WorkspaceFactory.create(), reference="tiny_v1")


@pytest.mark.parametrize("reference", ["tiny", "tiny_v0", "tiny_v9", "tiny_v01", "tiny@1", "", "Tiny_v1", "../tiny_v1"])
def test_unknown_name_is_refused_naming_the_field(
    make_version: Callable[..., ModelVersion], project: Project, reference: str
) -> None:
    make_version("tiny")
    with pytest.raises(InvalidInput) as caught:
        selectors.resolve_version(workspace=project.workspace, reference=reference, field="spec.model.model")
    assert (caught.value.errors[0].field, caught.value.code) == ("spec.model.model", "version_not_found")


def test_deleted_version_is_unknown(make_version: Callable[..., ModelVersion], project: Project, editor: User) -> None:
    services.delete_version(version=make_version(), actor=editor)
    with pytest.raises(InvalidInput, match="There is no model version"):
        selectors.resolve_version(workspace=project.workspace, reference="tiny_v1")

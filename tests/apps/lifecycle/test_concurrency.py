"""Two promotions at once, on two real connections: one wins."""

import pytest
from django.db import IntegrityError, transaction

from apps.accounts.models import Role, User
from apps.core.errors import Conflict
from apps.core.models import Event
from apps.lifecycle.models import Promotion
from apps.lifecycle.selectors import PRODUCTION_ACTION, production_of
from apps.lifecycle.services import decide_promotion, promote
from apps.model_registry.models import ModelVersion, Stage
from apps.projects.models import Project
from tests.apps.factories import MembershipFactory, ProjectFactory
from tests.apps.jobs.test_concurrency import at_once
from tests.apps.lifecycle.conftest import version_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def editor() -> User:
    """Return an editor of a committed workspace."""
    return MembershipFactory.create(role=Role.EDITOR).user


@pytest.fixture
def project(editor: User) -> Project:
    """Return a committed project."""
    return ProjectFactory.create(workspace=editor.workspaces.get())


def test_of_two_promotions_that_saw_the_same_production_one_wins(project: Project, editor: User) -> None:
    current, one, other = (version_of(project, editor) for _ in range(3))
    promote(version=current, actor=editor)
    results = at_once(
        *[
            lambda version=version: promote(version=version, actor=editor, replaces=current.pk)
            for version in (one, other)
        ]
    )
    won = [result for result in results if isinstance(result, Promotion)]
    lost = [result for result in results if not isinstance(result, Promotion)]
    assert len(won) == len(lost) == 1, results
    assert isinstance(lost[0], Conflict)
    assert lost[0].code == "production_changed"
    assert production_of(current.model_id) == won[0].version
    assert ModelVersion.objects.filter(stage=Stage.PRODUCTION).count() == 1
    assert Event.objects.filter(action=PRODUCTION_ACTION).count() == 2


def test_of_two_promotions_that_are_decided_at_once_one_wins(project: Project, editor: User) -> None:
    one, other = version_of(project, editor), version_of(project, editor)
    waiting = [
        Promotion.objects.create(
            workspace=project.workspace, version=version, target=Stage.PRODUCTION, requested_by=editor
        )
        for version in (one, other)
    ]
    results = at_once(*[lambda pk=promotion.pk: decide_promotion(pk) for promotion in (*waiting, *waiting)])
    assert all(isinstance(result, Promotion) for result in results), results
    states = sorted(Promotion.objects.values_list("state", flat=True))
    assert states == ["promoted", "refused"]
    winner = Promotion.objects.get(state="promoted")
    assert production_of(one.model_id) == winner.version
    assert f"{winner.version} is in production now" in Promotion.objects.get(state="refused").decision
    assert Event.objects.filter(action=PRODUCTION_ACTION).count() == 1


def test_database_refuses_a_second_version_in_production(project: Project, editor: User) -> None:
    for version in (version_of(project, editor), version_of(project, editor)):
        with transaction.atomic():
            changed = ModelVersion.objects.filter(pk=version.pk)
            if version.number == 1:
                changed.update(stage=Stage.PRODUCTION)
            else:
                with pytest.raises(IntegrityError, match="model_one_production"), transaction.atomic():
                    changed.update(stage=Stage.PRODUCTION)

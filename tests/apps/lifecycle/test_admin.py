"""The console shows evaluations, rules and promotions, and changes none of them."""

import pytest
from django.test import Client

from apps.accounts.models import User
from apps.datasets.models import DatasetVersion
from apps.lifecycle.models import Evaluation, Promotion
from apps.lifecycle.services import create_rule, promote
from tests.apps.jobs.simulation import FakeAgent
from tests.apps.lifecycle.conftest import MakeVersion, finish_evaluation

pytestmark = pytest.mark.django_db


def test_pages_open_and_nothing_can_be_edited(
    superuser: User, agent: FakeAgent, make_version: MakeVersion, dataset: DatasetVersion
) -> None:
    version = make_version()
    rule = create_rule(
        model_id=version.model_id, actor=superuser, metric="perplexity", against="number", bound=8, dataset="corpus"
    )
    promote(version=version, actor=superuser)
    finish_evaluation(agent, perplexity=7.0)
    console = Client()
    console.force_login(superuser)
    for name, row in (("evaluation", Evaluation.objects.get()), ("rule", rule), ("promotion", Promotion.objects.get())):
        shown = console.get(f"/admin/lifecycle/{name}/")
        assert shown.status_code == 200
        assert "tiny" in shown.content.decode()
        page = f"/admin/lifecycle/{name}/{row.pk}/change/"
        assert console.get(page).status_code == 200
        assert console.post(page, {}).status_code == 403

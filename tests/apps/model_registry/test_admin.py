"""The admin console's pages of stored files, datasets and models open, search, and change what may be changed only."""

from collections.abc import Callable

import pytest
from django.contrib import admin
from django.db.models import Model as Row
from django.test import Client
from django.urls import reverse

from apps.accounts.models import User
from apps.datasets import services as datasets
from apps.datasets.models import Dataset, DatasetVersion
from apps.model_registry.models import Model, ModelVersion
from apps.storage.models import Artifact, FileSet, Upload
from tests.apps.storage.factories import store_files

pytestmark = pytest.mark.django_db
PAGES: tuple[type[Row], ...] = (Artifact, FileSet, Upload, Dataset, DatasetVersion, Model, ModelVersion)


@pytest.fixture
def console(superuser: User) -> Client:
    client = Client()
    client.force_login(superuser)
    return client


@pytest.mark.parametrize("model", PAGES)
def test_list_and_detail_open(
    console: Client, make_version: Callable[..., ModelVersion], editor: User, model: type[Row]
) -> None:
    project = make_version().model.project
    dataset = datasets.create_dataset(actor=editor, project=project, name="corpus")
    files = store_files(project.workspace, editor, {"a.txt": b"hello"})
    datasets.create_version(dataset=dataset, actor=editor, files=files)
    base = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    assert console.get(reverse(f"{base}_changelist"), {"q": "tiny"}).status_code == 200
    row = model._default_manager.first()
    assert row is not None
    assert console.get(reverse(f"{base}_change", args=[row.pk])).status_code == 200
    assert console.post(reverse(f"{base}_delete", args=[row.pk]), {"post": "yes"}).status_code == 403
    assert not admin.site.get_model_admin(model).has_add_permission(console.get("/admin/").wsgi_request)


def test_only_the_card_of_a_version_is_written(console: Client, make_version: Callable[..., ModelVersion]) -> None:
    version = make_version()
    address = reverse("admin:model_registry_modelversion_change", args=[version.pk])
    console.post(address, {"card": "# New", "number": "7", "num_parameters": "1"})
    version.refresh_from_db()
    assert (version.card, version.number, version.num_parameters) == ("# New", 1, 10)

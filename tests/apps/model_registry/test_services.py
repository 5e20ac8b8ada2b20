"""Versions are numbered without gaps or twins, born with a card, and deleted only when free."""

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from apps.accounts.models import User
from apps.core.errors import Conflict, InvalidInput
from apps.core.models import Event
from apps.datasets import services as datasets
from apps.model_registry import references, services
from apps.model_registry.models import Model, ModelVersion
from apps.projects.models import Project
from apps.storage.garbage import collect_garbage
from apps.storage.models import Artifact, FileSet, Upload
from tests.apps.factories import ProjectFactory
from tests.apps.model_registry.conftest import MODEL_FILES, safetensors
from tests.apps.storage.factories import make_file_set, store_files

pytestmark = pytest.mark.django_db
MakeVersion = Callable[..., ModelVersion]


def test_versions_are_numbered_per_model(make_version: MakeVersion) -> None:
    names = [str(make_version(name)) for name in ("tiny", "tiny", "other", "tiny")]
    assert names == ["tiny_v1", "tiny_v2", "other_v1", "tiny_v3"]


def test_failed_version_leaves_no_gap(make_version: MakeVersion) -> None:
    make_version()
    with transaction.atomic():
        make_version()
        transaction.set_rollback(True)
    assert str(make_version()) == "tiny_v2"


@pytest.mark.django_db(transaction=True)
def test_versions_made_at_once_get_different_numbers(project: Project, editor: User) -> None:
    file_set = make_file_set(project.workspace, editor, MODEL_FILES)
    errors: list[Exception] = []

    def make() -> None:
        try:
            services.create_version(project=project, model_name="tiny", file_set=file_set, created_by=editor)
        except Exception as error:  # noqa: BLE001 - whatever it is, the assertion shows it
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=make) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sorted(ModelVersion.objects.values_list("number", flat=True)) == [1, 2, 3, 4, 5, 6]
    assert Model.objects.get().last_version_number == 6


def test_card_says_what_it_is_of_what_how_good_and_how_to_load_it(
    make_version: MakeVersion, project: Project, editor: User
) -> None:
    dataset = datasets.create_dataset(actor=editor, project=project, name="corpus")
    files = store_files(project.workspace, editor, {"a.txt": b"hello"})
    data = datasets.create_version(dataset=dataset, actor=editor, files=files).version
    datasets.compute_statistics(version_id=data.pk)
    data.refresh_from_db()
    parent = make_version("base")
    version = make_version(
        parent=parent,
        dataset_version=data,
        config={"kind": "train", "steps": 500, "optimizer": {"learning_rate": 0.004}},
        metrics={"loss": 2.5, "perplexity": "Infinity", "odd|name": 1},
        num_parameters=7_200_000,
        code_revision="abc123",
    )
    for expected in (
        "# tiny\\_v1",
        "7.2M parameters",
        "fine-tuned from `base_v1`",
        "`corpus@1`. 1 documents with 5 characters",
        "| optimizer.learning\\_rate | 0.004 |",
        "| loss | 2.5 |",
        "| perplexity | Infinity |",
        "| odd\\|name | 1 |",
        "| Code revision | abc123 |",
        "cox model download tiny_v1",
        'AutoModelForCausalLM.from_pretrained("tiny_v1")',
    ):
        assert expected in version.card


def test_parameters_are_counted_from_the_weights_when_nobody_says(make_version: MakeVersion) -> None:
    assert make_version().num_parameters == 2 * 3 + 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"config.json": None}, "There is no config.json"),
        ({"model.safetensors": None}, "There is no .safetensors file"),
        ({"model.safetensors": b"not really"}, "is not a safetensors file"),
        ({"model.safetensors": b""}, "is not a safetensors file"),
        ({"model.safetensors": b"\x05\0\0\0\0\0\0\0{bad}"}, "is not a safetensors file"),
        ({"modeling.py": b"import os"}, "may run code"),
        ({"pytorch_model.bin": b"pickle"}, "may run code"),
    ],
)
def test_what_is_no_model_is_refused(
    make_version: MakeVersion, project: Project, editor: User, change: dict[str, bytes | None], message: str
) -> None:
    files = {path: content for path, content in (MODEL_FILES | change).items() if content is not None}
    file_set = make_file_set(project.workspace, editor, files)
    with pytest.raises(InvalidInput, match=message) as caught:
        make_version(file_set=file_set)
    assert caught.value.code == "not_a_model"
    assert not ModelVersion.objects.exists()


def test_sharded_weights_are_summed(make_version: MakeVersion, project: Project, editor: User) -> None:
    shards = {"model-1.safetensors": safetensors((10,)), "model-2.safetensors": safetensors((5, 5), ())}
    file_set = make_file_set(project.workspace, editor, {"config.json": b"{}"} | shards)
    assert make_version(file_set=file_set).num_parameters == 10 + 25 + 1


def test_name_belongs_to_the_workspace(make_version: MakeVersion, project: Project, editor: User) -> None:
    make_version()
    sibling = ProjectFactory.create(workspace=project.workspace)
    assert str(make_version(project=sibling)) == "tiny_v2"
    assert Model.objects.get().project == project
    with pytest.raises(Conflict) as caught:
        services.create_model(actor=editor, project=sibling, name="tiny")
    assert caught.value.errors[0].field == "name"


def test_deleting_a_version_keeps_its_number_taken(make_version: MakeVersion, editor: User) -> None:
    first = make_version()
    services.delete_version(version=first, actor=editor)
    services.delete_version(version=first, actor=editor)
    assert str(make_version()) == "tiny_v2"
    assert Event.objects.filter(object_id=first.pk, action="model_version.delete").count() == 1


def test_parent_of_a_living_version_cannot_be_deleted(make_version: MakeVersion, editor: User) -> None:
    parent = make_version()
    child = make_version("other", parent=parent)
    with pytest.raises(Conflict, match="Versions were made from tiny_v1: other_v1") as caught:
        services.delete_version(version=parent, actor=editor)
    assert caught.value.code == "referenced"
    with pytest.raises(Conflict):
        services.delete_model(model=parent.model, actor=editor)
    services.delete_version(version=child, actor=editor)
    services.delete_version(version=parent, actor=editor)


def test_model_goes_with_versions_that_refer_to_each_other_and_frees_its_name(
    make_version: MakeVersion, editor: User
) -> None:
    first = make_version()
    make_version(parent=first)
    services.delete_model(model=first.model, actor=editor)
    services.delete_model(model=first.model, actor=editor)
    assert not ModelVersion.objects.filter(deleted_at=None).exists()
    again = make_version()
    assert (str(again), again.model_id == first.model_id) == ("tiny_v1", False)


@pytest.fixture
def clean_checks() -> Iterator[None]:
    before = list(references._CHECKS)
    yield
    references._CHECKS[:] = before


def test_what_refers_to_a_version_forbids_deleting_it(
    make_version: MakeVersion, editor: User, clean_checks: None
) -> None:
    references.refuse_deletion_while(lambda version: f"Job 7 starts from {version}.")
    with pytest.raises(Conflict, match="Job 7 starts from tiny_v1"):
        services.delete_version(version=make_version(), actor=editor)


def test_dataset_of_a_living_version_cannot_be_deleted(
    make_version: MakeVersion, project: Project, editor: User
) -> None:
    dataset = datasets.create_dataset(actor=editor, project=project, name="corpus")
    files = store_files(project.workspace, editor, {"a.txt": b"hello"})
    data = datasets.create_version(dataset=dataset, actor=editor, files=files).version
    version = make_version(dataset_version=data)
    with pytest.raises(Conflict, match="Model versions were made of it: tiny_v1"):
        datasets.delete_dataset(dataset=dataset, actor=editor)
    services.delete_version(version=version, actor=editor)
    datasets.delete_dataset(dataset=dataset, actor=editor)


@pytest.mark.django_db(transaction=True)
def test_files_of_a_deleted_version_go_after_the_retention(make_version: MakeVersion, editor: User) -> None:
    version = make_version()
    long_ago = timezone.now() - timedelta(days=90)
    for model in (FileSet, Artifact):
        model.objects.update(updated_at=long_ago)
    Upload.objects.update(expires_at=long_ago)
    services.delete_version(version=version, actor=editor)
    assert collect_garbage().artifacts == 0
    ModelVersion.objects.update(deleted_at=timezone.now() - timedelta(days=31))
    assert collect_garbage().artifacts == len(MODEL_FILES)
    version.file_set.refresh_from_db()
    assert version.file_set.collected_at is not None

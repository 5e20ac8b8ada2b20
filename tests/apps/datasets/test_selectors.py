"""What a name in a spec means, and what a preview shows."""

import io
from collections.abc import Callable, Mapping

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from apps.accounts.models import User
from apps.core.errors import InvalidInput
from apps.datasets import selectors, services
from apps.datasets.models import Dataset, DatasetVersion
from apps.projects.models import Project
from tests.apps.factories import ProjectFactory

pytestmark = pytest.mark.django_db
MakeVersion = Callable[[Mapping[str, bytes]], DatasetVersion]


def test_name_means_the_latest_and_a_number_that_one(project: Project, read_version: MakeVersion) -> None:
    first, second = read_version({"a": b"one"}), read_version({"a": b"two"})
    assert selectors.resolve_version(project=project, reference="corpus") == second
    assert selectors.resolve_version(project=project, reference="corpus@1") == first


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("other", "There is no dataset 'other'"),
        ("corpus@9", "has no version 9"),
        ("corpus@", "write name or name@3"),
        ("corpus@x", "write name or name@3"),
        ("@1", "write name or name@3"),
        ("../corpus", "There is no dataset"),
    ],
)
def test_unknown_reference_names_the_field(
    project: Project, read_version: MakeVersion, reference: str, message: str
) -> None:
    read_version({"a": b"one"})
    with pytest.raises(InvalidInput, match=message) as caught:
        selectors.resolve_version(project=project, reference=reference, field="spec.data.dataset")
    assert caught.value.errors[0].field == "spec.data.dataset"


def test_own_dataset_comes_first_then_the_workspaces_only_one(
    project: Project, dataset: Dataset, read_version: MakeVersion, editor: User
) -> None:
    version = read_version({"a": b"one"})
    sibling = ProjectFactory.create(workspace=project.workspace)
    assert selectors.resolve_version(project=sibling, reference="corpus") == version
    other = ProjectFactory.create(workspace=project.workspace)
    services.create_dataset(actor=editor, project=other, name="corpus")
    with pytest.raises(InvalidInput, match="Several projects"):
        selectors.resolve_version(project=sibling, reference="corpus")
    with pytest.raises(InvalidInput, match="has no version yet"):
        selectors.resolve_version(project=other, reference="corpus")


def test_datasets_of_other_workspaces_and_deleted_ones_are_unknown(
    project: Project, dataset: Dataset, read_version: MakeVersion, editor: User
) -> None:
    read_version({"a": b"one"})
    with pytest.raises(InvalidInput, match="There is no dataset"):
        selectors.resolve_version(project=ProjectFactory.create(), reference="corpus")
    services.delete_dataset(dataset=dataset, actor=editor)
    with pytest.raises(InvalidInput, match="There is no dataset"):
        selectors.resolve_version(project=project, reference="corpus")


def test_version_that_cannot_be_trained_on_says_why(
    project: Project, dataset: Dataset, make_version: MakeVersion, read_version: MakeVersion
) -> None:
    with pytest.raises(InvalidInput, match="has no version yet"):
        selectors.resolve_version(project=project, reference="corpus")
    make_version({"a": b"one"})
    with pytest.raises(InvalidInput, match="still being read") as caught:
        selectors.resolve_version(project=project, reference="corpus")
    assert caught.value.code == "dataset_pending"
    read_version({"a": b"\xff"})
    with pytest.raises(InvalidInput, match="is not usable: a, line 1") as caught:
        selectors.resolve_version(project=project, reference="corpus")
    assert caught.value.code == "dataset_failed"


def test_preview_shows_the_beginning_of_each_document(make_version: MakeVersion) -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": ["row one", None, "row three"]}), sink)
    version = make_version(
        {
            "a.jsonl": b'{"text": "first"}\n\n{"text": " "}\n{"text": "' + b"x" * 3000 + b'"}',
            "b.parquet": sink.getvalue(),
            "c.txt": ("\u00e9" * 5000).encode(),
            "d.txt": b"short",
            ".hidden": b"x",
        }
    )
    found = selectors.preview(version=version)
    assert [(r.file, r.place, len(r.text), r.is_truncated) for r in found.records] == [
        ("a.jsonl", 1, 5, False),
        ("a.jsonl", 4, 2000, True),
        ("b.parquet", 1, 7, False),
        ("b.parquet", 3, 9, False),
        ("c.txt", None, 2000, True),
        ("d.txt", None, 5, False),
    ]
    assert found.error == ""
    assert len(selectors.preview(version=version, limit=2).records) == 2


def test_preview_keeps_what_comes_before_an_error(make_version: MakeVersion) -> None:
    found = selectors.preview(version=make_version({"a.jsonl": b'{"text": "good"}\nbad'}))
    assert [record.text for record in found.records] == ["good"]
    assert found.error.startswith("a.jsonl, line 2")

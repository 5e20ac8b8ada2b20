"""Datasets: immutable numbered versions, read in the background exactly once, deleted only when free."""

import io
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.utils import timezone
from pytest_django import Settings

from apps.accounts.models import User
from apps.core.errors import Conflict, InvalidInput, NotFound
from apps.core.models import Event
from apps.datasets import references, services
from apps.datasets.models import Dataset, DatasetVersion, VersionState
from apps.projects.models import Project
from apps.storage.garbage import collect_garbage
from apps.storage.models import Artifact, FileSet, Upload
from apps.storage.selectors import file_refs
from tests.apps.storage.factories import store_bytes, store_files

pytestmark = pytest.mark.django_db
MakeVersion = Callable[[Mapping[str, bytes]], DatasetVersion]


def parquet(table: dict[str, list[object]]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(table), sink)
    return sink.getvalue()


def test_versions_count_up_and_equal_content_is_the_same_version(make_version: MakeVersion) -> None:
    first = make_version({"a.txt": b"one"})
    assert make_version({"a.txt": b"one"}) == first
    second = make_version({"a.txt": b"one", "b.txt": b"two"})
    third = make_version({"a.txt": b"one"})
    assert [version.number for version in (first, second, third)] == [1, 2, 3]
    assert third.file_set_id == first.file_set_id


def test_taken_name_is_a_conflict_that_names_the_field(dataset: Dataset, editor: User, project: Project) -> None:
    with pytest.raises(Conflict) as caught:
        services.create_dataset(actor=editor, project=project, name=dataset.name)
    assert [error.field for error in caught.value.errors] == ["name"]


@pytest.mark.parametrize(
    ("declared", "path"), [("jsonl", "a.json"), ("parquet", "a.jsonl"), ("text", "a.parquet"), ("jsonl", "a.JSONL")]
)
def test_file_that_would_be_read_as_another_format_is_refused(
    editor: User, project: Project, declared: str, path: str
) -> None:
    dataset = services.create_dataset(actor=editor, project=project, name="d", format=declared)
    file = store_bytes(project.workspace, editor, path, b"x")
    with pytest.raises(InvalidInput) as caught:
        services.create_version(dataset=dataset, actor=editor, files=[file])
    assert caught.value.errors[0].field == "files.0.path"


def test_statistics_of_every_format(read_version: MakeVersion) -> None:
    version = read_version(
        {
            "a.txt": "\ufeffh\u00e9llo\n".encode(),
            "b.jsonl": b'\xef\xbb\xbf{"text": "abc"}\n\n{"n": 1, "text": "  "}\n{"text": "abcdefgh"}',
            "c.parquet": parquet({"id": [1, 2, 3], "text": ["xy", None, "z"]}),
            ".hidden": b"\xff\xff",
            "__pycache__/a.pyc": b"\xff\xff",
        }
    )
    assert (version.state, version.error, version.progress) == (VersionState.READY, "", 1.0)
    assert version.statistics is not None
    assert version.statistics | {"bytes": 0, "length_histogram": []} == {
        "files": 3,
        "bytes": 0,
        "documents": 5,
        "empty_documents": 1,
        "characters": 6 + 3 + 8 + 2 + 1,
        "longest_characters": 8,
        "mean_characters": 4.0,
        "length_histogram": [],
    }
    histogram = version.statistics["length_histogram"]
    assert [(b["min_characters"], b["max_characters"], b["documents"]) for b in histogram] == [
        (1, 1, 1),
        (2, 3, 2),
        (4, 7, 1),
        (8, 15, 1),
    ]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.txt": b"fine\nb\xe9d"}, "a.txt, line 2: not UTF-8 text (byte 0xe9)."),
        ({"a.txt": b"x" * (1024 * 1024 - 1) + b"\n\xc3\xa9\n\xff"}, "a.txt, line 3: not UTF-8 text (byte 0xff)."),
        ({"a.txt": b"cut \xc3"}, "a.txt, line 1: not UTF-8 text (byte 0xc3)."),
        ({"a.jsonl": b'{"text": "a"}\n{"text": 5}'}, "a.jsonl, line 2: Expected `str`, got `int` - at `$.text`."),
        ({"a.jsonl": b'{"text": "a"}\n\n{"txt": "a"}'}, "a.jsonl, line 3: Object missing required field `text`."),
        ({"a.jsonl": b"[1]"}, "a.jsonl, line 1: Expected `object`, got `array`."),
        ({"a.jsonl": b'{"text": "a'}, "a.jsonl, line 1: not JSON ("),
        ({"a.jsonl": b'{"text": "\xff"}'}, "a.jsonl, line 1: not UTF-8 (byte 0xff)."),
        ({"a.jsonl": b'{"deep": ' + b"[" * 100_000 + b', "text": ""}'}, "a.jsonl, line 1: not JSON ("),
        ({"a.parquet": b"PAR1 not really"}, "a.parquet, after row 0: not a readable Parquet file ("),
        ({"a.parquet": parquet({"body": ["x"]})}, "a.parquet: no column `text`; its columns are body."),
        ({"a.parquet": parquet({"text": [1]})}, "a.parquet: column `text` holds int64, not strings."),
        ({"a.txt": b" \n", "b.jsonl": b""}, "There is no usable text: every document is empty."),
        ({".a": b"x"}, "There is no data file: hidden files and __pycache__ are left out."),
        ({"a.txt": b""}, "There is no usable text: every document is empty."),
    ],
)
def test_unusable_content_fails_naming_file_and_line(
    read_version: MakeVersion, files: dict[str, bytes], message: str
) -> None:
    version = read_version(files)
    assert version.state == VersionState.FAILED
    assert version.error.startswith(message)


def test_line_longer_than_the_limit_is_refused(read_version: MakeVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.datasets.documents.MAX_LINE_BYTES", 20)
    version = read_version({"a.jsonl": b'{"text": "ok"}\n{"text": "much too long"}\n'})
    assert version.error == "a.jsonl, line 2: longer than 20 bytes."


def test_reading_twice_is_one_reading(make_version: MakeVersion) -> None:
    version = make_version({"a.txt": b"text"})
    services.compute_statistics(version_id=version.pk)
    services.compute_statistics(version_id=version.pk)
    version.refresh_from_db()
    assert (version.num_reads, version.state) == (1, VersionState.READY)
    actions = Event.objects.filter(object_id=version.dataset_id).order_by("id").values_list("action", flat=True)
    assert list(actions) == ["dataset.create", "dataset.version", "dataset.version.ready"]


def test_second_reader_stays_away_while_the_first_shows_progress(make_version: MakeVersion) -> None:
    version = make_version({"a.txt": b"text"})
    DatasetVersion.objects.filter(pk=version.pk).update(read_at=timezone.now())
    services.compute_statistics(version_id=version.pk)
    version.refresh_from_db()
    assert version.state == VersionState.PENDING
    DatasetVersion.objects.filter(pk=version.pk).update(read_at=timezone.now() - services.SILENCE * 2)
    services.compute_statistics(version_id=version.pk)
    version.refresh_from_db()
    assert version.state == VersionState.READY


@pytest.fixture
def hints(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Collect what would go to the broker: the edge of the process."""
    sent: list[list[str]] = []
    monkeypatch.setattr(services, "send_after_commit", lambda task, *, args, **_: sent.append([task, *args]))
    return sent


def test_lost_hints_are_sent_again_and_hopeless_versions_given_up(
    hints: list[list[str]], make_version: MakeVersion
) -> None:
    version = make_version({"a.txt": b"text"})
    hint = [services.STATISTICS_TASK, str(version.pk)]
    assert hints == [hint]
    assert services.requeue_stale_statistics() == 0
    long_ago = timezone.now() - services.SILENCE * 2
    DatasetVersion.objects.update(created_at=long_ago)
    assert services.requeue_stale_statistics() == 1
    assert hints == [hint, hint]
    DatasetVersion.objects.update(read_at=long_ago, num_reads=services.MAX_READS)
    assert services.requeue_stale_statistics() == 0
    version.refresh_from_db()
    assert (version.state, version.error) == (VersionState.FAILED, "Reading it was broken off again and again.")


def test_deleting_frees_the_name(dataset: Dataset, editor: User, project: Project) -> None:
    services.delete_dataset(dataset=dataset, actor=editor)
    services.delete_dataset(dataset=dataset, actor=editor)
    assert Event.objects.filter(object_id=dataset.pk, action="dataset.delete").count() == 1
    assert services.create_dataset(actor=editor, project=project, name=dataset.name).pk != dataset.pk
    with pytest.raises(NotFound):
        services.create_version(
            dataset=dataset, actor=editor, files=store_files(project.workspace, editor, {"a": b"x"})
        )


@pytest.fixture
def clean_checks() -> Iterator[None]:
    before = list(references._CHECKS)
    yield
    references._CHECKS[:] = before


def test_what_refers_to_a_dataset_forbids_deleting_it(dataset: Dataset, editor: User, clean_checks: None) -> None:
    references.refuse_deletion_while(lambda dataset: f"Job 7 reads {dataset.name}.")
    with pytest.raises(Conflict, match="Job 7 reads corpus") as caught:
        services.delete_dataset(dataset=dataset, actor=editor)
    assert caught.value.code == "referenced"


@pytest.mark.django_db(transaction=True)
def test_files_of_a_deleted_dataset_go_after_the_retention(
    dataset: Dataset, editor: User, make_version: MakeVersion
) -> None:
    make_version({"a.txt": b"text"})
    long_ago = timezone.now() - timedelta(days=90)
    FileSet.objects.update(updated_at=long_ago)
    Artifact.objects.update(updated_at=long_ago)
    Upload.objects.update(expires_at=long_ago)
    services.delete_dataset(dataset=dataset, actor=editor)
    assert collect_garbage().artifacts == 0
    Dataset.objects.update(deleted_at=timezone.now() - timedelta(days=31))
    assert collect_garbage().artifacts == 1


def allowed(settings: Settings, tmp_path: Path) -> Path:
    root = tmp_path / "allowed"
    (root / "corpus" / "deep").mkdir(parents=True)
    (root / "corpus" / "a.txt").write_text("one")
    (root / "corpus" / "deep" / "b.txt").write_text("two")
    (root / "corpus" / ".git").mkdir()
    (root / "corpus" / ".git" / "config").write_text("hidden")
    (tmp_path / "secret.txt").write_text("secret")
    settings.SERVER_PATHS = [str(root)]
    return root


def test_version_from_an_allowed_directory(
    settings: Settings, tmp_path: Path, dataset: Dataset, superuser: User
) -> None:
    root = allowed(settings, tmp_path)
    (root / "corpus" / "link.txt").symlink_to(root / "corpus" / "a.txt")
    made = services.create_version_from_path(dataset=dataset, actor=superuser, server_path=str(root / "corpus"))
    assert [file.path for file in file_refs(made.version.file_set)] == ["a.txt", "deep/b.txt", "link.txt"]
    again = services.create_version_from_path(dataset=dataset, actor=superuser, server_path=str(root / "corpus"))
    assert (again.version, again.is_new) == (made.version, False)
    one = services.create_version_from_path(dataset=dataset, actor=superuser, server_path=str(root / "corpus/a.txt"))
    assert [file.path for file in file_refs(one.version.file_set)] == ["a.txt"]


@pytest.mark.parametrize(
    "path", ["../secret.txt", "corpus/../../secret.txt", "nothing", "../nothing", "escape", "escape.txt", "a\0b"]
)
def test_path_outside_the_allowed_directories_is_refused_without_telling_what_is_there(
    settings: Settings, tmp_path: Path, dataset: Dataset, superuser: User, path: str
) -> None:
    root = allowed(settings, tmp_path)
    (root / "escape").symlink_to(tmp_path)
    (root / "escape.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(InvalidInput, match="no file or directory below one that the administrator allows"):
        services.create_version_from_path(dataset=dataset, actor=superuser, server_path=f"{root}/{path}")


def test_relative_path_is_refused(settings: Settings, dataset: Dataset, superuser: User) -> None:
    settings.SERVER_PATHS = [str(Path.cwd())]
    with pytest.raises(InvalidInput):
        services.create_version_from_path(dataset=dataset, actor=superuser, server_path="apps")


def test_link_inside_a_directory_that_leads_out_is_refused(
    settings: Settings, tmp_path: Path, dataset: Dataset, superuser: User
) -> None:
    root = allowed(settings, tmp_path)
    (root / "corpus" / "out.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(InvalidInput, match="leaves the allowed directory"):
        services.create_version_from_path(dataset=dataset, actor=superuser, server_path=str(root / "corpus"))


def test_empty_directory_is_refused(settings: Settings, tmp_path: Path, dataset: Dataset, superuser: User) -> None:
    root = allowed(settings, tmp_path)
    (root / "empty").mkdir()
    with pytest.raises(InvalidInput, match="holds no data files"):
        services.create_version_from_path(dataset=dataset, actor=superuser, server_path=str(root / "empty"))

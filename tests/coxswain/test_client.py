"""The client against a real server over HTTP."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from pytest_django.live_server_helper import LiveServer

from apps.accounts.models import User
from apps.datasets.models import DatasetVersion, VersionState
from coxswain.client import ApiError, Client, CoxswainError, JobDidNotSucceed, Unreachable
from coxswain.client.session import create_token
from coxswain.client.transport import Transport

TEXT = "def greet(name):\n    return name\n" * 50


def make_dataset(client: Client, folder: Path, name: str = "corpus") -> str:
    """Send one file, and mark the version as read: no worker runs in these tests."""
    (folder / "a.txt").write_text(TEXT)
    version = client.datasets.create(name, [folder / "a.txt"])
    DatasetVersion.objects.filter(pk=version.id).update(state=VersionState.READY)
    return version.id


def train_spec(**changes: object) -> dict[str, object]:
    """A small valid spec."""
    return {"kind": "train", "data": {"dataset": "corpus"}, "steps": 10, **changes}


def test_wrong_password_is_refused_in_words(live_server: LiveServer, user: User) -> None:
    with pytest.raises(ApiError) as refused:
        create_token(live_server.url, username=user.get_username(), password="wrong", name="test")
    assert refused.value.status in {400, 401, 403}
    assert refused.value.remedy


def test_revoked_or_invented_token_is_refused(live_server: LiveServer, user: User) -> None:
    with Client(live_server.url, "cox_invented") as client, pytest.raises(ApiError) as refused:
        client.projects()
    assert refused.value.status == 401


def test_server_that_is_not_there_is_unreachable() -> None:
    with Client("http://127.0.0.1:9", "cox_x") as client, pytest.raises(Unreachable):
        client.projects()


def test_default_project_is_the_callers(client: Client) -> None:
    assert [project.name for project in client.projects()] == ["research"]
    assert client.default_project() == client.projects()[0].id


def test_unknown_project_is_named(live_server: LiveServer, token: str) -> None:
    with Client(live_server.url, token, project="nope") as client, pytest.raises(CoxswainError, match="research"):
        client.default_project()


def test_dataset_is_sent_and_found_and_the_same_bytes_are_not_sent_twice(client: Client, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.txt").write_text(TEXT)
    (tmp_path / "sub" / "b.txt").write_text(TEXT * 2)
    (tmp_path / "empty.txt").touch()
    sent: list[int] = []
    first = client.datasets.create("corpus", [tmp_path], on_bytes=sent.append)
    assert sum(sent) == 3 * len(TEXT)
    assert first.number == 1
    (tmp_path / "c.txt").write_text("something else " * 20)
    assert client.datasets.create("corpus", [tmp_path]).number == 2
    found = client.datasets.find("corpus")
    assert found is not None
    assert [version.number for version in client.datasets.versions(found.id)] == [2, 1]


def test_paths_that_give_nothing_to_send_are_refused_before_anything_is_made(client: Client, tmp_path: Path) -> None:
    with pytest.raises(CoxswainError, match="does not exist"):
        client.datasets.create("corpus", [tmp_path / "absent"])
    with pytest.raises(CoxswainError, match="no file"):
        client.datasets.create("corpus", [tmp_path])
    assert client.datasets.list() == []


def test_job_is_submitted_listed_found_by_number_and_cancelled(client: Client, tmp_path: Path) -> None:
    make_dataset(client, tmp_path)
    job = client.jobs.submit(train_spec(), name="tiny", slots_per_node=2)
    assert job.state == "queued"
    assert [item.id for item in client.jobs.list()] == [job.id]
    assert client.jobs.list(state="running") == []
    assert client.jobs.find(f"#{job.number}").id == job.id
    assert client.jobs.cancel(job.id).state == "cancelled"
    again = client.jobs.rerun(job.id)
    assert again.number == job.number + 1
    assert again.spec == job.spec


def test_submitting_again_under_one_key_gives_the_same_job(client: Client, tmp_path: Path) -> None:
    make_dataset(client, tmp_path)
    jobs = [client.jobs.submit(train_spec(), name="tiny", idempotency_key="once") for _ in range(2)]
    assert jobs[0].id == jobs[1].id


def test_refusal_names_the_field_of_the_spec(client: Client, tmp_path: Path) -> None:
    make_dataset(client, tmp_path)
    with pytest.raises(ApiError) as refused:
        client.jobs.submit(train_spec(steps=0), name="tiny")
    assert any("steps" in error.field for error in refused.value.errors)
    assert "steps" in str(refused.value)


def test_stream_gives_what_happened_and_where_to_go_on(client: Client, tmp_path: Path) -> None:
    make_dataset(client, tmp_path)
    job = client.jobs.submit(train_spec(), name="tiny")
    client.jobs.cancel(job.id)
    items = list(client.jobs.follow(job.id, after=0))
    states = [item["job"]["state"] for item in items if item.get("kind") == "job"]
    assert states[-1] == "cancelled"
    assert client.jobs.stream(job.id, after=client.jobs.get(job.id).seq, wait_s=0).messages == ()


def test_waiting_for_a_cancelled_job_says_how_it_ended(client: Client, tmp_path: Path) -> None:
    make_dataset(client, tmp_path)
    job = client.jobs.submit(train_spec(), name="tiny")
    client.jobs.cancel(job.id)
    with pytest.raises(CoxswainError, match="cancelled"):
        client.jobs.wait(job.id)


def test_waiting_has_an_end(client: Client, tmp_path: Path) -> None:
    make_dataset(client, tmp_path)
    job = client.jobs.submit(train_spec(), name="tiny")
    with pytest.raises(TimeoutError, match="queued"):
        client.jobs.wait(job.id, timeout_s=0.5)


def test_lists_are_read_page_by_page(client: Client, tmp_path: Path) -> None:
    make_dataset(client, tmp_path)
    names = [client.jobs.submit(train_spec(), name=f"job-{number}").name for number in range(5)]
    paged = list(client._transport.pages("jobs", page_size=2))
    assert [item["name"] for item in paged] == names[::-1]
    assert len(client.jobs.list(limit=3)) == 3


def test_job_in_hand_has_the_verbs_and_shows_itself_in_a_notebook(client: Client, tmp_path: Path) -> None:
    make_dataset(client, tmp_path)
    job = client.jobs.submit(train_spec(), name="<tiny>")
    assert job.logs() == ""
    assert job.metrics() == {}
    assert job.metrics("loss")["loss"].last is None
    assert job.url.endswith(f"/jobs/{job.id}")
    assert "&lt;tiny&gt;" in job._repr_html_()
    assert job.rerun(spec=train_spec(steps=7)).spec["steps"] == 7
    assert job.cancel().is_final
    assert not job.is_final  # what was read stays as it was
    assert job.refresh().is_final
    with pytest.raises(JobDidNotSucceed, match="cancelled"):
        job.wait()


def test_progress_line_is_written_where_somebody_looks(
    client: Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_dataset(client, tmp_path)
    job = client.jobs.submit(train_spec(), name="tiny")
    with pytest.raises(TimeoutError):
        job.wait(timeout_s=0.1, progress=True)
    assert f"\rtiny #{job.number}: queued" in capsys.readouterr().err


def test_download_follows_to_another_host_and_leaves_the_token_behind(tmp_path: Path) -> None:
    content, seen = b"weights", list[str | None]()

    class Elsewhere(BaseHTTPRequestHandler):
        """Object storage that was named by a presigned address."""

        def do_GET(self) -> None:
            seen.append(self.headers.get("Authorization"))
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    class ControlPlane(Elsewhere):
        """Answers a download by where the bytes are."""

        def do_GET(self) -> None:
            seen.append(self.headers.get("Authorization"))
            self.send_response(302)
            self.send_header("Location", f"http://localhost:{elsewhere.server_port}/bytes")
            self.end_headers()

    elsewhere, server = (HTTPServer(("127.0.0.1", 0), handler) for handler in (Elsewhere, ControlPlane))
    with serving(elsewhere), serving(server):
        transport = Transport(f"http://127.0.0.1:{server.server_port}", "cox_secret")
        assert b"".join(transport.download("model-versions/1/files/model.safetensors")) == content
        transport.close()
    assert seen == ["Bearer cox_secret", None]


@contextmanager
def serving(server: HTTPServer) -> Iterator[None]:
    """Answer requests in a thread."""
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

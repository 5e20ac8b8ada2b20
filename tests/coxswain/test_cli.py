"""`cox` against a real server: what it prints, and how it exits."""

import io
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import yaml
from pytest_django.live_server_helper import LiveServer

from apps.accounts.models import Membership, Role, User
from apps.lifecycle.services import decide_waiting
from apps.projects.models import Project
from coxswain.cli import app as cli
from coxswain.cli import output
from coxswain.client import Client
from coxswain.client.session import create_token
from coxswain.client.settings import credentials_path
from tests.apps.jobs.simulation import FakeAgent, run_pass
from tests.apps.lifecycle.conftest import version_of
from tests.coxswain.conftest import PASSWORD
from tests.coxswain.test_client import make_dataset, train_spec


class Cox:
    """Runs `cox` in this process, as its entry point does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        self.stdout = ""
        self.stderr = ""

    def __call__(self, *arguments: str) -> int:
        """Run it; the exit code."""
        self._monkeypatch.setattr(sys, "argv", ["cox", *arguments])
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            sys.exit(cli.main())  # type: ignore[func-returns-value]
        self.stdout, self.stderr = self._capsys.readouterr()
        return int(ended.value.code or 0)


@pytest.fixture
def cox(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cox:
    return Cox(monkeypatch, capsys)


@pytest.fixture
def signed_in(live_server: LiveServer, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COX_URL", live_server.url)
    monkeypatch.setenv("COX_TOKEN", token)


def test_login_stores_a_token_only_its_owner_can_read(
    cox: Cox, live_server: LiveServer, user: User, tmp_path: Path
) -> None:
    password_file = tmp_path / "password"
    password_file.write_text(PASSWORD + "\n")
    arguments = ("--url", live_server.url, "--username", user.get_username(), "--password-file", str(password_file))
    assert cox("login", *arguments) == 0
    assert credentials_path().stat().st_mode & 0o777 == 0o600
    assert PASSWORD not in credentials_path().read_text()
    assert cox("job", "list", "--json") == 0
    assert json.loads(cox.stdout) == []


def test_stored_token_is_not_sent_to_another_address(cox: Cox, monkeypatch: pytest.MonkeyPatch) -> None:
    credentials_path().parent.mkdir(parents=True)
    credentials_path().write_text(json.dumps({"url": "http://127.0.0.1:1", "token": "cox_secret"}))
    monkeypatch.setenv("COX_URL", "http://127.0.0.1:2")
    assert cox("job", "list") == output.EXIT_FAILED
    assert "no token for http://127.0.0.1:2" in cox.stderr


def test_without_a_login_the_way_to_one_is_told(cox: Cox) -> None:
    assert cox("job", "list") == output.EXIT_FAILED
    assert "cox login" in cox.stderr


def test_server_that_is_away_has_an_exit_code_of_its_own(cox: Cox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COX_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("COX_TOKEN", "cox_x")
    assert cox("dataset", "list") == output.EXIT_UNREACHABLE


@pytest.mark.usefixtures("signed_in")
def test_dataset_is_created_and_listed(cox: Cox, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("some words " * 100)
    assert cox("dataset", "create", "corpus", str(tmp_path / "a.txt"), "--no-wait") == 0
    assert "corpus@1: 1 files" in cox.stdout
    assert cox("dataset", "list", "--json") == 0
    assert [item["name"] for item in json.loads(cox.stdout)] == ["corpus"]


@pytest.mark.usefixtures("signed_in")
def test_job_goes_through_the_commands(cox: Cox, client: Client, tmp_path: Path) -> None:
    make_dataset(client, tmp_path)
    spec = tmp_path / "tiny.yaml"
    spec.write_text(yaml.safe_dump({"resources": {"slots_per_node": 2}, "spec": train_spec()}))
    assert cox("job", "submit", str(spec), "--json") == 0
    submitted = json.loads(cox.stdout)
    assert submitted["name"] == "tiny"
    assert submitted["resources"]["slots_per_node"] == 2
    number = str(submitted["number"])
    assert cox("job", "show", number) == 0
    assert "queued" in cox.stdout
    assert cox("job", "cancel", number, "--json") == 0
    assert json.loads(cox.stdout)["state"] == "cancelled"
    assert cox("job", "watch", number) == output.EXIT_JOB_FAILED
    assert cox("job", "logs", number, "-f") == 0
    assert cox("job", "rerun", number) == 0
    assert cox("job", "list") == 0
    assert "cancelled" in cox.stdout
    assert "queued" in cox.stdout


@pytest.mark.usefixtures("signed_in")
def test_refused_spec_names_field_and_remedy(cox: Cox, client: Client, tmp_path: Path) -> None:
    make_dataset(client, tmp_path)
    spec = tmp_path / "tiny.json"
    spec.write_text(json.dumps(train_spec(step=3)))
    assert cox("job", "submit", str(spec)) == output.EXIT_FAILED
    assert "step" in cox.stderr
    assert "Request id: " in cox.stderr
    assert cox("job", "submit", str(spec), "--json") == output.EXIT_FAILED
    refusal = json.loads(cox.stderr.splitlines()[-1])
    assert refusal["exit_code"] == output.EXIT_FAILED
    assert any("step" in error["field"] for error in refusal["errors"])
    assert refusal["request_id"]
    assert refusal["remedy"]


@pytest.mark.usefixtures("signed_in")
def test_job_is_edited_and_run_again_and_a_refused_edit_is_kept(
    cox: Cox, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_dataset(client, tmp_path)
    job = client.jobs.submit(train_spec(), name="tiny", slots_per_node=2)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(sys, "stdin", io.StringIO())

    monkeypatch.setenv("EDITOR", "true")
    assert cox("job", "rerun", "tiny", "--edit") == output.EXIT_FAILED
    assert "Nothing was changed" in cox.stderr

    monkeypatch.setenv("EDITOR", "sed -i s/steps:.10$/steps:\\ 0/")
    assert cox("job", "rerun", str(job.number), "--edit") == output.EXIT_FAILED
    (kept,) = tmp_path.glob("cox-*.yaml")
    assert str(kept) in cox.stderr
    assert "steps" in cox.stderr
    assert "\n# " in kept.read_text()  # what was wrong is told in the file too
    assert yaml.safe_load(kept.read_text())["spec"]["steps"] == 0
    kept.unlink()

    monkeypatch.setenv("EDITOR", "sed -i s/steps:.10$/steps:\\ 20/")
    assert cox("job", "rerun", job.id, "--edit", "--json") == 0
    again = json.loads(cox.stdout)
    assert (again["spec"]["steps"], again["resources"]["slots_per_node"]) == (20, 2)
    assert not list(tmp_path.glob("cox-*.yaml"))


@pytest.mark.usefixtures("signed_in")
def test_name_of_several_jobs_is_not_guessed(cox: Cox, client: Client, tmp_path: Path) -> None:
    make_dataset(client, tmp_path)
    jobs = [client.jobs.submit(train_spec(), name="tiny") for _ in range(2)]
    assert cox("job", "cancel", "tiny") == output.EXIT_NOT_FOUND
    assert all(f"#{job.number}" in cox.stderr for job in jobs)
    assert cox("job", "show", "absent") == output.EXIT_NOT_FOUND


def test_nodes_are_drained_by_an_administrator_alone(
    cox: Cox, signed_in: None, user: User, live_server: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cox("node", "list", "--json") == 0
    assert [(node["name"], node["num_slots"]) for node in json.loads(cox.stdout)] == [("n1", 2)]
    assert cox("node", "drain", "n1") == output.EXIT_NOT_FOUND  # not theirs to do
    assert cox("node", "show", "n2") == output.EXIT_NOT_FOUND

    User.objects.filter(pk=user.pk).update(is_superuser=True)
    name = user.get_username()
    monkeypatch.setenv(
        "COX_TOKEN", create_token(live_server.url, username=name, password=PASSWORD, name="a", scopes=("admin",))
    )
    assert cox("node", "drain", "n1") == 0, cox.stderr
    assert "draining" in cox.stdout
    assert cox("node", "undrain", "n1", "--json") == 0
    assert json.loads(cox.stdout)["is_draining"] is False


@pytest.mark.usefixtures("signed_in")
def test_shell_completes_what_the_server_knows(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_dataset(client, tmp_path)
    job = client.jobs.submit(train_spec(), name="tiny")

    def complete(*words: str) -> str:
        """What the entry point says when the shell asks."""
        environment = os.environ | {
            "_COX_COMPLETE": "complete_bash", "COMP_WORDS": " ".join(["cox", *words]), "COMP_CWORD": str(len(words)),
        }  # fmt: skip
        command = [Path(sys.executable).parent / "cox"]
        return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout

    assert complete("job", "cancel", "ti").split() == ["tiny"]
    assert str(job.number) in complete("job", "show", str(job.number)[0]).split()
    assert complete("dataset", "show", "c").split() == ["corpus"]
    assert complete("node", "drain", "n").split() == ["n1"]
    monkeypatch.setenv("COX_URL", "http://127.0.0.1:9")
    assert complete("job", "cancel", "ti").split() == []


@pytest.mark.parametrize("content", ["- a list", "just words", "steps: 3", "a: [1, 2"])
@pytest.mark.usefixtures("signed_in")
def test_file_that_is_no_spec_is_refused_before_it_is_sent(cox: Cox, tmp_path: Path, content: str) -> None:
    (tmp_path / "bad.yaml").write_text(content)
    assert cox("job", "submit", str(tmp_path / "bad.yaml")) == output.EXIT_FAILED
    assert "bad.yaml" in cox.stderr


@pytest.mark.usefixtures("signed_in")
def test_model_that_is_not_there_is_not_found(cox: Cox, tmp_path: Path) -> None:
    assert cox("model", "list", "--json") == 0
    assert json.loads(cox.stdout) == []
    assert cox("model", "download", "tiny_v1", "-o", str(tmp_path / "out")) == output.EXIT_NOT_FOUND
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("signed_in")
def test_output_of_a_job_is_downloaded_and_checked(cox: Cox, client: Client, tmp_path: Path) -> None:
    make_dataset(client, tmp_path)
    agent = FakeAgent(name="n2", slots=4).join()
    job = client.jobs.submit(train_spec(), name="exported", slots_per_node=4)
    assert cox("job", "download", str(job.number)) == output.EXIT_FAILED
    assert "has left no output" in cox.stderr
    run_pass()
    offer = agent.start()
    agent.report(offer, "output", manifest=agent.manifest(offer, {"model.onnx": b"graph", "sub/tokenizer.json": b"{}"}))
    assert cox("job", "download", str(job.number), "-o", str(tmp_path / "out"), "--json") == 0, cox.stderr
    assert sorted(json.loads(cox.stdout)) == [
        str(tmp_path / "out" / name) for name in ("model.onnx", "sub/tokenizer.json")
    ]
    assert (tmp_path / "out" / "model.onnx").read_bytes() == b"graph"


def test_status_of_no_stack_says_so_by_its_exit_code(cox: Cox, tmp_path: Path) -> None:
    assert cox("status", "--data-dir", str(tmp_path), "--json") == output.EXIT_NOT_RUNNING
    assert json.loads(cox.stdout)["running"] is False


def test_doctor_tells_what_is_wrong_by_its_exit_code(cox: Cox) -> None:
    arguments = ("--server", "http://127.0.0.1:9", "--address", "198.51.100.7")  # nobody has it: no ranks are started
    assert cox("worker", "doctor", *arguments, "--json") == output.EXIT_FAILED
    found = {finding["check"]: finding["status"] for finding in json.loads(cox.stdout)}
    assert (found["server"], found["address"], found["collectives"]) == ("failed", "failed", "skipped")
    assert cox("worker", "doctor", *arguments) == output.EXIT_FAILED
    assert "-> check the address" in cox.stdout


def test_entry_point_is_installed() -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "cox", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip()


def test_secret_comes_from_stdin_and_is_listed_without_its_value(
    cox: Cox, signed_in: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("hunter2-and-then-some\n"))
    assert cox("secret", "set", "token") == 0, cox.stderr
    assert cox("secret", "list", "--json") == 0
    assert [item["name"] for item in json.loads(cox.stdout)] == ["token"]
    assert "hunter2" not in cox.stdout + cox.stderr
    monkeypatch.setattr(sys, "stdin", io.StringIO("short\n"))
    assert cox("secret", "set", "token") == output.EXIT_FAILED
    assert "at least 8 characters" in cox.stderr
    assert cox("secret", "delete", "token") == 0
    assert cox("secret", "delete", "token") == output.EXIT_NOT_FOUND


@pytest.mark.usefixtures("signed_in")
def test_model_is_promoted_refused_and_switched_back(cox: Cox, user: User) -> None:
    project = Project.objects.get(name="research")
    Membership.objects.filter(user=user).update(role=Role.OWNER)
    first, second = (version_of(project, user) for _ in range(2))
    assert cox("model", "promote", str(first), "--reason", "good") == 0
    assert "tiny_v1 to production: promoted. The model has no rules." in cox.stdout
    assert cox("model", "rules", "tiny", "--add", "size_on_disk_bytes", "--bound", "5") == 0
    assert "at most 5 bytes" in cox.stdout
    assert cox("model", "promote", str(second), "--no-wait") == 0
    assert "Waits for evaluations: #1" in cox.stdout
    assert cox("job", "cancel", "1") == 0
    decide_waiting()
    assert cox("model", "promote", str(second), "--override", "--reason", "needed") == 0
    assert "size_on_disk_bytes: not judged" in cox.stdout
    assert cox("model", "switch", "tiny", str(first), "--reason", "broken") == 0
    assert "In production: tiny_v1" in cox.stdout
    assert cox("model", "retire", str(second)) == 0
    assert cox("model", "compare", "tiny") == 0
    assert "retired" in cox.stdout
    assert cox("model", "retire", str(first)) == output.EXIT_FAILED
    assert "is in production" in cox.stderr

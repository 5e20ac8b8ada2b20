"""A user's own script on a live stack: metrics, a killed rank, artifacts, a cancel; all over REST, as its own user."""

import hashlib
import io
import os
import signal
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.live.api import Api, Json
from tests.live.stack import LiveStack, eventually
from tests.live.view import in_view, view_environment

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]
SECRET = "a-token-nobody-may-read"
EXAMPLE = Path(__file__).parents[2] / "examples" / "script"


@pytest.fixture(scope="module")
def stack() -> Iterator[LiveStack]:
    with tempfile.TemporaryDirectory(prefix="cox-script-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        live = LiveStack(folder / "data")
        agent = live.specs["agent"]
        command = [*agent.command()[1:]]
        if os.geteuid() == 0:
            (folder / "view").mkdir()
            view = in_view(folder / "view", command)
            env = {**agent.env, **view_environment(folder / "view")}
            live.specs["agent"] = replace(agent, command=lambda: view, env=env)
        else:
            live.specs["agent"] = replace(agent, command=lambda: [*agent.command(), "--scripts-as-agent"])
        try:
            live.start_all()
            yield live
        finally:
            live.stop_all()


@pytest.fixture(scope="module")
def api(stack: LiveStack) -> Api:
    return Api(stack.url, username="admin", password=stack.admin_password)


def pack(folder: Path) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(folder, ".")
    return packed.getvalue()


def script_spec(api: Api, *arguments: str) -> Json:
    return {
        "kind": "script",
        "code": {"source": "archive", "archive": api.upload(pack(EXAMPLE))},
        "entry": {"run": "file", "path": "train.py"},
        "arguments": list(arguments),
        "secrets": [{"deliver": "variable", "secret": "token", "variable": "TOKEN"}],
        "max_restarts": 2,
        "grace_period_s": 40,
    }


def rank_pids(api: Api, job_id: str) -> list[int]:
    """The scripts themselves, below torch's launcher."""
    (launcher,) = api.pids(job_id)
    below = psutil.Process(launcher).children(recursive=True)
    return [process.pid for process in below if "train.py" in " ".join(process.cmdline())]


def test_script_reports_survives_a_kill_stops_when_asked_and_leaves_results(stack: LiveStack, api: Api) -> None:
    api.http.put(f"projects/{api.project()}/secrets/token", json={"value": SECRET}).raise_for_status()
    finished = api.submit("script", script_spec(api, "--steps", "60", "--step-s", "0.1"))
    api.wait_for_step(finished, 25)
    os.kill(rank_pids(api, finished)[1], signal.SIGKILL)
    job = api.wait_final(finished, timeout_s=120)
    assert job["state"] == "succeeded", job["state_reason"]
    assert len(api.get(f"jobs/{finished}/attempts")["results"]) == 1, "torch restarted the ranks, not the control plane"
    assert sorted(api.curve(finished)) == list(range(1, 61))
    out = api.get(f"jobs/{finished}/logs", rank=0, stream="stdout")
    text = str(out)
    assert SECRET not in text
    assert "*" * len(SECRET) in text
    assert "resumed after step " in text
    files = {
        file["path"]: file for file in api.get(f"jobs/{finished}/artifacts")["results"] if file["kind"] == "output"
    }
    content = api.http.get(f"jobs/{finished}/artifacts/{files['model.pt']['id']}/content").content
    assert hashlib.sha256(content).hexdigest() == files["model.pt"]["sha256"]

    cancelled = api.submit("cancelled", script_spec(api, "--steps", "100000", "--step-s", "0.05"))
    api.wait_for_step(cancelled, 5)
    pids = rank_pids(api, cancelled)
    api.post(f"jobs/{cancelled}/cancel")
    job = api.wait_final(cancelled, timeout_s=60)
    assert (job["state"], job["state_reason"]) == ("cancelled", "The script ended after the stop request.")
    saved = max(checkpoint["step"] for checkpoint in api.get(f"jobs/{cancelled}/checkpoints")["results"])
    assert saved == max(api.curve(cancelled)), "both ranks stopped at the step that was saved"
    eventually(lambda: [pid for pid in pids if Path(f"/proc/{pid}").exists()], lambda left: not left, timeout_s=10)

"""The agent as another user of the operating system, who can read nothing that belongs to the server.

Bytes can reach it through the API alone.
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.live.api import Api, stdlib_files
from tests.live.stack import LiveStack
from tests.live.view import in_view, view_environment

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

_USER = "nobody"


@pytest.fixture(scope="module")
def stack() -> Iterator[LiveStack]:
    if os.geteuid() != 0:
        assert "CI" not in os.environ, "run the tests as root: only root can become another user"
        pytest.skip("only root can become another user")
    with tempfile.TemporaryDirectory(prefix="cox-other-user-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        live = LiveStack(folder / "server")
        agent = live.specs["agent"]
        command = list(agent.command())[1:]
        own = folder / "agent"
        own.mkdir()
        join_token = own / "join-token"
        try:
            live.start_all(with_agent=False)
            join_token.write_bytes(live.paths.secrets.joinpath("join-token").read_bytes())
            for path in (own, join_token):
                os.chown(path, 65534, 65534)
            command[command.index("--data-dir") + 1] = str(own)
            command[command.index("--join-token-file") + 1] = str(join_token)
            (folder / "view").mkdir()
            view = in_view(folder / "view", command, user=_USER)
            env = {key: value for key, value in agent.env.items() if key not in {"HOME", "VIRTUAL_ENV"}}
            env |= {"HOME": str(own), **view_environment(folder / "view")}
            live.specs["agent"] = replace(agent, command=lambda: view, cwd=own, env=env)
            live.start("agent")
            yield live
        finally:
            live.stop_all()


def test_job_runs_for_an_agent_that_cannot_read_the_server(stack: LiveStack) -> None:
    for secret in (stack.paths.storage, stack.paths.secrets):
        listing = subprocess.run(
            ["setpriv", f"--reuid={_USER}", "--regid=nogroup", "--clear-groups", "ls", str(secret)],
            capture_output=True,
            check=False,
        )
        assert listing.returncode != 0, f"{_USER} can read {secret}"
    api = Api(stack.url, username="admin", password=stack.admin_password)
    dataset = api.dataset("stdlib", stdlib_files(5))
    trained = api.wait_final(
        api.submit(
            "as-nobody",
            {
                "kind": "train",
                "model": {"source": "config", "hidden_size": 32, "num_layers": 1, "num_heads": 2},
                "tokenizer": {"source": "bpe", "vocab_size": 300},
                "data": {"dataset": dataset, "context_length": 32},
                "steps": 10,
                "output_model": "as-nobody",
            },
        )
    )
    assert trained["state"] == "succeeded", trained["state_reason"]
    assert Path(f"/proc/{stack.pid('agent')}").stat().st_uid == 65534
    sampled = api.wait_final(
        api.submit("sample", {"kind": "generate", "model": "as-nobody_v1", "prompt": "def "}, slots=1)
    )
    assert sampled["state"] == "succeeded", sampled["state_reason"]
    assert sampled["result"]["completions"]

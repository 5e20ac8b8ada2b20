"""One live stack for the fault tests, a small job that trains on it, and its undisturbed curve to compare with."""

import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.live.api import Api, Json, stdlib_files
from tests.live.stack import LiveStack

NUM_STEPS = 100


@pytest.fixture(scope="session")
def stack() -> Iterator[LiveStack]:
    with tempfile.TemporaryDirectory(prefix="cox-faults-") as folder:
        root = Path(folder)
        root.chmod(0o711)  # Postgres enters it as another account when the tests run as root
        live = LiveStack(root / "data")
        agent = live.specs["agent"]
        # As root in a mount namespace of its own, where a test can exchange a disk under it.
        command = ["unshare", "--mount", *agent.command()] if os.geteuid() == 0 else agent.command()
        live.specs["agent"] = replace(agent, command=lambda: command, env={**agent.env, "COX_RANK_STOPPED_S": "3"})
        try:
            live.start_all()
            yield live
        finally:
            live.stop_all()


@pytest.fixture(scope="session")
def api(stack: LiveStack) -> Api:
    return Api(stack.url, username="admin", password=stack.admin_password)


@pytest.fixture(scope="session")
def dataset(api: Api) -> str:
    return api.dataset("stdlib", stdlib_files(20))


@pytest.fixture(scope="session")
def spec(dataset: str) -> Json:
    """A job of some fifteen seconds on two busy cores: long enough to be hit in the middle."""
    return {
        "kind": "train",
        "model": {"source": "config", "hidden_size": 64, "num_layers": 2, "num_heads": 2, "intermediate_size": 128},
        "tokenizer": {"source": "bpe", "vocab_size": 512},
        "data": {"dataset": dataset, "context_length": 128},
        "steps": NUM_STEPS,
        "micro_batch_size": 8,
        "gradient_accumulation": 4,
        "checkpoint": {"every_steps": 25, "keep_last": 3},
        "validate_every_steps": 50,
        # the same learning rate however many steps there are: a longer run begins with the undisturbed curve
        "schedule": {"kind": "wsd", "warmup_steps": 10, "decay_ratio": 0.0},
    }


@pytest.fixture(scope="session")
def undisturbed(api: Api, spec: Json) -> dict[int, float]:
    """Losses by step of a run that nothing happened to."""
    job = api.wait_final(api.submit("undisturbed", spec))
    assert job["state"] == "succeeded", job["state_reason"]
    losses = api.curve(job["id"])
    assert sorted(losses) == list(range(1, NUM_STEPS + 1))
    return losses

"""Three nodes of two slots on one live stack, each a host of its own; and a small job that trains on them."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.api import Api, Json, stdlib_files
from tests.live.network import open_network
from tests.live.stack import LiveStack
from tests.live.view import let_scripts_run

NUM_STEPS = 240


@pytest.fixture(scope="package")
def cluster() -> Iterator[LiveStack]:
    """The stack with agents on n1 and n2; n3 is there to join later. All tests of the folder share it."""
    network = open_network()
    try:
        hosts = [network.add_host(name) for name in ("n1", "n2", "n3")]
        settings = {"COX_ELASTIC_COOLDOWN_S": "2"}
        with tempfile.TemporaryDirectory(prefix="cox-nodes-") as folder:
            root = Path(folder)
            root.chmod(0o711)  # Postgres enters it as another account when the tests run as root
            live = LiveStack(root / "data", hosts=hosts, gateway=network.gateway, settings=settings)
            let_scripts_run(live, root)
            try:
                live.start_all(with_agent=False)
                live.start_agents(["n1", "n2"])
                yield live
            finally:
                live.stop_all()
    finally:
        network.close()


@pytest.fixture(scope="package")
def api(cluster: LiveStack) -> Api:
    return Api(cluster.url, username="admin", password=cluster.admin_password)


@pytest.fixture(scope="package")
def spec(api: Api) -> Json:
    """A job whose arithmetic is the same on every run; its accumulation shares out over one, two or three nodes."""
    return {
        "kind": "train",
        "model": {"source": "config", "hidden_size": 64, "num_layers": 2, "num_heads": 2, "intermediate_size": 128},
        "tokenizer": {"source": "bpe", "vocab_size": 512},
        "data": {"dataset": api.dataset("stdlib", stdlib_files(12)), "context_length": 64, "validation_pct": 0},
        "steps": NUM_STEPS,
        "micro_batch_size": 4,
        "gradient_accumulation": 3,
        "precision": "fp32",
        "checkpoint": {"every_steps": 20, "keep_last": 2, "keep_best": False},
    }


@pytest.fixture(scope="package")
def undisturbed(api: Api, spec: Json) -> dict[int, float]:
    """Losses by step of two ranks on one node that nothing happens to."""
    job = api.wait_final(api.submit("undisturbed", spec, nodes=1, slots=2))
    assert job["state"] == "succeeded", job["state_reason"]
    losses = api.curve(job["id"])
    assert sorted(losses) == list(range(1, NUM_STEPS + 1))
    return losses

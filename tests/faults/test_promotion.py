"""A promotion whose evaluations run on a real node while nobody is there to decide it."""

from typing import Any

import pytest

from tests.live.api import Api
from tests.live.stack import LiveStack, eventually

pytestmark = pytest.mark.faults

SETTINGS = {"length": 32, "num_samples": 8}


@pytest.fixture
def versions(api: Api, dataset: str) -> list[str]:
    """Return the names of a small trained version and of the same one in 4 bits."""
    train = {
        "kind": "train",
        "model": {"source": "config", "hidden_size": 32, "num_layers": 2, "num_heads": 2, "intermediate_size": 64},
        "tokenizer": {"source": "bpe", "vocab_size": 512},
        "data": {"dataset": dataset, "context_length": 32},
        "steps": 5,
        "micro_batch_size": 4,
        "output_model": "gated",
    }
    recipe = [{"method": "rtn", "bits": 4, "group_size": 16}]
    compress = {"kind": "compress", "model": "gated_v1", "recipe": recipe}
    found = []
    for name, spec in (("train", train), ("compress", compress)):
        job = api.wait_final(api.submit(name, spec, slots=1))
        assert job["state"] == "succeeded", job["state_reason"]
        found.append(job["output_version"]["name"])
    return found


def test_promotion_is_decided_when_the_control_worker_comes_back(
    stack: LiveStack, api: Api, dataset: str, versions: list[str]
) -> None:
    first, second = versions
    model = api.get(f"model-versions/{first}")["model"]
    assert api.post(f"model-versions/{first}/promotions")["state"] == "promoted"
    quality: dict[str, Any] = {"dataset": dataset, "settings": SETTINGS}
    rules = f"models/{model}/rules"
    api.post(rules, {"metric": "perplexity", "against": "production", "tolerance_pct": 100, **quality})
    api.post(rules, {"metric": "top1_agreement", "against": "number", "bound": 0.01, **quality})
    api.post(rules, {"metric": "size_in_memory_bytes", "against": "production"})
    stack.kill("worker")
    promotion = api.post(f"model-versions/{second}/promotions", {"reason": "smaller"})
    for job in promotion["jobs"]:
        done = api.wait_final(job["id"])
        assert done["state"] == "succeeded", done["state_reason"]
    promotions = f"model-versions/{second}/promotions"
    assert api.get(promotions)["results"][0]["state"] == "pending"
    stack.start("worker")
    decided = eventually(
        lambda: api.get(promotions)["results"][0], lambda row: row["state"] != "pending", timeout_s=120
    )
    assert decided["state"] == "promoted", decided
    assert [verdict["passed"] for verdict in decided["verdicts"]] == [True] * 3
    assert api.get(f"models/{model}/production")["version"]["name"] == second
    before = api.get(f"models/{model}/production", at=promotion["created_at"])
    assert before["version"]["name"] == first
    rows = {row["version"]["name"]: row["cells"] for row in api.get(f"models/{model}/comparison")["rows"]}
    assert set(rows) == {first, second}
    size = next(cell for cell in rows[second] if cell["metric"] == "size_in_memory_bytes")
    assert size["difference_pct"] < -20

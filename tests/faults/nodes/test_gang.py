"""One job over two nodes that nothing happens to."""

import pytest

from tests.live.api import Api, Json
from tests.live.stack import LiveStack

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]


def test_gang_over_two_nodes_trains_like_two_ranks_on_one(
    cluster: LiveStack, api: Api, spec: Json, undisturbed: dict[int, float]
) -> None:
    job = api.wait_final(api.submit("two-nodes", spec, nodes=2, slots=1))
    assert job["state"] == "succeeded", job["state_reason"]
    assert api.curve(job["id"]) == undisturbed
    (attempt,) = api.attempts(job["id"])
    assert {row["node"] for row in attempt["allocations"]} == {"n1", "n2"}
    assert all(row["is_warm"] and len(row["devices"]) == len(row["pids"]) == 1 for row in attempt["allocations"])

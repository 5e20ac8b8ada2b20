"""The network between the nodes fails while a job trains over two of them."""

from collections.abc import Iterator

import pytest

from tests.faults.nodes.chain import assert_whole, gone, sizes, submit, wait_for_attempt
from tests.faults.nodes.test_losses import OTHER_SIZE, needs_namespaces
from tests.live.api import Api, Json
from tests.live.network import Host
from tests.live.stack import LiveStack, eventually

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300), needs_namespaces]


@pytest.fixture
def hosts(cluster: LiveStack) -> Iterator[dict[str, Host]]:
    """The hosts by name; n1 and n2 are in reach of each other and the control plane again when the test is over."""
    named = {host.name: host for host in cluster.hosts}
    yield named
    for name in ("n1", "n2"):
        named[name].isolate(is_isolated=False)
        named[name].cut(is_cut=False)


def test_nodes_that_lose_sight_of_each_other_begin_again_when_they_see_each_other(
    cluster: LiveStack, api: Api, spec: Json, undisturbed: dict[int, float], hosts: dict[str, Host]
) -> None:
    job_id = submit(api, "partition", spec)
    for name in ("n1", "n2"):
        hosts[name].isolate(is_isolated=True)
    eventually(lambda: api.attempts(job_id)[0]["state"], lambda state: state == "ended", timeout_s=60)
    for name in ("n1", "n2"):
        hosts[name].isolate(is_isolated=False)
    assert assert_whole(api, job_id, spec) == undisturbed
    assert set(sizes(api, job_id)) == {2}
    assert "was lost" not in str(api.attempts(job_id)), "both nodes were in reach of the control plane"


def test_node_cut_off_from_everything_is_left_behind_and_comes_back(
    cluster: LiveStack, api: Api, spec: Json, undisturbed: dict[int, float], hosts: dict[str, Host]
) -> None:
    job_id = submit(api, "cut-off", spec, min_nodes=1)
    left, lost = api.places(job_id)
    ranks = api.pids(job_id, lost)
    hosts[lost].cut(is_cut=True)
    wait_for_attempt(api, job_id, 2)
    assert api.places(job_id) == [left]
    hosts[lost].cut(is_cut=False)
    eventually(lambda: gone(ranks), bool, timeout_s=20)
    assert assert_whole(api, job_id, spec) == pytest.approx(undisturbed, abs=OTHER_SIZE)
    assert sizes(api, job_id)[:2] == [2, 1]


def test_slow_network_changes_nothing_but_the_pace(
    cluster: LiveStack, api: Api, spec: Json, undisturbed: dict[int, float], hosts: dict[str, Host]
) -> None:
    for name in ("n1", "n2"):
        hosts[name].slow_down("tbf", "rate", "40mbit", "burst", "32kbit", "latency", "400ms")
    try:
        job_id = api.submit("slow", spec, nodes=2, slots=1)
        assert assert_whole(api, job_id, spec) == undisturbed
        assert sizes(api, job_id) == [2]
    finally:
        for name in ("n1", "n2"):
            hosts[name].slow_down()

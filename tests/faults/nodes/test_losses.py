"""Ranks, agents and whole nodes fail while a job trains over two nodes: it ends as if nothing had happened."""

import os
import signal
from collections.abc import Iterator

import pytest

from tests.faults.nodes.chain import assert_whole, gone, sizes, submit, wait_for_attempt
from tests.live.api import Api, Json
from tests.live.network import Host, has_namespaces
from tests.live.stack import LiveStack, eventually

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

needs_namespaces = pytest.mark.skipif(not has_namespaces(), reason="needs network namespaces, so root")
OTHER_SIZE = 1e-4
"""Greatest difference of a loss under another world size: the same sums in another order, in fp32."""


@pytest.fixture
def hosts(cluster: LiveStack) -> Iterator[dict[str, Host]]:
    """The hosts by name; whatever a test did to them, they go on when it is over."""
    named = {host.name: host for host in cluster.hosts}
    yield named
    for host in named.values():
        if host.namespace is not None:
            host.thaw()


def test_killed_rank_is_started_again_on_both_nodes(
    cluster: LiveStack, api: Api, spec: Json, undisturbed: dict[int, float]
) -> None:
    job_id = submit(api, "kill-a-rank", spec)
    os.kill(api.pids(job_id)[-1], signal.SIGKILL)
    assert assert_whole(api, job_id, spec) == undisturbed
    assert sizes(api, job_id) == [2, 2]


def test_shards_saved_by_two_nodes_are_gone_on_from(
    cluster: LiveStack, api: Api, spec: Json, undisturbed: dict[int, float]
) -> None:
    sharded = spec | {"distribution": {"data_parallel": {"kind": "fsdp"}}}
    job_id = submit(api, "kill-a-shard", sharded)
    os.kill(api.pids(job_id)[-1], signal.SIGKILL)
    assert assert_whole(api, job_id, sharded) == pytest.approx(undisturbed, abs=OTHER_SIZE)
    assert sizes(api, job_id) == [2, 2]
    assert api.attempts(job_id)[1]["resumed_step"] >= 40


def test_elastic_job_goes_on_without_a_dead_agents_node_and_grows_when_it_is_back(
    cluster: LiveStack, api: Api, spec: Json, undisturbed: dict[int, float]
) -> None:
    job_id = submit(api, "kill-an-agent", spec, min_nodes=1)
    left, lost = api.places(job_id)
    ranks = api.pids(job_id, lost)
    cluster.kill(lost)
    try:
        eventually(lambda: gone(ranks), bool, timeout_s=10)
        wait_for_attempt(api, job_id, 2)
        assert api.places(job_id) == [left]
    finally:
        cluster.start(lost, wait=False)
    losses = assert_whole(api, job_id, spec)
    cluster.wait_ready(lost)
    assert sizes(api, job_id) == [2, 1, 2]
    assert "Grows from 1 to 2 nodes" in str(api.get(f"jobs/{job_id}/events"))
    assert losses == pytest.approx(undisturbed, abs=OTHER_SIZE)
    shrunk_at = api.attempts(job_id)[1]["resumed_step"]
    before = {step: loss for step, loss in undisturbed.items() if step <= shrunk_at}
    assert {step: losses[step] for step in before} == before, "as long as the world size was the same"


@needs_namespaces
def test_frozen_node_of_rank_zero_obeys_and_joins_again_when_it_thaws(
    cluster: LiveStack, api: Api, spec: Json, undisturbed: dict[int, float], hosts: dict[str, Host]
) -> None:
    job_id = submit(api, "freeze", spec)
    frozen = api.places(job_id)[0]
    ranks = api.pids(job_id, frozen)
    hosts[frozen].freeze()
    eventually(lambda: api.attempts(job_id)[0]["state"], lambda state: state == "ended")
    hosts[frozen].thaw()
    eventually(lambda: gone(ranks), bool, timeout_s=20)
    assert assert_whole(api, job_id, spec) == undisturbed
    assert sizes(api, job_id) == [2, 2]
    first = api.attempts(job_id)[0]
    assert first["outcome"] == "lost"
    assert f"Node {frozen} was lost" in first["reason"], "what it said after its lease changes nothing"
    assert frozen in api.places(job_id)


@needs_namespaces
def test_node_that_joins_takes_the_place_of_the_dead_node_of_rank_zero(
    cluster: LiveStack, api: Api, spec: Json, undisturbed: dict[int, float], hosts: dict[str, Host]
) -> None:
    job_id = submit(api, "lose-rank-zero", spec)
    lost, left = api.places(job_id)
    hosts[lost].kill()
    cluster.kill(lost)
    try:
        cluster.start("n3", wait=False)
        assert assert_whole(api, job_id, spec) == undisturbed
        assert sizes(api, job_id) == [2, 2]
        assert sorted(api.places(job_id)) == sorted([left, "n3"])
    finally:
        cluster.stop("n3")
        cluster.start(lost)

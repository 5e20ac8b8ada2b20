"""Passes of the scheduler: order, gangs, leases, offers that nobody takes."""

from collections.abc import Callable
from typing import Any

import pytest

from apps.accounts.models import User
from apps.cluster.models import Node
from apps.cluster.services import set_draining
from apps.jobs.models import Allocation, Attempt, DeviceHold, Job
from apps.jobs.services import cancel_job
from apps.projects.models import Project
from tests.apps.jobs.simulation import (
    FakeAgent,
    age_attempts,
    control_plane_up_for,
    run_pass,
    silence,
    submit,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("dataset")]

Join = Callable[..., FakeAgent]
Submit = Callable[..., Job]


@pytest.fixture
def queue(project: Project, editor: User) -> Submit:
    """Return a function that queues a job of ``nodes`` x ``slots``."""

    def make(slots: int = 1, *, nodes: int = 1, pool: str = "default", priority: int = 0) -> Job:
        resources = {"pool": pool, "nodes": nodes, "slots_per_node": slots}
        return submit(project, editor, resources=resources, priority=priority)

    return make


def state_of(job: Job) -> tuple[str, str]:
    job.refresh_from_db()
    return job.state, job.state_reason


def held() -> int:
    return DeviceHold.objects.filter(released_at=None).count()


# Placement


def test_oldest_of_the_highest_priority_comes_first(join: Join, queue: Submit) -> None:
    join(slots=1)
    queue()
    older_urgent, _ = queue(priority=5), queue(priority=5)
    assert run_pass().placed == [older_urgent.pk]


def test_wide_job_is_not_overtaken_by_narrow_ones(join: Join, queue: Submit) -> None:
    join(slots=2)
    running = queue(1)
    assert run_pass().placed == [running.pk]
    wide, narrow = queue(2), queue(1)
    assert run_pass().placed == []
    assert state_of(wide)[1] == "Waits for 2 free slots on a node in pool 'default'."
    assert state_of(narrow)[1] == f"Waits behind job #{wide.number} for pool 'default'."


def test_job_that_nothing_up_can_hold_does_not_stop_the_pool(join: Join, queue: Submit) -> None:
    join("n1", slots=2)
    large = join("n2", slots=4)
    wide = queue(4)
    silence(large.node, 60)
    narrow = queue(1)
    assert run_pass().placed == [narrow.pk]
    assert "too few nodes that large" in state_of(wide)[1]


def test_pools_do_not_wait_for_each_other(join: Join, queue: Submit) -> None:
    join("n1", slots=1)
    join("n2", slots=1, pool="other")
    queue()
    run_pass()
    queue()
    elsewhere = queue(pool="other")
    assert run_pass().placed == [elsewhere.pk]


def test_job_of_an_empty_pool_says_why_it_waits(join: Join, queue: Submit) -> None:
    agent = join(slots=1)
    job = queue()
    silence(agent.node, 60)
    run_pass()
    assert "no node of the pool is up" in state_of(job)[1]


def test_draining_node_keeps_its_job_and_gets_no_new_one(join: Join, queue: Submit) -> None:
    agent = join(slots=2)
    running = queue()
    run_pass()
    offer = agent.start()
    set_draining(node_id=agent.node.pk, is_draining=True)
    waiting = queue()
    assert run_pass().placed == []
    assert state_of(running)[0] == "running"
    assert agent.beat(agent.holding(offer))["live"] == [offer["allocation_id"]]
    set_draining(node_id=agent.node.pk, is_draining=False)
    assert run_pass().placed == [waiting.pk]


def test_fullest_node_with_room_is_taken(join: Join, queue: Submit) -> None:
    join("large", slots=4)
    join("small", slots=1)
    queue(1)
    run_pass()
    assert Allocation.objects.get().node.name == "small"


# Gangs


def test_gang_takes_all_its_nodes_or_none(join: Join, queue: Submit) -> None:
    first = join("n1", slots=2)
    second = join("n2", slots=2)
    blocker = queue(1)
    run_pass()
    gang = queue(2, nodes=2)
    assert run_pass().placed == []
    assert held() == 1

    cancel_job(job_id=blocker.pk)
    assert run_pass().placed == [gang.pk]
    assert held() == 4
    one, two = first.offer(), second.offer()
    ranks = {str(item.pk): item.node_rank for item in Allocation.objects.filter(released_at=None)}
    rank_zero = first if ranks[one["allocation_id"]] == 0 else second
    assert first.claim(one, port=1111).json()["order"] is None
    order = second.claim(two, port=2222).json()["order"]
    assert order["num_nodes"] == 2
    assert order["master_port"] == (1111 if rank_zero is first else 2222)
    (other,) = first.beat(first.holding(one, "claimed"))["orders"]
    assert {order["node_rank"], other["node_rank"]} == {0, 1}
    assert (other["master_addr"], other["master_port"]) == (order["master_addr"], order["master_port"])

    first.report(one, "running", warm=True)
    assert state_of(gang)[0] == "starting"
    second.report(two, "running", warm=True)
    assert state_of(gang)[0] == "running"


def two_node_gang(join: Join, queue: Submit) -> tuple[Job, Any, Any, FakeAgent, FakeAgent]:
    first, second = join("n1", slots=1), join("n2", slots=1)
    gang = queue(1, nodes=2)
    run_pass()
    one, two = first.offer(), second.offer()
    first.claim(one)
    second.claim(two)
    first.report(one, "running", warm=True)
    second.report(two, "running", warm=True)
    return gang, one, two, first, second


def test_one_failure_ends_the_attempt_for_all_its_nodes(join: Join, queue: Submit) -> None:
    gang, one, two, first, second = two_node_gang(join, queue)
    first.exit(one, "failed", failure_kind="retryable", reason="killed")
    assert state_of(gang)[0] == "queued"
    assert run_pass().placed == []  # the other node's ranks are not known to be gone
    assert second.report(two, "progress", step=1, total_steps=2).json()["code"] == "stale_fence"
    assert second.beat(second.holding(two))["live"] == []
    second.exit(two, "killed")
    assert run_pass().placed == [gang.pk]


def test_gang_succeeds_when_all_its_nodes_have(join: Join, queue: Submit) -> None:
    gang, one, two, first, second = two_node_gang(join, queue)
    first.model(one)
    second.exit(two, "succeeded")
    assert state_of(gang)[0] == "running"
    first.exit(one, "succeeded")
    assert state_of(gang)[0] == "succeeded"


# Offers that nobody takes


def test_unclaimed_offer_is_withdrawn_after_its_time(join: Join, queue: Submit) -> None:
    agent = join(slots=1)
    job = queue()
    run_pass()
    offer = agent.offer()
    age_attempts(29)
    assert run_pass().expired == []
    age_attempts(2)
    report = run_pass()
    assert len(report.expired) == 1
    assert report.placed == [job.pk]  # at once, under the next fence
    assert Attempt.objects.get(number=1).outcome == "unclaimed"
    job.refresh_from_db()
    assert (job.fence, job.infrastructure_failures) == (2, 0)
    assert agent.claim(offer).json()["code"] == "stale_fence"


def test_gang_that_is_not_wholly_claimed_ends_and_is_released(join: Join, queue: Submit) -> None:
    first, second = join("n1", slots=1), join("n2", slots=1)
    queue(1, nodes=2)
    run_pass()
    offer = first.offer()
    first.claim(offer)
    set_draining(node_id=second.node.pk, is_draining=True)
    age_attempts(31)
    assert len(run_pass().expired) == 1
    assert held() == 0
    assert "n2" in Attempt.objects.get().reason
    assert first.beat(first.holding(offer, "claimed"))["live"] == []


# Leases


@pytest.fixture
def running(join: Join, queue: Submit) -> tuple[FakeAgent, Job, dict[str, Any]]:
    """Return an agent, its running job, and its allocation."""
    agent = join(slots=1)
    job = queue()
    run_pass()
    return agent, job, agent.start()


Running = tuple[FakeAgent, Job, dict[str, Any]]


def test_silent_node_is_lost_and_its_job_goes_on_elsewhere(running: Running, join: Join) -> None:
    agent, job, offer = running
    join("n2", slots=1)
    silence(agent.node, 21)
    report = run_pass()
    assert report.lost_nodes == ["n1"]
    assert report.placed == [job.pk]
    lost = Attempt.objects.get(number=1)
    assert (lost.outcome, lost.state) == ("lost", "ended")
    assert agent.report(offer, "progress", step=1, total_steps=2).json()["code"] == "stale_fence"


def test_silence_shorter_than_a_lease_is_nothing(running: Running) -> None:
    agent, job, _ = running
    silence(agent.node, 19)
    assert run_pass().lost_nodes == []
    assert state_of(job)[0] == "running"


@pytest.mark.parametrize("up_for_s", [0, 5, 19])
def test_after_an_outage_all_leases_start_afresh(running: Running, up_for_s: float) -> None:
    agent, job, offer = running
    control_plane_up_for(up_for_s)
    silence(agent.node, 600)
    assert run_pass().lost_nodes == []
    assert state_of(job)[0] == "running"
    assert agent.beat(agent.holding(offer))["live"] == [offer["allocation_id"]]
    control_plane_up_for(3600)
    assert run_pass().lost_nodes == []


def test_silence_counts_again_once_the_control_plane_was_up_for_a_lease(running: Running) -> None:
    agent, job, _ = running
    control_plane_up_for(21)
    silence(agent.node, 600)
    assert run_pass().lost_nodes == ["n1"]
    assert state_of(job)[0] == "queued"


def test_node_lost_while_cancelling_is_cancelled(running: Running) -> None:
    agent, job, _ = running
    cancel_job(job_id=job.pk)
    silence(agent.node, 21)
    run_pass()
    assert state_of(job)[0] == "cancelled"


def test_lost_node_that_returns_gets_jobs_again(running: Running) -> None:
    agent, job, offer = running
    silence(agent.node, 21)
    run_pass()
    assert Node.objects.filter(lost_at__isnull=False).count() == 1
    reply = agent.beat(agent.holding(offer))
    assert reply["live"] == []
    assert Node.objects.filter(lost_at__isnull=False).count() == 0
    assert run_pass().placed == [job.pk]


# Agents that come back


def test_restarted_agent_that_holds_nothing_ends_its_running_attempt(running: Running) -> None:
    agent, job, _ = running
    assert agent.beat()["live"] != []  # claimed a moment ago: the heartbeat may have been on its way
    age_attempts(6)
    assert agent.beat()["live"] == []
    assert state_of(job)[0] == "queued"
    assert held() == 0
    assert run_pass().placed == [job.pk]


def test_order_is_repeated_until_it_runs(join: Join, queue: Submit) -> None:
    agent = join(slots=1)
    queue()
    run_pass()
    offer = agent.offer()
    order = agent.claim(offer).json()["order"]
    for _ in range(2):
        assert agent.beat()["orders"] == [order]
    assert agent.claim(offer).json()["order"] == order
    agent.report(offer, "running", warm=False)
    assert agent.beat(agent.holding(offer))["orders"] == []


def test_claim_that_was_never_launched_is_given_up(join: Join, queue: Submit) -> None:
    agent = join(slots=1)
    job = queue()
    run_pass()
    agent.claim(agent.offer())
    age_attempts(31)
    assert agent.beat()["live"] == []
    assert state_of(job)[0] == "queued"

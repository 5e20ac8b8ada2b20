"""Elastic jobs: sizes that keep the batch, going on with fewer nodes, growing again; and gangs that compete."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts.models import User
from apps.cluster.services import set_draining
from apps.core.errors import InvalidInput
from apps.core.models import Event
from apps.jobs.models import Attempt, DeviceHold, Job
from apps.jobs.services import rerun_job
from apps.projects.models import Project
from tests.apps.jobs.simulation import TRAIN_SPEC, FakeAgent, age_attempts, run_pass, silence, submit

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("dataset")]

Join = Callable[..., FakeAgent]
Submit = Callable[..., Job]


@pytest.fixture
def queue(project: Project, editor: User) -> Submit:
    """Return a function that queues a job whose step has ``passes`` passes a slot and node."""

    def make(nodes: int = 2, *, passes: int = 3, priority: int = 0, **resources: Any) -> Job:
        wanted = {"pool": "default", "nodes": nodes, "slots_per_node": 1, **resources}
        spec = TRAIN_SPEC | {"gradient_accumulation": passes}
        return submit(project, editor, spec=spec, resources=wanted, priority=priority)

    return make


def launch(*agents: FakeAgent, step: int = 1) -> dict[str, dict[str, Any]]:
    """Claim everything on offer and let it train; return the offers by node."""
    offers = {agent.name: (agent, agent.offer()) for agent in agents}
    for agent, offer in offers.values():
        assert agent.claim(offer).status_code == 200
    for agent, offer in offers.values():
        assert agent.report(offer, "running", pids=[1], warm=True).status_code == 200
    for agent, offer in offers.values():
        agent.report(offer, "progress", step=step, total_steps=100)
    return {name: offer for name, (_, offer) in offers.items()}


def order_of(agent: FakeAgent, offer: dict[str, Any]) -> dict[str, Any]:
    """Return the launch order behind a claimed offer."""
    order: dict[str, Any] = agent.claim(offer).json()["order"]
    return order


def state_of(job: Job) -> tuple[str, str]:
    job.refresh_from_db()
    return job.state, job.state_reason


def cool_down() -> None:
    """Pretend that every attempt began ten minutes ago."""
    Attempt.objects.update(started_at=timezone.now() - timedelta(minutes=10))


# What may be asked


@pytest.mark.parametrize(
    ("resources", "field", "words"),
    [
        ({"nodes": 2, "min_nodes": 3}, "resources.min_nodes", "min_nodes=3 is above nodes=2"),
        ({"nodes": 2, "max_nodes": 1}, "resources.max_nodes", "max_nodes=1 is below nodes=2"),
        ({"nodes": 2, "max_nodes": 4}, "resources.max_nodes", "max_nodes=4 does not divide the 6 passes"),
        ({"nodes": 3, "min_nodes": 3}, "resources.min_nodes", "3 nodes with 1 slots"),
    ],
)
def test_sizes_that_cannot_be_are_refused(
    join: Join, queue: Submit, resources: dict[str, int], field: str, words: str
) -> None:
    join("n1"), join("n2")
    with pytest.raises(InvalidInput) as refused:
        queue(**resources)
    (error,) = refused.value.errors
    assert error.field == field
    assert words in error.message


def test_sizes_that_share_out_the_batch_are_kept_for_reruns_too(join: Join, queue: Submit, editor: User) -> None:
    join("n1")
    job = queue(nodes=2, passes=2, min_nodes=1, max_nodes=4)
    assert job.node_counts == [1, 2, 4]
    assert rerun_job(job_id=job.pk, actor=editor).node_counts == [1, 2, 4]


# Going on with fewer


def test_job_begins_with_what_is_there_and_keeps_its_global_batch(join: Join, queue: Submit) -> None:
    agent = join("n1")
    queue(nodes=2, passes=3, min_nodes=1, max_nodes=3)
    run_pass()
    order = order_of(agent, launch(agent)["n1"])
    assert (order["num_nodes"], order["spec"]["gradient_accumulation"]) == (1, 6)


def test_lost_node_leaves_the_job_on_the_others(join: Join, queue: Submit) -> None:
    first, second = join("n1", slots=1), join("n2", slots=1)
    job = queue(nodes=2, min_nodes=1)
    run_pass()
    offers = launch(first, second)
    silence(second.node, 21)
    assert run_pass().placed == []  # the ranks of n1 are not known to be gone
    assert "Waits for its earlier ranks on n1" in state_of(job)[1]
    first.exit(offers["n1"], "failed", failure_kind="retryable", reason="peer lost")
    assert run_pass().placed == [job.pk]
    order = order_of(first, launch(first)["n1"])
    assert (order["num_nodes"], order["spec"]["gradient_accumulation"]) == (1, 6)
    resized = Event.objects.get(object_id=job.pk, action="resized")
    assert (resized.before, resized.after) == ({"nodes": 2}, {"nodes": 1})


def test_job_waits_for_ranks_that_are_about_to_end_but_not_for_a_silent_node(join: Join, queue: Submit) -> None:
    first, second = join("n1", slots=1), join("n2", slots=1)
    job = queue(nodes=2, min_nodes=1)
    run_pass()
    offers = launch(first, second)
    first.exit(offers["n1"], "failed", failure_kind="retryable", reason="rank 0 was killed")
    assert run_pass().placed == []
    silence(second.node, 11)
    assert run_pass().placed == [job.pk]
    assert Attempt.objects.order_by("number").last().num_nodes == 1  # type: ignore[union-attr]


def test_nothing_is_offered_to_a_node_that_has_gone_silent(join: Join, queue: Submit) -> None:
    join("n1", slots=1)
    silent = join("n2", slots=2)
    job = queue(nodes=2, min_nodes=1)
    silence(silent.node, 11)
    assert run_pass().placed == [job.pk]
    assert Attempt.objects.get().num_nodes == 1


def test_too_few_nodes_for_the_least_size_wait(join: Join, queue: Submit) -> None:
    agents = [join(f"n{number}", slots=1) for number in (1, 2, 3)]
    job = queue(nodes=3, min_nodes=2, passes=2)
    run_pass()
    offers = launch(*agents)
    for lost in agents[1:]:
        silence(lost.node, 21)
    run_pass()
    agents[0].exit(offers["n1"], "failed", failure_kind="retryable")
    assert run_pass().placed == []
    assert "each of 2 nodes" in state_of(job)[1]


def test_two_failures_in_a_row_let_it_try_fewer_nodes(join: Join, queue: Submit) -> None:
    agents = [join("n1", slots=1), join("n2", slots=1)]
    queue(nodes=2, min_nodes=1)
    for _ in range(2):
        run_pass()
        offers = launch(*agents)
        for agent in agents:
            agent.exit(offers[agent.name], "failed", failure_kind="retryable", reason="no route to n1")
    run_pass()
    assert Attempt.objects.order_by("number").last().num_nodes == 1  # type: ignore[union-attr]


# Growing again


@pytest.fixture
def small(join: Join, queue: Submit) -> tuple[Job, FakeAgent, dict[str, Any]]:
    """Return an elastic job that trains on one node of the two it could have, with its agent and offer."""
    agent = join("n1", slots=1)
    job = queue(nodes=2, min_nodes=1)
    run_pass()
    return job, agent, launch(agent)["n1"]


Small = tuple[Job, FakeAgent, dict[str, Any]]


def test_job_grows_when_a_node_joins(small: Small, join: Join) -> None:
    job, agent, offer = small
    second = join("n2", slots=1)
    assert run_pass().grown == []  # it has only just begun
    cool_down()
    assert run_pass().grown == [job.pk]
    assert state_of(job) == (
        "preempting",
        "Grows from 1 to 2 nodes: stops after saving and goes on from there.",
    )
    (wish,) = agent.beat(agent.holding(offer))["wishes"]
    assert wish["kind"] == "stop"
    assert run_pass().grown == []  # once is enough
    agent.checkpoint(offer, 9)
    agent.exit(offer, "stopped")
    assert run_pass().placed == [job.pk]
    order = order_of(second, launch(agent, second)["n2"])
    assert (order["num_nodes"], order["spec"]["gradient_accumulation"]) == (2, 3)
    assert [item["step"] for item in order["inputs"] if item["role"] == "checkpoint"] == [9]
    assert state_of(job)[0] == "running"
    assert job.infrastructure_failures == 0


def test_job_does_not_grow_into_what_another_waits_for(small: Small, join: Join, queue: Submit) -> None:
    job, _, _ = small
    join("n2", slots=1)
    busy = join("n3", slots=1)
    set_draining(node_id=busy.node.pk, is_draining=True)
    cool_down()
    wide = queue(nodes=3)
    set_draining(node_id=busy.node.pk, is_draining=False)
    report = run_pass()
    assert (report.placed, report.grown) == ([], [])
    assert state_of(wide)[0] == "queued"
    assert state_of(job)[0] == "running"


def test_nodes_are_kept_for_a_job_that_stops_to_grow(small: Small, join: Join, queue: Submit) -> None:
    job, agent, offer = small
    second = join("n2", slots=1)
    cool_down()
    assert run_pass().grown == [job.pk]
    later = queue(nodes=1)
    assert run_pass().placed == []
    assert state_of(later) == (
        "queued",
        f"Waits for 1 free slot on a node in pool 'default'; what is free is kept for job #{job.number}, which grows.",
    )
    agent.exit(offer, "stopped")
    assert run_pass().placed == [job.pk]
    launch(agent, second)
    assert (state_of(job)[0], job.attempt_nodes) == ("running", 2)


def test_nodes_are_not_kept_from_a_more_urgent_job(small: Small, join: Join, queue: Submit) -> None:
    job, agent, offer = small
    join("n2", slots=1)
    cool_down()
    run_pass()
    urgent = queue(nodes=1, priority=5)
    assert run_pass().placed == [urgent.pk]
    agent.exit(offer, "stopped")
    assert run_pass().placed == [job.pk]
    launch(agent)
    assert (state_of(job)[0], job.attempt_nodes) == ("running", 1)


def test_what_a_growing_jobs_ended_ranks_held_is_kept_for_it_too(join: Join, queue: Submit) -> None:
    first, second = join("n1", slots=1), join("n2", slots=1)
    job = queue(nodes=2, passes=3, min_nodes=1, max_nodes=3)
    run_pass()
    offers = launch(first, second)
    join("n3", slots=1)
    cool_down()
    assert run_pass().grown == [job.pk]
    queue(nodes=1)
    second.exit(offers["n2"], "stopped")
    assert run_pass().placed == []
    first.exit(offers["n1"], "stopped")
    assert run_pass().placed == [job.pk]
    job.refresh_from_db()
    assert job.attempt_nodes == 3


def test_job_does_not_grow_before_its_first_step(join: Join, queue: Submit) -> None:
    agent = join("n1", slots=1)
    queue(nodes=2, min_nodes=1)
    run_pass()
    agent.start()
    join("n2", slots=1)
    cool_down()
    assert run_pass().grown == []


def test_only_nodes_outside_the_gang_count_as_free(join: Join, queue: Submit) -> None:
    agent = join("n1", slots=2)  # one slot of it stays free
    queue(nodes=2, min_nodes=1)
    run_pass()
    launch(agent)
    cool_down()
    assert run_pass().grown == []


def test_job_that_stopped_to_grow_takes_what_is_left_when_the_node_is_gone(small: Small, join: Join) -> None:
    job, agent, offer = small
    second = join("n2", slots=1)
    cool_down()
    run_pass()
    silence(second.node, 21)
    agent.exit(offer, "stopped")
    assert run_pass().placed == [job.pk]
    launch(agent)
    assert state_of(job)[0] == "running"
    assert job.attempt_nodes == 1


# Gangs that compete, and nodes that are slow or go


def held() -> int:
    return DeviceHold.objects.filter(released_at=None).count()


def test_two_gangs_that_want_the_same_nodes_run_one_after_the_other(join: Join, queue: Submit) -> None:
    agents = [join(f"n{number}", slots=1) for number in (1, 2, 3)]
    first, second = queue(nodes=2), queue(nodes=2)
    assert run_pass().placed == [first.pk]
    assert held() == 2  # the third slot is not taken by half a gang
    assert state_of(second)[1] == "Waits for 1 free slot on each of 2 nodes in pool 'default'."
    mine = [agent for agent in agents if agent.beat()["offers"]]
    offers = launch(*mine)
    for agent in mine:
        agent.exit(offers[agent.name], "failed", failure_kind="user", reason="bad data")
    assert run_pass().placed == [second.pk]
    assert held() == 2


def test_slow_claimer_joins_its_gang_as_long_as_the_offer_stands(join: Join, queue: Submit) -> None:
    fast, slow = join("n1", slots=1), join("n2", slots=1)
    job = queue(nodes=2)
    run_pass()
    offer = fast.offer()
    fast.claim(offer)
    age_attempts(29)
    assert run_pass().expired == []
    assert slow.claim(slow.offer()).json()["order"]["num_nodes"] == 2
    age_attempts(10)
    assert run_pass().expired == []  # claimed whole: its time no longer counts
    assert fast.beat(fast.holding(offer, "claimed"))["orders"] != []
    assert state_of(job)[0] == "starting"


def test_node_lost_between_claim_and_order_gives_the_gang_up_whole(join: Join, queue: Submit) -> None:
    first, second = join("n1", slots=1), join("n2", slots=1)
    job = queue(nodes=2)
    run_pass()
    offer = first.offer()
    first.claim(offer)
    silence(first.node, 21)
    run_pass()
    late = second.beat()
    assert late["offers"] == []
    assert held() == 0
    assert state_of(job)[0] == "queued"
    assert first.report(offer, "running", warm=True).json()["code"] == "stale_fence"
    first.beat(first.holding(offer, "claimed"))
    assert run_pass().placed == [job.pk]


def test_claim_of_a_node_whose_lease_ran_out_is_refused(join: Join, queue: Submit) -> None:
    first, second = join("n1", slots=1), join("n2", slots=1)
    queue(nodes=2)
    run_pass()
    offer, other = first.offer(), second.offer()
    second.claim(other)
    silence(first.node, 21)
    assert first.claim(offer).json()["code"] == "not_claimable"
    assert second.beat(second.holding(other, "claimed"))["orders"] == []

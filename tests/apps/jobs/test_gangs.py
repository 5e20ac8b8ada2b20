"""Several nodes that report about one attempt: checkpoints in parts, and whose word about the end counts."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts.models import User
from apps.jobs.models import Attempt, Checkpoint, CheckpointPart, Job
from apps.projects.models import Project
from tests.apps.jobs.simulation import FakeAgent, run_pass, silence, submit

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("dataset")]


@dataclass
class Gang:
    """A job over two nodes, with its agents and their offers in the order of their node ranks."""

    job: Job
    agents: list[FakeAgent]
    offers: list[dict[str, Any]] = field(default_factory=list)

    def start(self) -> list[dict[str, Any]]:
        """Place, claim and launch an attempt; return each node's order."""
        run_pass()
        offered = {agent.node.pk: (agent, agent.offer()) for agent in self.agents}
        attempt = Attempt.objects.order_by("number").last()
        assert attempt is not None
        pairs = [offered[row.node_id] for row in attempt.allocations.order_by("node_rank")]
        self.agents, self.offers = [agent for agent, _ in pairs], [offer for _, offer in pairs]
        for agent, offer in pairs:
            assert agent.claim(offer).status_code == 200
        orders = [agent.claim(offer).json()["order"] for agent, offer in pairs]
        for agent, offer in pairs:
            assert agent.report(offer, "running", pids=[1], warm=True).status_code == 200
        return orders

    def part(self, step: int, rank: int, **fields: Any) -> Any:
        """Deliver one node's part of a checkpoint."""
        return self.agents[rank].part(self.offers[rank], step, rank, **fields)

    def exit(self, rank: int, outcome: str, **fields: Any) -> Any:
        """Report the end of one node's ranks."""
        return self.agents[rank].exit(self.offers[rank], outcome, **fields)

    @property
    def state(self) -> tuple[str, str]:
        """The job's state and its reason."""
        self.job.refresh_from_db()
        return self.job.state, self.job.state_reason


@pytest.fixture
def gang(join: Callable[..., FakeAgent], project: Project, editor: User) -> Gang:
    agents = [join("n1", slots=1), join("n2", slots=1)]
    job = submit(project, editor, resources={"pool": "default", "nodes": 2, "slots_per_node": 1})
    made = Gang(job, agents)
    made.start()
    return made


# Checkpoints in parts


def test_checkpoint_exists_once_every_node_has_delivered_its_part(gang: Gang) -> None:
    for _ in range(2):  # repeated reports change nothing
        assert gang.part(10, 1, shared=b"plan").status_code == 200
        assert not Checkpoint.objects.exists()
    for _ in range(2):
        assert gang.part(10, 0, shared=b"plan").status_code == 200
    checkpoint = Checkpoint.objects.get()
    assert sorted(entry.path for entry in checkpoint.file_set.entries.all()) == ["rank0", "rank1", "shared"]
    assert not CheckpointPart.objects.exists()

    gang.exit(1, "failed", failure_kind="retryable")
    gang.exit(0, "killed")
    for order in gang.start():  # every node gets all parts
        (ref,) = [item for item in order["inputs"] if item["role"] == "checkpoint"]
        assert sorted(file["path"] for file in ref["files"]) == ["rank0", "rank1", "shared"]
        assert ref["digest"] == checkpoint.file_set.digest


def test_half_a_checkpoint_is_never_resumed_from_and_is_cleaned_up(gang: Gang) -> None:
    gang.part(10, 0)
    gang.part(10, 1)
    gang.part(20, 0)
    manifest = gang.agents[1].manifest(gang.offers[1], {"rank1": b"late"})
    gang.exit(1, "failed", failure_kind="retryable")
    late = gang.agents[1].report(gang.offers[1], "checkpoint", step=20, manifest=manifest, part=1, num_parts=2)
    assert late.json()["code"] == "stale_fence"
    assert not CheckpointPart.objects.exists()
    gang.exit(0, "killed")
    for order in gang.start():
        assert [item["step"] for item in order["inputs"] if item["role"] == "checkpoint"] == [10]
    # the other half under the next fence makes nothing whole
    gang.part(20, 1)
    assert Checkpoint.objects.count() == 1


def test_older_halves_go_when_a_newer_checkpoint_is_whole(gang: Gang) -> None:
    gang.part(10, 0)
    gang.part(20, 0)
    gang.part(20, 1)
    assert [checkpoint.step for checkpoint in Checkpoint.objects.all()] == [20]
    assert not CheckpointPart.objects.exists()


@pytest.mark.parametrize(("part", "of"), [(1, 2), (0, 3)])
def test_part_of_another_rank_or_gang_is_refused(gang: Gang, part: int, of: int) -> None:
    answer = gang.agents[0].part(gang.offers[0], 10, part, of=of)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "part"
    assert not CheckpointPart.objects.exists()


def test_parts_that_contradict_each_other_make_no_checkpoint(gang: Gang) -> None:
    gang.part(10, 0, shared=b"one")
    answer = gang.part(10, 1, shared=b"another")
    assert answer.status_code == 400
    assert "'shared'" in answer.json()["detail"]
    assert not Checkpoint.objects.exists()


# Whose word about the end counts


def test_cause_that_arrives_after_a_peers_complaint_decides(gang: Gang) -> None:
    gang.exit(0, "failed", failure_kind="retryable", reason="lost contact with another rank")
    assert gang.state[0] == "queued"
    assert gang.exit(1, "failed", failure_kind="user", reason="the loss is not finite").status_code == 409
    assert gang.state == ("failed", "the loss is not finite")
    attempt = Attempt.objects.get()
    assert attempt.reason == "the loss is not finite"
    assert run_pass().placed == []


def test_cause_that_arrives_during_the_next_attempt_ends_that_too(gang: Gang, join: Callable[..., FakeAgent]) -> None:
    spare = join("n3", slots=1)
    gang.exit(0, "failed", failure_kind="retryable", reason="lost contact with another rank")
    silence(gang.agents[1].node, 11)
    assert len(run_pass().placed) == 1
    spare.claim(spare.offer())
    gang.exit(1, "failed", failure_kind="user", reason="the loss is not finite")
    assert gang.state == ("failed", "the loss is not finite")
    assert Attempt.objects.exclude(state="ended").count() == 0


def test_gang_waits_for_its_earlier_ranks_but_not_for_those_that_never_end(
    gang: Gang, join: Callable[..., FakeAgent]
) -> None:
    join("n3", slots=1)
    gang.exit(0, "failed", failure_kind="retryable", reason="lost contact with another rank")
    assert run_pass().placed == []
    assert gang.state == ("queued", f"Waits for its earlier ranks on {gang.agents[1].name} to end.")
    Attempt.objects.update(ended_at=timezone.now() - timedelta(seconds=31))
    assert len(run_pass().placed) == 1


def test_lost_node_names_itself_and_not_what_its_peers_saw(gang: Gang) -> None:
    silence(gang.agents[1].node, 21)
    run_pass()
    assert "n2 was lost" in Attempt.objects.get().reason or "n1 was lost" in Attempt.objects.get().reason
    gang.exit(0, "failed", failure_kind="retryable", reason="Connection reset by peer")
    assert "was lost" in Attempt.objects.get().reason


# Only the first node speaks for the gang


def test_words_that_are_rank_zeros_change_nothing_from_another_node(gang: Gang) -> None:
    other, offer = gang.agents[1], gang.offers[1]
    other.report(offer, "phase", name="download", progress=0.5)
    other.report(offer, "resumed", step=7)
    other.report(offer, "progress", step=9, total_steps=100)
    gang.job.refresh_from_db()
    assert (gang.job.phase, gang.job.step, Attempt.objects.get().resumed_step) == ("", 0, None)

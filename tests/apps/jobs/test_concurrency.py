"""Several connections at once against a real Postgres: what must happen once happens once."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import IntegrityError, connection, transaction

from apps.accounts.models import Role, User
from apps.core import health
from apps.core.models import Event
from apps.jobs import stream
from apps.jobs.management.commands.scheduler import Scheduler
from apps.jobs.models import Allocation, Attempt, DeviceHold, Job, Stream
from apps.jobs.services import NodeShare, Submission, offer_attempt, submit_job
from apps.projects.models import Project
from tests.apps.factories import MembershipFactory, ProjectFactory
from tests.apps.jobs.simulation import (
    TRAIN_SPEC,
    FakeAgent,
    control_plane_up_for,
    make_dataset,
    run_pass,
    submit,
    wait_until,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def editor() -> User:
    """Return an editor of a committed workspace."""
    return MembershipFactory.create(role=Role.EDITOR).user


@pytest.fixture
def project(editor: User) -> Project:
    """Return a committed project with a dataset."""
    project = ProjectFactory.create(workspace=editor.workspaces.get())
    make_dataset(project)
    return project


@pytest.fixture
def agent() -> FakeAgent:
    """Return a joined agent of two slots."""
    control_plane_up_for(3600)
    return FakeAgent().join()


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Run calls in threads that start together, each on a connection of its own; return results or exceptions."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        try:
            barrier.wait()
            return call()
        except Exception as error:  # noqa: BLE001 - the test looks at it
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def test_claim_sent_twice_at_once_answers_the_same_order(agent: FakeAgent, project: Project, editor: User) -> None:
    submit(project, editor)
    run_pass()
    offer = agent.offer()
    replies = at_once(*[lambda: agent.claim(offer).json()["order"]] * 4)
    assert all(reply == replies[0] and reply is not None for reply in replies), replies
    assert Event.objects.filter(action="attempt.claimed").count() == 1


def test_two_schedulers_at_once_give_each_slot_one_holder(agent: FakeAgent, project: Project, editor: User) -> None:
    jobs = {submit(project, editor).pk for _ in range(4)}
    placed: list[Any] = []
    for _ in range(5):
        placed += [job for report in at_once(run_pass, run_pass, run_pass) for job in report.placed]
    assert len(placed) == len(set(placed)) == 2
    assert set(placed) < jobs
    holds = list(DeviceHold.objects.filter(released_at=None).values_list("device_id", flat=True))
    assert len(holds) == len(set(holds)) == 2


def test_second_scheduler_returns_at_once_while_the_first_is_at_work(agent: FakeAgent) -> None:
    with psycopg.connect(settings.DATABASE_DIRECT_URL) as other:
        name = str(connection.settings_dict["NAME"])
        other.close()
    with psycopg.connect(settings.DATABASE_DIRECT_URL, dbname=name) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", [0x636F78])
        assert run_pass().is_leader is False
    assert run_pass().is_leader is True


def test_database_refuses_a_device_twice_whatever_the_scheduler_does(
    agent: FakeAgent, project: Project, editor: User
) -> None:
    node = agent.node
    device = node.devices.first()
    assert device is not None
    jobs = [submit(project, editor) for _ in range(3)]
    share = NodeShare(node.pk, (device.pk,))
    results = at_once(*[lambda job=job: offer_attempt(job_id=job.pk, shares=[share]) for job in jobs])
    assert [type(result) for result in results if not isinstance(result, Attempt)] == [IntegrityError] * 2
    assert DeviceHold.objects.filter(released_at=None).count() == 1
    assert Job.objects.filter(state="starting").count() == 1
    assert Allocation.objects.count() == 1


def test_sequence_order_is_commit_order_however_transactions_interleave(
    agent: FakeAgent, project: Project, editor: User
) -> None:
    job = submit(project, editor)
    first_has_number, log = threading.Event(), []

    def first() -> int:
        with transaction.atomic():
            seq = stream.next_seq(job.pk)
            first_has_number.set()
            threading.Event().wait(0.5)  # the other one asks meanwhile, and must wait for this commit
            log.append(("about to commit", seq))
        return seq

    def second() -> int:
        first_has_number.wait(5)
        with transaction.atomic():
            seq = stream.next_seq(job.pk)
            log.append(("numbered", seq))
        return seq

    one, two = at_once(first, second)
    assert two == one + 1
    assert log == [("about to commit", one), ("numbered", two)]


def test_rolled_back_transaction_leaves_no_gap(agent: FakeAgent, project: Project, editor: User) -> None:
    job = submit(project, editor)
    before = Stream.objects.get(job=job).last_seq

    def roll_back() -> None:
        with transaction.atomic():
            stream.next_seq(job.pk)
            raise RuntimeError("rolled back")

    with pytest.raises(RuntimeError):
        roll_back()
    with transaction.atomic():
        assert stream.next_seq(job.pk, latest={"loss": 2.5}) == before + 1
    assert Stream.objects.get(job=job).latest == {"loss": 2.5}


def test_messages_leave_after_the_commit_in_order(
    agent: FakeAgent, project: Project, editor: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[str, Any]] = []
    monkeypatch.setattr("apps.core.live.publish", lambda topic, data: sent.append((topic, data)))
    job = submit(project, editor)
    run_pass()
    topic = stream.job_topic(job.pk)
    seqs = [seq for to, data in sent if to == topic for seq, _ in data["messages"]]
    assert seqs == list(range(1, len(seqs) + 1))
    kinds = {item["kind"] for to, data in sent if to == topic for item in data["messages"][0][1]["items"]}
    assert kinds == {"event", "job"}


def test_same_idempotency_key_sent_twice_at_once_makes_one_job(
    agent: FakeAgent, project: Project, editor: User
) -> None:
    submission = Submission(project.pk, "run", TRAIN_SPEC, idempotency_key="k")
    results = at_once(*[lambda: submit_job(actor=editor, submission=submission)] * 4)
    assert {result.pk for result in results} == {Job.objects.get().pk}
    assert Project.objects.get(pk=project.pk).last_job_number == 1


def test_jobs_submitted_at_once_get_different_numbers(agent: FakeAgent, project: Project, editor: User) -> None:
    results = at_once(*[lambda: submit(project, editor)] * 6)
    assert sorted(job.number for job in results) == [1, 2, 3, 4, 5, 6]


def test_exit_reported_twice_at_once_ends_the_job_once(agent: FakeAgent, project: Project, editor: User) -> None:
    job = submit(project, editor)
    run_pass()
    offer = agent.start()
    codes = [answer.status_code for answer in at_once(*[lambda: agent.exit(offer, "failed", failure_kind="user")] * 3)]
    assert codes == [200, 200, 200]
    ends = Event.objects.filter(object_id=job.pk, action="state", after={"state": "failed"})
    assert ends.count() == 1


@pytest.fixture
def scheduler(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scheduler]:
    """Return a scheduler that runs in a thread on the test's database."""
    url = settings.DATABASE_DIRECT_URL
    base, _, _ = url.rpartition("/")
    monkeypatch.setattr(settings, "DATABASE_DIRECT_URL", f"{base}/{connection.settings_dict['NAME']}")
    running = Scheduler()
    thread = threading.Thread(target=running.run)
    thread.start()
    yield running
    running.stop()
    thread.join(10)
    assert not thread.is_alive()


def test_scheduler_is_woken_by_a_submit_and_beats(
    scheduler: Scheduler, agent: FakeAgent, project: Project, editor: User
) -> None:
    wait_until(lambda: health.last_beat_age_s(health.SCHEDULER) is not None)
    job = submit(project, editor)
    wait_until(lambda: Job.objects.get(pk=job.pk).state == "starting")
    offer = agent.start()
    agent.exit(offer, "failed", failure_kind="retryable")
    wait_until(lambda: Job.objects.get(pk=job.pk).fence == 2)


def test_scheduler_goes_on_after_its_connections_were_cut(
    scheduler: Scheduler, agent: FakeAgent, project: Project, editor: User
) -> None:
    wait_until(lambda: health.last_beat_age_s(health.SCHEDULER) is not None)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = %s",
            [connection.settings_dict["NAME"]],
        )
    job = submit(project, editor)

    def is_placed() -> bool:
        agent.beat()  # a silent node is offered nothing
        return Job.objects.get(pk=job.pk).state == "starting"

    wait_until(is_placed, timeout_s=60)

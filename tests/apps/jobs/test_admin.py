"""The admin console's pages of jobs and machines: everything opens, nothing is edited, commands go through services."""

from collections.abc import Callable

import pytest
from django.contrib import admin
from django.contrib.messages import get_messages
from django.db.models import Model as Row
from django.test import Client
from django.urls import reverse

from apps.accounts.models import User
from apps.cluster.models import Device, JoinToken, Node, NodeToken, Pool
from apps.cluster.services import create_join_token
from apps.core.models import Event
from apps.datasets.models import DatasetVersion
from apps.jobs.models import Allocation, Attempt, Checkpoint, DeviceHold, Job
from apps.projects.models import Project
from tests.apps.jobs.simulation import FakeAgent, run_pass, submit

pytestmark = pytest.mark.django_db
PAGES: tuple[type[Row], ...] = (
    Job, Attempt, Allocation, DeviceHold, Checkpoint, Pool, Node, Device, JoinToken, NodeToken,
)  # fmt: skip


@pytest.fixture
def console(superuser: User) -> Client:
    """Return an administrator's browser."""
    client = Client()
    client.force_login(superuser)
    return client


@pytest.fixture
def queue(project: Project, editor: User, agent: FakeAgent, dataset: DatasetVersion) -> Callable[[str], Job]:
    """Return a function that submits a job."""
    return lambda name: submit(project, editor, name=name)


def page(model: type[Row], name: str) -> str:
    return f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}"


def act(console: Client, action: str, *rows: Row) -> list[str]:
    """Choose rows of one table and an action, as the list page does; return what the console says."""
    console.cookies.pop("messages", None)  # what it said before
    answer = console.post(
        reverse(page(type(rows[0]), "changelist")),
        {"action": action, "_selected_action": [str(row.pk) for row in rows]},
    )
    assert answer.status_code == 302, answer.content
    return [str(message) for message in get_messages(answer.wsgi_request)]


@pytest.mark.parametrize("model", PAGES)
def test_row_opens_and_is_neither_added_nor_deleted(
    console: Client, agent: FakeAgent, queue: Callable[[str], Job], model: type[Row]
) -> None:
    queue("run")
    run_pass()
    agent.checkpoint(agent.start(), 1)
    assert console.get(reverse(page(model, "changelist"))).status_code == 200
    row = model._default_manager.first()
    assert row is not None
    assert console.get(reverse(page(model, "change"), args=[row.pk])).status_code == 200
    assert console.post(reverse(page(model, "delete"), args=[row.pk]), {"post": "yes"}).status_code == 403
    assert not admin.site.get_model_admin(model).has_add_permission(console.get("/admin/").wsgi_request)


@pytest.mark.parametrize("model", [NodeToken, JoinToken])
def test_digests_of_tokens_are_not_changed(console: Client, agent: FakeAgent, model: type[Row]) -> None:
    row = model._default_manager.get()
    console.post(reverse(page(model, "change"), args=[row.pk]), {"digest": "0" * 64})
    assert model._default_manager.filter(pk=row.pk, digest=getattr(row, "digest")).exists()  # noqa: B009


def test_state_of_a_job_is_not_edited(console: Client, queue: Callable[[str], Job]) -> None:
    job = queue("run")
    assert console.post(reverse(page(Job, "change"), args=[job.pk]), {"state": "succeeded"}).status_code == 403
    job.refresh_from_db()
    assert job.state == "queued"


def test_jobs_are_cancelled_as_over_rest(console: Client, queue: Callable[[str], Job], superuser: User) -> None:
    first, second, ended = queue("a"), queue("b"), queue("c")
    Job.objects.filter(pk=ended.pk).update(state="succeeded")
    said = act(console, "cancel", first, second, ended)
    assert set(Job.objects.filter(state="cancelled")) == {first, second}
    assert any(line.startswith("c #3: ") for line in said)
    assert any(line.startswith("Cancelling: ") and "a #1" in line and "b #2" in line for line in said)
    assert Event.objects.filter(object_id=first.pk, actor=superuser).exists()


def test_running_job_is_killed(console: Client, agent: FakeAgent, queue: Callable[[str], Job]) -> None:
    job = queue("run")
    run_pass()
    offer = agent.start()
    assert act(console, "kill", job) == ["Killing: run #1."]
    job.refresh_from_db()
    assert (job.state, job.kill_requested) == ("cancelling", True)
    agent.exit(offer, "killed")
    job.refresh_from_db()
    assert job.state == "cancelled"


def test_node_is_drained_and_given_jobs_again(console: Client, agent: FakeAgent, superuser: User) -> None:
    assert act(console, "drain", agent.node) == ["Draining: n1."]
    assert Node.objects.filter(is_draining=True).exists()
    assert act(console, "undrain", agent.node) == ["Taking jobs: n1."]
    assert not Node.objects.filter(is_draining=True).exists()
    actions = Event.objects.filter(object_id=agent.node_id, actor=superuser).order_by("id")
    assert list(actions.values_list("action", flat=True)) == ["node.draining", "node.undrained"]


def test_node_whose_tokens_are_revoked_is_shut_out_until_it_joins_again(console: Client, agent: FakeAgent) -> None:
    assert act(console, "revoke_tokens", agent.node) == ["1 tokens revoked."]
    beat = {"contract_version": 1, "boot_id": agent.boot_id, "allocations": []}
    assert agent.client.post("/api/node/v1/heartbeat", beat).status_code == 401
    agent.client.credentials()
    agent.join()
    agent.beat()


def test_join_token_that_is_revoked_lets_nobody_in(console: Client, superuser: User) -> None:
    made = create_join_token(name="rack 7")
    assert act(console, "revoke", made.token) == ["Revoked: rack 7."]
    newcomer = FakeAgent(name="n9")
    assert newcomer.client.post("/api/node/v1/join", newcomer.join_body(made.secret)).status_code == 403
    assert Event.objects.filter(object_id=made.token.pk, action="join_token.revoked", actor=superuser).exists()


def test_description_of_a_pool_is_all_that_is_written(console: Client, agent: FakeAgent) -> None:
    pool = Pool.objects.get()
    console.post(reverse(page(Pool, "change"), args=[pool.pk]), {"description": "Rack 7", "name": "other"})
    pool.refresh_from_db()
    assert (pool.name, pool.description) == ("default", "Rack 7")

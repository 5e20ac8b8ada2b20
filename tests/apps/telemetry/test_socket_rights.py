"""Every topic of every socket, met by walking the routing, refuses whom it must."""

import re
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from django.utils import timezone

from apps.accounts.models import ApiToken
from apps.jobs.services import advance_job
from apps.jobs.state import JobState
from apps.telemetry import consumers
from controlplane.routing import websocket_router
from tests.apps.telemetry.conftest import World
from tests.apps.telemetry.sockets import Tab

pytestmark = pytest.mark.usefixtures("quiet_layer")

SOCKETS = {f"/{route.pattern}": route.callback.consumer_class for route in websocket_router().routes}
NAMES: dict[str, Callable[[World], str]] = {"job": lambda world: f"job:{world.job.pk}", "jobs": lambda world: "jobs"}
"""How a topic of each kind is called; a new kind needs an entry."""
PERSONAL = {"jobs"}
"""Open to everybody signed in, each of whom hears of what is theirs alone."""

walk = pytest.mark.parametrize(
    ("path", "kind"), [(path, kind) for path, consumer in SOCKETS.items() for kind in consumer.TOPICS]
)


@pytest.fixture
async def quiet_layer() -> AsyncIterator[None]:
    yield
    layer = get_channel_layer()
    assert layer is not None
    await layer.flush()


def topic_of(world: World, kind: str) -> str:
    if kind not in NAMES:
        pytest.fail(f"NAMES has no entry for topics of kind {kind!r}")
    return NAMES[kind](world)


async def change_job(world: World) -> None:
    await sync_to_async(advance_job)(job_id=world.job.pk, to=JobState.CANCELLING, fence=None)


def test_walk_meets_every_socket() -> None:
    assert "/ws/v1/stream" in SOCKETS
    assert all(re.fullmatch(r"/ws/v1/\w+", path) for path in SOCKETS)


@walk
async def test_member_hears(world: World, path: str, kind: str) -> None:
    """Without this the refusals below would prove nothing."""
    signed_in = (await sync_to_async(Tab.of_user)(world), Tab.of_token(await sync_to_async(world.api_token)()))
    for way in signed_in:
        tab = Tab(way.headers, path)
        assert await tab.open()
        assert (await tab.subscribe(topic_of(world, kind)))["type"] == "subscribed"
        await change_job(world)
        name = str(world.job.pk)
        await tab.next(lambda frame, name=name: frame["type"] == "message" and name in str(frame["data"]))
        await tab.close()
        await sync_to_async(type(world.job).objects.filter(pk=world.job.pk).update)(state=JobState.RUNNING)


@walk
async def test_other_workspace_hears_nothing(world: World, path: str, kind: str) -> None:
    tab = Tab((await sync_to_async(Tab.of_user)(world, world.stranger)).headers, path)
    assert await tab.open()
    answer = await tab.subscribe(topic_of(world, kind))
    assert answer["type"] == "subscribed" if kind in PERSONAL else answer["code"] == "not_found"
    await change_job(world)
    assert await tab.communicator.receive_nothing(timeout=0.6)
    await tab.close()


@walk
async def test_anonymous_is_closed_out(world: World, path: str, kind: str) -> None:
    tab = Tab([(b"host", b"testserver")], path)
    assert await tab.open()
    await tab.say({"type": "subscribe", "topic": topic_of(world, kind)})
    assert await tab.closed() == consumers.NOT_SIGNED_IN


@walk
@pytest.mark.parametrize("flaw", ["revoked", "expired", "unknown"])
async def test_token_that_is_no_longer_good_opens_nothing(world: World, path: str, kind: str, flaw: str) -> None:
    secret = await sync_to_async(world.api_token)()
    now = timezone.now()
    if flaw == "unknown":
        secret = "cox_" + "0" * 40
    else:
        await ApiToken.objects.aupdate(
            **({"revoked_at": now} if flaw == "revoked" else {"expires_at": now - timedelta(seconds=1)})
        )
    assert not await Tab(Tab.of_token(secret).headers, path).open()


@walk
async def test_token_revoked_while_it_listens_is_closed_out(
    world: World, path: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "RECHECK_INTERVAL_S", 0.2)
    tab = Tab(Tab.of_token(await sync_to_async(world.api_token)()).headers, path)
    await tab.open()
    await tab.subscribe(topic_of(world, kind))
    await ApiToken.objects.aupdate(revoked_at=timezone.now())
    assert await tab.closed() == consumers.NOT_SIGNED_IN


@walk
@pytest.mark.parametrize("origin", [b"https://evil.example", b"http://testserver.evil.example", b"null"])
async def test_page_of_another_site_opens_nothing(world: World, path: str, kind: str, origin: bytes) -> None:
    own = (await sync_to_async(Tab.of_user)(world)).headers
    headers = [(name, origin if name == b"origin" else value) for name, value in own]
    assert not await Tab(headers, path).open()

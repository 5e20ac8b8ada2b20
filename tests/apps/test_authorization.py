"""Every route of the API, met by walking the router, refuses whom it must."""

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from apps.accounts.models import User
from apps.accounts.services import create_token
from tests.apps.routes import Route, routes_under
from tests.apps.scene import BODIES, PATHS, QUERIES, Scene

ROUTES = routes_under("api/v1/")
NODE_ROUTES = routes_under("api/node/v1/")

PUBLIC = {"GET auth/session", "POST auth/login"}
"""Answer to anybody, by design."""
SELF_SERVICE = {"POST auth/logout", "POST tokens"}
"""Change only what is the caller's own: any role may."""
SHARED = {"me", "auth/session", "tokens", "catalog/", "nodes", "pools"}
"""Lists and objects of no workspace: everybody signed in reads them, and none of them may name what is in one."""
ADMINISTRATIVE = ("join-tokens", "nodes/")
"""Of the installation: writing needs an administrator, whatever the role in a workspace."""
PRIVATE = ("tokens/", "uploads/")
"""Seen by the one who made it alone: to other members it does not exist."""

Clients = Callable[[User | None], APIClient]


def send(client: APIClient, scene: Scene, route: Route) -> Any:
    """Ask a route for the scene's objects, with a body that would be taken."""
    beginnings = [start for start in PATHS if route.template.startswith(start)]
    if route.parameters and not beginnings:
        pytest.fail(f"tests/apps/scene.py has no entry in PATHS for {route.template}")
    values = PATHS[max(beginnings, key=len)](scene) if route.parameters else {}
    address = route.address(values)
    if route.is_safe:
        return client.get(address, QUERIES.get(route.template, {}))
    if str(route) not in BODIES:
        pytest.fail(f"tests/apps/scene.py has no entry in BODIES for {route}")
    body = BODIES[str(route)](scene)
    if isinstance(body, bytes):
        return client.generic(route.method, address, body.decode(), content_type="application/octet-stream")
    return getattr(client, route.method.lower())(address, body)


def text_of(answer: Any) -> str:
    content = b"".join(answer.streaming_content) if answer.streaming else answer.content
    return content.decode("utf-8", "replace")


def is_administrative(route: Route) -> bool:
    return route.template.startswith("join-tokens") or (
        not route.is_safe and (route.template.startswith(ADMINISTRATIVE) or str(route) == "POST workspaces")
    )


walk = pytest.mark.parametrize("route", [route for route in ROUTES if str(route) not in PUBLIC], ids=str)


def test_walk_meets_the_routes_there_are() -> None:
    templates = {route.template for route in ROUTES}
    assert {"projects", "tokens/<uuid:pk>", "workspaces/<uuid:workspace_id>/members", "jobs", "datasets"} <= templates
    assert {str(route) for route in ROUTES} >= PUBLIC
    assert not set(BODIES) - {str(route) for route in ROUTES}, "entries of routes that are gone"


@walk
def test_anonymous_is_refused(scene: Scene, client_for: Clients, route: Route) -> None:
    assert send(client_for(None), scene, route).status_code in {401, 403}


@walk
def test_outsider_finds_nothing(scene: Scene, client_for: Clients, route: Route) -> None:
    answer = send(client_for(scene.outsider), scene, route)
    shared = route.template in SHARED or route.template.split("<")[0].rstrip("/") in {"nodes", "pools"}
    if is_administrative(route):
        assert answer.status_code == 403
    elif str(route) in SELF_SERVICE:
        assert answer.status_code < 300
    elif route.parameters and not shared:
        assert answer.status_code == 404
    elif not route.is_safe:
        assert answer.status_code in {403, 404}
    else:
        assert answer.status_code == 200
    text = text_of(answer)
    said_by_caller = answer.request["PATH_INFO"]
    assert not [secret for secret in scene.secrets() if secret in text and secret not in said_by_caller]


@walk
def test_viewer_reads_and_changes_nothing(scene: Scene, client_for: Clients, route: Route) -> None:
    answer = send(client_for(scene.viewer), scene, route)
    if str(route) in SELF_SERVICE:
        assert answer.status_code < 300
    elif route.template.startswith(PRIVATE) and route.parameters:
        assert answer.status_code in {403, 404}
    elif is_administrative(route) or not route.is_safe:
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    else:
        assert answer.status_code == 200


@walk
def test_token_that_only_reads_changes_nothing(scene: Scene, route: Route) -> None:
    client = APIClient()
    owner = scene.superuser if is_administrative(route) else scene.owner
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {create_token(actor=owner, name='r', scopes=['read']).secret}")
    answer = send(client, scene, route)
    if route.is_safe:
        assert answer.status_code == 200
    else:
        assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")


@walk
def test_who_may_is_let_through(scene: Scene, client_for: Clients, route: Route) -> None:
    """Without this the refusals above would prove nothing: the address and the body are good."""
    answer = send(client_for(scene.superuser if is_administrative(route) else scene.owner), scene, route)
    assert answer.status_code < 300 or answer.json()["code"] in {"referenced", "job_active", "upload_incomplete"}, (
        answer.json()
    )


node_walk = pytest.mark.parametrize("route", NODE_ROUTES, ids=str)


@node_walk
def test_nodes_api_is_closed_to_people(scene: Scene, client_for: Clients, route: Route) -> None:
    """A person's session or token opens nothing there; joining asks for a join token in the body."""
    address = route.address({name: scene.job.pk for name in route.parameters} | {"sha256": "0" * 64, "number": 0})
    with_token = APIClient()
    secret = create_token(actor=scene.superuser, name="t", scopes=["admin"]).secret
    with_token.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    for client in (APIClient(), client_for(scene.superuser), with_token):
        answer = client.generic(route.method, address, "{}", content_type="application/json")
        assert answer.status_code in ({400, 401, 403} if route.template == "join" else {401, 403})


@node_walk
def test_node_reaches_no_allocation_of_another(scene: Scene, route: Route) -> None:
    if not route.parameters:
        return
    address = route.address({name: scene.job.pk for name in route.parameters} | {"sha256": "0" * 64, "number": 0})
    answer = scene.agent.client.generic(route.method, address, "{}", content_type="application/json")
    assert answer.status_code in {400, 404}, "400: the body is read before the allocation"

"""Cursor pagination: total, stable, both ways, with nulls."""

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from apps.accounts.models import User, Workspace
from apps.accounts.services import create_token
from tests.apps.factories import ProjectFactory


def pages(api: APIClient, address: str, **query: str | float) -> list[list[str]]:
    """Follow one direction to its end."""
    found = []
    answer = api.get(address, query).json()
    while True:
        found.append([row["name"] for row in answer["results"]])
        if answer["next"] is None:
            return found
        answer = api.get(answer["next"]).json()


@pytest.mark.parametrize("ordering", ["name", "-name", "created_at", "-created_at", "name,-created_at"])
@pytest.mark.parametrize("size", [1, 3, 7, 50])
def test_pages_cover_the_list_once_in_order_and_back(
    api: APIClient, workspace: Workspace, ordering: str, size: int
) -> None:
    for index in range(7):
        ProjectFactory.create(workspace=workspace, name=f"p{index % 7}")
    whole = pages(api, "/api/v1/projects", ordering=ordering, page_size=50)[0]
    forward = pages(api, "/api/v1/projects", ordering=ordering, page_size=size)
    assert [name for page in forward for name in page] == whole
    assert len(forward) == -(-7 // size)
    query: dict[str, str | float] = {"ordering": ordering, "page_size": size}
    last = api.get("/api/v1/projects", query).json()
    while last["next"]:
        last = api.get(last["next"]).json()
    back = [[row["name"] for row in last["results"]]]
    while last["previous"]:
        last = api.get(last["previous"]).json()
        back.append([row["name"] for row in last["results"]])
    assert back == forward[::-1]


@pytest.mark.parametrize("ordering", ["expires_at", "-expires_at", "last_used_at", "-last_used_at"])
def test_nulls_sort_last_and_none_is_lost(api: APIClient, editor: User, ordering: str) -> None:
    for index in range(8):
        expires_at = timezone.now() + timedelta(days=index) if index % 2 else None
        create_token(actor=editor, name=f"t{index}", expires_at=expires_at)
    found = pages(api, "/api/v1/tokens", ordering=ordering, page_size=3)
    names = [name for page in found for name in page]
    assert sorted(names) == [f"t{index}" for index in range(8)]
    if "expires" in ordering:
        assert {int(name[1]) % 2 for name in names[:4]} == {1}
    assert pages(api, "/api/v1/tokens", ordering=ordering, page_size=50)[0] == names


def test_rows_added_meanwhile_neither_hide_nor_repeat_others(api: APIClient, workspace: Workspace) -> None:
    for index in range(4):
        ProjectFactory.create(workspace=workspace, name=f"p{index}")
    first = api.get("/api/v1/projects", {"page_size": 2}).json()
    ProjectFactory.create(workspace=workspace, name="new")
    second = api.get(first["next"]).json()
    assert [row["name"] for row in first["results"] + second["results"]] == ["p3", "p2", "p1", "p0"]
    assert second["next"] is None
    query: dict[str, str | float] = {"cursor": cursor_of(second["previous"]), "page_size": 5}
    newer = api.get("/api/v1/projects", query).json()
    assert [row["name"] for row in newer["results"]] == ["new", "p3", "p2"]


def cursor_of(link: str) -> str:
    return parse_qs(urlsplit(link).query)["cursor"][0]


@pytest.mark.parametrize(
    "cursor", ["x", "%%%", "W10", "WzEsMl0", "W2ZhbHNlLCJub3QtYW4taWQiXQ", "bnVsbA", "\u00e9", "e30"]
)
def test_forged_cursor_is_refused(api: APIClient, cursor: str) -> None:
    answer = api.get("/api/v1/projects", {"cursor": cursor})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "cursor"


def test_cursor_of_another_ordering_is_refused(api: APIClient, workspace: Workspace) -> None:
    for index in range(3):
        ProjectFactory.create(workspace=workspace, name=f"p{index}")
    query: dict[str, str | float] = {"ordering": "name", "page_size": 1}
    link = api.get("/api/v1/projects", query).json()["next"]
    answer = api.get("/api/v1/projects", {"cursor": cursor_of(link)})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "cursor")


@pytest.mark.parametrize("size", ["501", "0", "-1", "x", "1.5", "\u0665", "9" * 40])
def test_senseless_page_size_is_refused(api: APIClient, size: str) -> None:
    answer = api.get("/api/v1/projects", {"page_size": size})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "page_size")

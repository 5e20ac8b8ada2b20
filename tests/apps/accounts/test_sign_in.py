"""Signing in from a browser: session, CSRF, lock-out."""

from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from rest_framework.test import APIClient

from apps.accounts.models import User
from tests.apps.factories import UserFactory

LOGIN = "/api/v1/auth/login"


@pytest.fixture
def browser(db: None) -> APIClient:
    """Return a client that is checked for CSRF, as a browser is."""
    return APIClient(enforce_csrf_checks=True)


def sign_in(browser: APIClient, username: str, password: str) -> Any:
    csrf = browser.get("/api/v1/auth/session").json()["csrf_token"]
    return browser.post(LOGIN, {"username": username, "password": password}, headers={"X-CSRFToken": csrf})


def test_browser_signs_in_works_and_signs_out(browser: APIClient) -> None:
    UserFactory.create(username="ada")
    before = browser.get("/api/v1/auth/session").json()
    assert (before["authenticated"], before["user"]) == (False, None)
    answer = sign_in(browser, "ada", "password")
    assert answer.status_code == 200
    assert answer.json()["user"]["username"] == "ada"
    assert browser.get("/api/v1/me").json()["username"] == "ada"
    csrf = answer.json()["csrf_token"]
    assert browser.post("/api/v1/auth/logout", headers={"X-CSRFToken": csrf}).json()["authenticated"] is False
    assert browser.get("/api/v1/me").status_code == 401


def test_session_cookie_is_hidden_from_scripts(browser: APIClient) -> None:
    UserFactory.create(username="ada")
    cookie = sign_in(browser, "ada", "password").cookies[settings.SESSION_COOKIE_NAME]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"


@pytest.mark.parametrize("with_session", [False, True])
def test_unsafe_request_without_csrf_token_is_refused(browser: APIClient, with_session: bool) -> None:
    user = UserFactory.create(username="ada")
    if with_session:
        browser.force_login(user)
        answer = browser.post("/api/v1/tokens", {"name": "t"})
    else:
        answer = browser.post(LOGIN, {"username": "ada", "password": "password"})
    assert (answer.status_code, answer.json()["code"]) == (403, "csrf_failed")


def test_wrong_password_does_not_tell_whether_the_name_exists(browser: APIClient) -> None:
    UserFactory.create(username="ada")
    known, unknown = sign_in(browser, "ada", "wrong"), sign_in(browser, "eve", "wrong")
    assert known.status_code == unknown.status_code == 403
    assert known.json()["detail"] == unknown.json()["detail"]
    assert known.json()["code"] == "login_failed"


def test_repeated_failures_lock_the_name_out(browser: APIClient) -> None:
    UserFactory.create(username="ada")
    codes = [sign_in(browser, "ada", "wrong").json()["code"] for _ in range(settings.AXES_FAILURE_LIMIT)]
    assert set(codes[:-1]) == {"login_failed"}
    locked = sign_in(browser, "ada", "password")
    assert (locked.status_code, locked.json()["code"]) == (429, "locked_out")
    assert int(locked["Retry-After"]) == settings.AXES_COOLOFF_TIME.total_seconds()
    UserFactory.create(username="bob")
    assert sign_in(browser, "bob", "password").status_code == 200


def test_deactivated_user_cannot_sign_in_or_go_on(browser: APIClient) -> None:
    user: User = UserFactory.create(username="ada")
    sign_in(browser, "ada", "password")
    user.is_active = False
    user.save()
    assert browser.get("/api/v1/me").status_code == 401
    assert sign_in(browser, "ada", "password").status_code == 403


@pytest.mark.parametrize("body", [{}, {"username": "ada"}, {"username": ["a"], "password": {}}, [], "text", None, 3])
def test_malformed_login_names_what_is_missing(browser: APIClient, body: Any) -> None:
    csrf = browser.get("/api/v1/auth/session").json()["csrf_token"]
    answer = browser.post(LOGIN, body, headers={"X-CSRFToken": csrf})
    assert answer.status_code == 400
    assert answer.json()["errors"]


def test_lock_out_holds_in_the_admin_console_too(client: Client, superuser: User) -> None:
    form = {"username": superuser.username, "password": "wrong"}
    for _ in range(settings.AXES_FAILURE_LIMIT):
        client.post("/admin/login/", form)
    answer = client.post("/admin/login/", {**form, "password": "password"})
    assert answer.status_code == 429
    assert answer["Content-Type"] == "text/plain"

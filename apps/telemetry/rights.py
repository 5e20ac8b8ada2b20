"""What an open socket may still hear: who opened it is looked up again, as its handshake was."""

from importlib import import_module
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import auth
from django.http import HttpRequest
from rest_framework.exceptions import AuthenticationFailed

from apps.accounts.authentication import bearer_secret, check_token
from apps.accounts.models import ApiToken, Scope, User
from apps.accounts.selectors import scope_includes, visible_workspaces


def current_user(scope: dict[str, Any]) -> User | None:
    """Return the user behind an ASGI scope as the database knows them now; None when they may no longer listen."""
    if isinstance(scope.get("auth"), ApiToken):
        return _token_user(scope)
    session = scope.get("session")
    if session is None or not session.session_key:
        return None
    request = HttpRequest()
    store = import_module(settings.SESSION_ENGINE).SessionStore
    request.session = store(session.session_key)  # read afresh: the scope's copy would never expire
    user = auth.get_user(request)
    return user if isinstance(user, User) and user.is_active else None


def _token_user(scope: dict[str, Any]) -> User | None:
    header = next((value for name, value in scope["headers"] if name.lower() == b"authorization"), b"")
    try:
        token = check_token(bearer_secret(header) or "")
    except AuthenticationFailed:
        return None
    return token.user if scope_includes(token.scopes, Scope.READ) else None


def workspace_ids(user: User) -> set[UUID]:
    """Return the workspaces whose jobs the user may list."""
    return set(visible_workspaces(user).values_list("pk", flat=True))

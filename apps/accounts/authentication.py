"""Who is asking: an API token of a program, or the session of a browser."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import CsrfViewMiddleware
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication, SessionAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from apps.accounts import selectors, services
from apps.accounts.models import ApiToken, User
from apps.accounts.tokens import API_PREFIX
from apps.core.errors import Forbidden


class TokenAuthentication(BaseAuthentication):
    """``Authorization: Bearer cox_...``."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        """Return the token's user and the token; None when the request carries none."""
        secret = bearer_secret(get_authorization_header(request))
        if secret is None:
            return None
        token = check_token(secret)
        services.note_token_use(token)
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        """Name the challenge of a 401."""
        return "Bearer"


def bearer_secret(header: bytes) -> str | None:
    """Return the secret of an Authorization header; None when it is of another kind."""
    scheme, _, value = header.partition(b" ")
    if scheme.lower() != b"bearer":
        return None
    try:
        return value.strip().decode("ascii")
    except UnicodeDecodeError:
        return ""


def check_token(secret: str) -> ApiToken:
    """Return the usable token with this secret.

    Raises:
        AuthenticationFailed: unknown, revoked, expired, or of a deactivated user (HTTP 401).
    """
    token = selectors.find_token(secret) if secret.startswith(API_PREFIX) else None
    if token is None or not token.user.is_active:
        raise AuthenticationFailed("This API token is not known here.", code="token_invalid")
    if token.revoked_at is not None:
        raise AuthenticationFailed("This API token was revoked.", code="token_revoked")
    if token.expires_at is not None and token.expires_at <= timezone.now():
        raise AuthenticationFailed("This API token has expired.", code="token_expired")
    return token


class _CsrfCheck(CsrfViewMiddleware):
    """Django's check, which hands back the reason instead of a page."""

    def _reject(self, request: HttpRequest, reason: str) -> Any:
        return reason


def _no_view(request: HttpRequest) -> HttpResponse:
    """Stand where Django's check expects the view: ours are exempt and checked here instead."""
    return HttpResponse()


class BrowserAuthentication(SessionAuthentication):
    """The session cookie, with the CSRF token that proves that our own page asks."""

    def enforce_csrf(self, request: Request | HttpRequest) -> None:
        """Check the token of an unsafe request.

        Raises:
            Forbidden: it is missing or wrong (HTTP 403).
        """
        plain: Any = request
        check = _CsrfCheck(_no_view)
        check.process_request(plain)
        if reason := check.process_view(plain, _no_view, (), {}):
            raise Forbidden(
                f"The CSRF check failed: {reason}",
                code="csrf_failed",
                remedy="Fetch auth/session and send its csrf_token as X-CSRFToken.",
            )

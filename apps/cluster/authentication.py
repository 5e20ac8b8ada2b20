"""Who a node is: its token, which reaches its own allocations only."""

from datetime import timedelta
from typing import Any

from django.utils import timezone
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from apps.accounts.authentication import bearer_secret
from apps.accounts.tokens import digest_of
from apps.cluster.models import Node, NodeToken
from apps.cluster.selectors import find_node_token
from apps.cluster.services import NODE_PREFIX

_NOTE_USE_EVERY = timedelta(minutes=1)


class NodePrincipal:
    """Stands where a user stands in a request of a node."""

    is_authenticated = True
    is_active = True
    is_superuser = False

    def __init__(self, node: Node) -> None:
        self.node = node
        self.pk = node.pk

    def __str__(self) -> str:
        return f"node:{self.node.name}"


class NodeTokenAuthentication(BaseAuthentication):
    """``Authorization: Bearer coxn_...``."""

    def authenticate(self, request: Request) -> "tuple[NodePrincipal, NodeToken] | None":
        """Return the node and its token; None when the request carries none.

        Raises:
            AuthenticationFailed: the token is unknown or revoked (HTTP 401).
        """
        secret = bearer_secret(get_authorization_header(request))
        if secret is None:
            return None
        token = find_node_token(digest_of(secret)) if secret.startswith(NODE_PREFIX) else None
        if token is None:
            raise AuthenticationFailed("This node token is not known here; join again.", code="token_invalid")
        if token.revoked_at is not None:
            raise AuthenticationFailed("This node token was revoked; join again.", code="token_revoked")
        _note_use(token)
        return NodePrincipal(token.node), token

    def authenticate_header(self, request: Request) -> str:
        """Name the challenge of a 401."""
        return "Bearer"


class IsNode(BasePermission):
    """Only nodes may ask."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return isinstance(request.user, NodePrincipal)


def node_of(request: Request) -> Node:
    """Return the node that asks."""
    principal: Any = request.user
    assert isinstance(principal, NodePrincipal)
    return principal.node


def _note_use(token: NodeToken) -> None:
    """Remember the use, at most once a minute: a node asks many times a second."""
    now = timezone.now()
    if token.last_used_at is None or now - token.last_used_at > _NOTE_USE_EVERY:
        NodeToken.objects.filter(pk=token.pk).update(last_used_at=now)

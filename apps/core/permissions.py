"""Permissions that need no knowledge of workspaces; those that do are in ``apps.accounts.permissions``."""

from typing import TYPE_CHECKING

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

if TYPE_CHECKING:  # REST framework imports this module while it builds its views
    from rest_framework.views import APIView


class IsSuperuser(BasePermission):
    """For what belongs to the whole installation: pools, nodes, join tokens."""

    message = "Only an administrator of this installation may do this."

    def has_permission(self, request: Request, view: "APIView") -> bool:
        return bool(request.user and request.user.is_authenticated and getattr(request.user, "is_superuser", False))


class IsSuperuserOrReadOnly(IsSuperuser):
    """Everybody signed in may look; only administrators change."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        if request.method in SAFE_METHODS:
            return bool(request.user and request.user.is_authenticated)
        return super().has_permission(request, view)

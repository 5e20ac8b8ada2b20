"""Rights that every REST view checks by default: the token's scope, and the role in the object's workspace."""

from typing import TYPE_CHECKING, Any

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from apps.accounts.models import ApiToken, Role, Scope
from apps.accounts.selectors import require_role, scope_includes
from apps.core.errors import Forbidden
from apps.core.events import workspace_of

if TYPE_CHECKING:  # REST framework imports this module while it builds its views
    from rest_framework.views import APIView


class TokenScopeAllows(BasePermission):
    """Reading needs ``read``, changing ``write``, or what the view names in ``write_scope``."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        """Check the token of the request; a session has every scope.

        Raises:
            Forbidden: the token's scopes are less (HTTP 403, code ``scope_missing``).
        """
        token = request.auth
        if not isinstance(token, ApiToken):
            return True
        unsafe: Scope = getattr(view, "write_scope", Scope.WRITE)
        wanted = Scope.READ if request.method in SAFE_METHODS else unsafe
        if scope_includes(token.scopes, wanted):
            return True
        raise Forbidden(
            f"This API token lacks the scope {wanted}.",
            code="scope_missing",
            remedy=f"Make a token with the scope {wanted}.",
        )


class WorkspaceRoleAllows(BasePermission):
    """Changing an object needs the view's ``write_role`` (default: editor) in its workspace.

    Applies to whatever ``get_object()`` returns. An object of no workspace is left to the view's own permissions.
    """

    def has_object_permission(self, request: Request, view: "APIView", obj: Any) -> bool:
        """Check the role.

        Raises:
            NotFound: the workspace is not visible (HTTP 404).
            Forbidden: the role is less (HTTP 403).
        """
        workspace_id = workspace_of(obj)
        if workspace_id is None:
            return True
        unsafe: Role = getattr(view, "write_role", Role.EDITOR)
        require_role(request.user, workspace_id, Role.VIEWER if request.method in SAFE_METHODS else unsafe)
        return True

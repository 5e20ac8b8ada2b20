"""Who may see and do what. What a user may not see is 404; what they may see but not do is 403."""

from typing import TypeVar
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.db.models import Model, Q, QuerySet
from django.utils import timezone

from apps.accounts.models import ApiToken, Membership, Role, Scope, User, Workspace
from apps.accounts.tokens import digest_of
from apps.core.errors import Forbidden, NotFound

AnyUser = User | AnonymousUser
_Row = TypeVar("_Row", bound=Model)

_ROLE_RANK = {Role.VIEWER: 0, Role.EDITOR: 1, Role.OWNER: 2}
_SCOPE_RANK = {Scope.READ: 0, Scope.WRITE: 1, Scope.ADMIN: 2}


def visible_workspaces(user: AnyUser) -> QuerySet[Workspace]:
    """Select the workspaces that ``user`` is a member of; administrators see all."""
    return _limit(Workspace.objects.all(), user, "id__in")


def in_visible_workspaces(rows: QuerySet[_Row], user: AnyUser) -> QuerySet[_Row]:
    """Limit rows that have a ``workspace`` to those that ``user`` may see."""
    return _limit(rows, user, "workspace_id__in")


def _limit(rows: QuerySet[_Row], user: AnyUser, lookup: str) -> QuerySet[_Row]:
    if not isinstance(user, User) or not user.is_active:
        return rows.none()
    if user.is_superuser:
        return rows
    return rows.filter(**{lookup: Membership.objects.filter(user=user).values("workspace_id")})


def role_in(user: AnyUser, workspace_id: UUID) -> Role | None:
    """Return the role of ``user`` in a workspace; administrators are owners everywhere."""
    if not isinstance(user, User) or not user.is_active:
        return None
    if user.is_superuser:
        return Role.OWNER
    role = Membership.objects.filter(user=user, workspace_id=workspace_id).values_list("role", flat=True).first()
    return Role(role) if role else None


def require_role(user: AnyUser, workspace: Workspace | UUID, role: Role) -> Role:
    """Return the role of ``user``, which is at least ``role``.

    Raises:
        NotFound: the workspace is not visible to the user (HTTP 404).
        Forbidden: the user's role is less (HTTP 403).
    """
    held = role_in(user, workspace.pk if isinstance(workspace, Workspace) else workspace)
    if held is None:
        raise NotFound("There is no such object.")
    if not role_includes(held, role):
        raise Forbidden(f"This needs the role {role.label.lower()}; you are {held.label.lower()} here.")
    return held


def role_includes(held: Role, wanted: Role) -> bool:
    """Return whether a role allows what another allows."""
    return _ROLE_RANK[held] >= _ROLE_RANK[wanted]


def scope_includes(held: list[str], wanted: Scope) -> bool:
    """Return whether one of a token's scopes allows ``wanted``."""
    return any(_SCOPE_RANK[Scope(scope)] >= _SCOPE_RANK[wanted] for scope in held)


def find_token(secret: str) -> ApiToken | None:
    """Return the API token with this secret, whatever its state."""
    return ApiToken.objects.select_related("user").filter(digest=digest_of(secret)).first()


def own_tokens(user: AnyUser) -> QuerySet[ApiToken]:
    """Select the user's own tokens that were not revoked; nobody reads another's, administrators use the console."""
    if not isinstance(user, User):
        return ApiToken.objects.none()
    return ApiToken.objects.filter(user=user, revoked_at=None)


def usable_tokens() -> QuerySet[ApiToken]:
    """Select tokens that open something now."""
    now = timezone.now()
    return ApiToken.objects.filter(Q(expires_at=None) | Q(expires_at__gt=now), revoked_at=None, user__is_active=True)


def memberships(workspace_id: UUID) -> QuerySet[Membership]:
    """Select a workspace's members with their users."""
    return Membership.objects.filter(workspace_id=workspace_id).select_related("user")

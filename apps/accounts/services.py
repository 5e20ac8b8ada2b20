"""Every change of users' rights: workspaces, members, tokens."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from apps.accounts import tokens
from apps.accounts.models import ApiToken, Membership, Role, Scope, User, Workspace
from apps.core import events
from apps.core.errors import Conflict, FieldError, InvalidInput, NameTaken

_LAST_USED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token just made, with the secret that is shown this once."""

    token: ApiToken
    secret: str


@transaction.atomic
def create_token(
    *, actor: User, name: str, scopes: list[str] | None = None, expires_at: datetime | None = None
) -> NewToken:
    """Make an API token for ``actor``.

    Raises:
        InvalidInput: the expiry lies in the past.
    """
    if expires_at is not None and expires_at <= timezone.now():
        raise InvalidInput("Must lie in the future.", field="expires_at")
    secret = tokens.new_secret()
    token = ApiToken.objects.create(
        user=actor,
        name=name,
        prefix=tokens.shown_part(secret),
        digest=tokens.digest_of(secret),
        scopes=sorted(set(scopes or [Scope.READ, Scope.WRITE])),
        expires_at=expires_at,
    )
    events.record(token, action="token.create", actor=actor, after={"name": name, "scopes": token.scopes})
    return NewToken(token, secret)


@transaction.atomic
def revoke_token(*, token: ApiToken, actor: User | None) -> None:
    """Close a token for good. Repeating it changes nothing."""
    if ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=timezone.now()):
        events.record(token, action="token.revoke", actor=actor)


def note_token_use(token: ApiToken) -> None:
    """Write when a token was last used, at most once a minute."""
    now = timezone.now()
    if token.last_used_at is not None and token.last_used_at > now - _LAST_USED_EVERY:
        return
    stale = Q(last_used_at=None) | Q(last_used_at__lt=now - _LAST_USED_EVERY)
    ApiToken.objects.filter(stale, pk=token.pk).update(last_used_at=now)


@transaction.atomic
def create_workspace(*, actor: User, name: str) -> Workspace:
    """Make a workspace that ``actor`` owns.

    Raises:
        NameTaken: the name is taken.
    """
    if Workspace.objects.filter(name=name).exists():
        raise NameTaken("workspace", name)
    workspace = Workspace.objects.create(name=name)
    Membership.objects.create(workspace=workspace, user=actor, role=Role.OWNER)
    events.record(workspace, action="workspace.create", actor=actor, after={"name": name})
    return workspace


@transaction.atomic
def rename_workspace(*, workspace: Workspace, actor: User, name: str) -> Workspace:
    """Give a workspace another name.

    Raises:
        NameTaken: the name is taken.
    """
    if Workspace.objects.filter(name=name).exclude(pk=workspace.pk).exists():
        raise NameTaken("workspace", name)
    before, workspace.name = workspace.name, name
    workspace.save(update_fields=["name", "updated_at"])
    events.record(workspace, action="workspace.rename", actor=actor, before={"name": before}, after={"name": name})
    return workspace


@transaction.atomic
def delete_workspace(*, workspace: Workspace, actor: User) -> None:
    """Remove an empty workspace.

    Raises:
        ProtectedError: something is still in it (HTTP 409).
    """
    events.record(workspace, action="workspace.delete", actor=actor, before={"name": workspace.name})
    workspace.delete()


@transaction.atomic
def add_member(*, workspace: Workspace, actor: User, username: str, role: Role) -> Membership:
    """Let a user in.

    Raises:
        InvalidInput: there is no active user of this name.
        Conflict: they are a member already.
    """
    user = User.objects.filter(username__iexact=username, is_active=True).first()
    if user is None:
        raise InvalidInput(f"There is no active user named {username!r}.", field="username")
    if Membership.objects.filter(workspace=workspace, user=user).exists():
        message = f"{user.username} is a member already."
        raise Conflict(message, code="duplicate", errors=[FieldError("username", message)])
    membership = Membership.objects.create(workspace=workspace, user=user, role=role)
    events.record(membership, action="member.add", actor=actor, after={"user": user.username, "role": role})
    return membership


@transaction.atomic
def change_role(*, membership: Membership, actor: User, role: Role) -> Membership:
    """Give a member another role.

    Raises:
        Conflict: the workspace would be left without an owner.
    """
    if role != Role.OWNER:
        _keep_an_owner(membership)
    before, membership.role = membership.role, role
    membership.save(update_fields=["role", "updated_at"])
    events.record(membership, action="member.role", actor=actor, before={"role": before}, after={"role": role})
    return membership


@transaction.atomic
def remove_member(*, membership: Membership, actor: User) -> None:
    """Take a member's access away.

    Raises:
        Conflict: the workspace would be left without an owner.
    """
    _keep_an_owner(membership)
    events.record(membership, action="member.remove", actor=actor, before={"user": membership.user.username})
    membership.delete()


def _keep_an_owner(leaving: Membership) -> None:
    """Refuse to lose the last owner; the workspace's row serialises two owners who leave at once."""
    Workspace.objects.select_for_update().get(pk=leaving.workspace_id)
    others = Membership.objects.filter(workspace_id=leaving.workspace_id, role=Role.OWNER).exclude(pk=leaving.pk)
    if leaving.role == Role.OWNER and not others.exists():
        raise Conflict(
            "A workspace keeps at least one owner.", code="last_owner", remedy="Make another member an owner first."
        )


@transaction.atomic
def ensure_admin(*, username: str, password: str) -> User:
    """Make sure that an active administrator with this name and password exists."""
    user = User.objects.select_for_update().filter(username__iexact=username).first() or User(username=username)
    user.is_staff = user.is_superuser = user.is_active = True
    if not user.check_password(password):  # an unchanged hash keeps the sessions of this user alive
        user.set_password(password)
    user.save()
    return user


@transaction.atomic
def ensure_workspace(*, name: str, owner: User) -> Workspace:
    """Make sure that a workspace exists and ``owner`` owns it."""
    workspace, _ = Workspace.objects.get_or_create(name=name)
    Membership.objects.get_or_create(workspace=workspace, user=owner, defaults={"role": Role.OWNER})
    return workspace

"""Writing the append-only record of what happened."""

from uuid import UUID

from django.contrib.auth.base_user import AbstractBaseUser
from django.db.models import Model

from apps.core.models import Event
from apps.core.request_id import current_request_id

SYSTEM = "system"


def record(
    obj: Model,
    *,
    action: str,
    actor: AbstractBaseUser | str | None = None,
    before: object = None,
    after: object = None,
    reason: str = "",
    seq: int | None = None,
) -> Event:
    """Append an event about ``obj`` within the caller's transaction.

    ``actor`` is a user, a name such as ``node:n1``, or None for the system itself. ``before`` and ``after`` are JSON
    values. ``seq`` is the position in the object's live stream, where it has one.
    """
    user = actor if isinstance(actor, AbstractBaseUser) else None
    name = user.get_username() if user is not None else (str(actor) if actor else SYSTEM)
    return Event.objects.create(
        workspace_id=workspace_of(obj),
        object_type=obj._meta.label_lower,
        object_id=obj.pk,
        actor=user,  # type: ignore[misc]  # the user model lies above this app
        actor_name=name,
        action=action,
        before=before,
        after=after,
        reason=reason,
        request_id=current_request_id(),
        seq=seq,
    )


def workspace_of(obj: Model) -> UUID | None:
    """Return the tenant a row belongs to; a workspace belongs to itself."""
    if obj._meta.label_lower == "accounts.workspace":
        return obj.pk  # type: ignore[no-any-return]
    return getattr(obj, "workspace_id", None)

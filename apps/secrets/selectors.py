"""Reading secrets: that they exist, for people; their values, for the nodes that run a project's jobs."""

from collections.abc import Iterable
from uuid import UUID

from django.db.models import QuerySet

from apps.secrets.encryption import unseal
from apps.secrets.models import Secret


def secrets_of(project_id: UUID) -> QuerySet[Secret]:
    """Select a project's secrets, values left in the database."""
    return Secret.objects.filter(project_id=project_id).defer("sealed").select_related("set_by")


def missing_secrets(*, project_id: UUID, names: Iterable[str]) -> list[str]:
    """Return those of ``names`` that the project does not have, sorted."""
    wanted = set(names)
    held = Secret.objects.filter(project_id=project_id, name__in=wanted).values_list("name", flat=True)
    return sorted(wanted - set(held))


def secret_values(*, project_id: UUID, names: Iterable[str]) -> dict[str, str]:
    """Decrypt those of ``names`` that the project has. For the node API alone.

    Raises:
        NoSecretsKey: no key is configured.
        SecretUnreadable: a value was encrypted with a key that is gone.
    """
    rows = Secret.objects.filter(project_id=project_id, name__in=set(names))
    return {row.name: unseal(row.pk, row.sealed) for row in rows}

"""Every change of secrets. No value is ever part of an event, an error or a log line."""

import re

from django.db import transaction
from django.utils import timezone

from apps.accounts.models import User
from apps.core import events
from apps.core.errors import InvalidInput, NotFound
from apps.core.models import new_id
from apps.projects.models import Project
from apps.secrets.encryption import reseal, seal
from apps.secrets.models import Secret

MIN_CHARACTERS = 8
"""Shorter values cannot be masked in logs without masking half of everything else."""
MAX_BYTES = 32 * 1024
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,62}")


@transaction.atomic
def set_secret(*, project: Project, actor: User, name: str, value: str) -> Secret:
    """Make a secret, or give it another value; jobs that run keep the one they were started with.

    Raises:
        InvalidInput: the name or the value is not usable.
        NoSecretsKey: no key is configured.
    """
    _check(name, value)
    Project.objects.select_for_update().get(pk=project.pk)  # two writers of one new name take turns
    secret = Secret.objects.filter(project=project, name=name).first()
    is_new = secret is None
    if secret is None:
        secret = Secret(pk=new_id(), workspace_id=project.workspace_id, project=project, name=name)
    secret.sealed = seal(secret.pk, value)
    secret.set_by, secret.set_at = actor, timezone.now()
    secret.save(force_insert=is_new)
    events.record(secret, action="secret.set", actor=actor, after={"name": name, "is_new": is_new})
    return secret


@transaction.atomic
def delete_secret(*, project: Project, actor: User, name: str) -> None:
    """Delete a secret with its value.

    Raises:
        NotFound: there is none of this name.
    """
    secret = Secret.objects.select_for_update().filter(project=project, name=name).first()
    if secret is None:
        raise NotFound("There is no such secret.")
    events.record(secret, action="secret.delete", actor=actor, before={"name": name})
    secret.delete()


def rotate_secrets() -> int:
    """Encrypt every secret with the first key; return how many there are. Then older keys can be taken away.

    Raises:
        SecretUnreadable: one was encrypted with a key that is not configured.
    """
    count = 0
    for pk in list(Secret.objects.values_list("pk", flat=True)):
        with transaction.atomic():
            secret = Secret.objects.select_for_update().filter(pk=pk).first()
            if secret is not None:
                secret.sealed = reseal(secret.sealed)
                secret.save(update_fields=["sealed", "updated_at"])
                count += 1
    return count


def _check(name: str, value: str) -> None:
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            "A name begins with a letter and has at most 63 letters, digits, '_', '.' and '-'.", field="name"
        )
    if len(value) < MIN_CHARACTERS:
        raise InvalidInput(
            f"A secret has at least {MIN_CHARACTERS} characters: a shorter one cannot be masked in logs.", field="value"
        )
    if len(value.encode()) > MAX_BYTES:
        raise InvalidInput(f"A secret has at most {MAX_BYTES} bytes.", field="value")
    if "\0" in value:
        raise InvalidInput("A secret holds no NUL: no environment variable could carry it.", field="value")

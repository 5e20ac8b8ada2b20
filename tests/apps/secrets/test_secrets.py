"""Secrets: values go in, are encrypted, reach the node API's selector, and are readable nowhere else."""

from collections.abc import Callable

import pytest
from django.core.management import call_command
from django.db import connection
from pytest_django import Settings
from rest_framework.test import APIClient

from apps.accounts.models import User
from apps.core.errors import InvalidInput, Unavailable
from apps.core.models import Event
from apps.projects.models import Project
from apps.secrets.encryption import check_keys, reseal, unseal
from apps.secrets.errors import NoSecretsKey, SecretUnreadable
from apps.secrets.models import Secret
from apps.secrets.selectors import missing_secrets, secret_values
from apps.secrets.services import rotate_secrets, set_secret
from tests.apps.factories import ProjectFactory

ClientFor = Callable[[User | None], APIClient]
VALUE = "hunter2-and-then-some"
OTHER_KEY = "b3RoZXItb3RoZXItb3RoZXItb3RoZXItb3RoZXItMDE"


def test_secret_is_set_listed_replaced_and_deleted(api: APIClient, project: Project) -> None:
    address = f"/api/v1/projects/{project.pk}/secrets"
    made = api.put(f"{address}/deploy-key", {"value": VALUE})
    assert made.status_code == 200, made.json()
    listed = api.get(address)
    assert [row["name"] for row in listed.json()["results"]] == ["deploy-key"]
    assert VALUE not in made.content.decode() + listed.content.decode()
    assert secret_values(project_id=project.pk, names=["deploy-key", "none"]) == {"deploy-key": VALUE}
    assert api.put(f"{address}/deploy-key", {"value": VALUE + "!"}).json()["id"] == made.json()["id"]
    assert secret_values(project_id=project.pk, names=["deploy-key"]) == {"deploy-key": VALUE + "!"}
    assert api.delete(f"{address}/deploy-key").status_code == 204
    assert api.delete(f"{address}/deploy-key").status_code == 404
    assert not Secret.objects.exists()
    events = Event.objects.filter(object_type="secrets.secret").order_by("id")
    assert [event.action for event in events] == ["secret.set", "secret.set", "secret.delete"]
    assert VALUE not in str(list(events.values()))


def test_value_is_nowhere_in_the_table_and_nowhere_in_the_console(
    project: Project, owner: User, superuser: User, client_for: ClientFor
) -> None:
    secret = set_secret(project=project, actor=owner, name="token", value=VALUE)
    with connection.cursor() as cursor:
        cursor.execute("SELECT secrets_secret::text, encode(sealed, 'escape') FROM secrets_secret")
        assert VALUE not in str(cursor.fetchall())
    page = client_for(superuser).get(f"/admin/secrets/secret/{secret.pk}/change/")
    assert page.status_code == 200
    assert VALUE not in page.content.decode()
    assert "sealed" not in page.content.decode().lower()


def test_ciphertext_of_another_row_does_not_open(project: Project, owner: User) -> None:
    one = set_secret(project=project, actor=owner, name="one", value=VALUE)
    two = set_secret(project=ProjectFactory.create(), actor=owner, name="two", value="something else")
    Secret.objects.filter(pk=two.pk).update(sealed=one.sealed)
    with pytest.raises(SecretUnreadable):
        secret_values(project_id=two.project_id, names=["two"])


def test_key_is_rotated_without_a_gap(project: Project, owner: User, settings: Settings) -> None:
    old_key = settings.SECRETS_KEYS[0]
    secret = set_secret(project=project, actor=owner, name="token", value=VALUE)
    settings.SECRETS_KEYS = [OTHER_KEY, old_key]
    assert secret_values(project_id=project.pk, names=["token"]) == {"token": VALUE}
    call_command("rotate_secrets")
    settings.SECRETS_KEYS = [OTHER_KEY]
    assert secret_values(project_id=project.pk, names=["token"]) == {"token": VALUE}
    settings.SECRETS_KEYS = [old_key]
    secret.refresh_from_db()
    for attempt in (lambda: unseal(secret.pk, secret.sealed), lambda: reseal(secret.sealed), rotate_secrets):
        with pytest.raises(SecretUnreadable):
            attempt()


def test_without_a_key_nothing_is_kept(project: Project, owner: User, settings: Settings) -> None:
    settings.SECRETS_KEYS = []
    with pytest.raises(NoSecretsKey) as refusal:
        set_secret(project=project, actor=owner, name="token", value=VALUE)
    assert isinstance(refusal.value, Unavailable)
    assert "COX_SECRETS_KEYS" in refusal.value.remedy
    settings.SECRETS_KEYS = ["too-short"]
    assert [error.msg for error in check_keys(None)]


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("1st", VALUE, "name"),
        ("a/b", VALUE, "name"),
        ("n" * 64, VALUE, "name"),
        ("token", "short", "value"),
        ("token", "with\0nul-byte", "value"),
        ("token", "x" * 32_769, "value"),
    ],
)
def test_unusable_secret_is_refused_by_field(project: Project, owner: User, name: str, value: str, field: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        set_secret(project=project, actor=owner, name=name, value=value)
    assert refusal.value.errors[0].field == field


def test_missing_ones_are_named(project: Project, owner: User) -> None:
    set_secret(project=project, actor=owner, name="there", value=VALUE)
    assert missing_secrets(project_id=project.pk, names=["there", "b", "a"]) == ["a", "b"]

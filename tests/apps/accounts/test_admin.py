"""The admin console: every page opens, and nothing that must stand can be edited."""

from collections.abc import Callable

import pytest
from django.contrib import admin
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from apps.accounts.models import ApiToken, Membership, Role, User
from apps.accounts.services import create_token
from apps.core.models import Event

admin.autodiscover()  # controlplane.urls does it for the server
MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)


@pytest.fixture
def console(client: Client, superuser: User) -> Client:
    """Return an administrator's browser."""
    client.force_login(superuser)
    return client


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label_lower)
def test_list_page_opens_and_searches(console: Client, model: type[Model]) -> None:
    address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    assert console.get(address).status_code == 200
    searched = console.get(address, {"q": "00000000-0000-7000-8000-000000000000"})
    assert searched.status_code == 200, searched.headers


def test_event_is_shown_and_not_changed(console: Client, editor: User) -> None:
    create_token(actor=editor, name="t")
    event = Event.objects.get()
    address = reverse("admin:core_event_change", args=[event.pk])
    assert console.get(address).status_code == 200
    assert console.post(address, {"action": "forged"}).status_code == 403
    assert console.post(reverse("admin:core_event_delete", args=[event.pk]), {"post": "yes"}).status_code == 403


def test_tokens_are_revoked_and_never_edited(console: Client, editor: User) -> None:
    token = create_token(actor=editor, name="t").token
    chosen = {"action": "revoke", "_selected_action": [str(token.pk)]}
    console.post(reverse("admin:accounts_apitoken_changelist"), chosen)
    assert ApiToken.objects.get().revoked_at is not None
    assert Event.objects.filter(action="token.revoke", actor__is_superuser=True).exists()
    console.post(reverse("admin:accounts_apitoken_change", args=[token.pk]), {"digest": "0" * 64})
    assert ApiToken.objects.get().digest == token.digest


def test_user_is_made_and_deactivated_but_not_deleted(console: Client, editor: User) -> None:
    add = reverse("admin:accounts_user_add")
    secret = "a fine long pass phrase"
    console.post(add, {"username": "new", "usable_password": "true", "password1": secret, "password2": secret})
    assert User.objects.get(username="new").check_password(secret)
    assert Event.objects.filter(action="user.create").exists()
    assert console.get(reverse("admin:accounts_user_delete", args=[editor.pk])).status_code == 403


def test_console_is_closed_to_others(client: Client, client_for: Callable[..., Client], editor: User) -> None:
    client.force_login(editor)
    assert client.get("/admin/", follow=False).status_code == 302


def test_last_owner_of_a_workspace_stays(console: Client, editor: User) -> None:
    member = Membership.objects.get(user=editor)
    Membership.objects.filter(pk=member.pk).update(role=Role.OWNER)
    address = reverse("admin:accounts_workspace_change", args=[member.workspace_id])
    rows = list(Membership.objects.filter(workspace=member.workspace))
    form = {"name": member.workspace.name, "memberships-TOTAL_FORMS": len(rows), "memberships-INITIAL_FORMS": len(rows)}
    for index, row in enumerate(rows):
        form |= {
            f"memberships-{index}-id": str(row.pk),
            f"memberships-{index}-workspace": str(row.workspace_id),
            f"memberships-{index}-user": str(row.user_id),
            f"memberships-{index}-role": Role.EDITOR,
        }
    answer = console.post(address, form)
    assert "keeps at least one owner" in answer.content.decode()
    assert Membership.objects.get(pk=member.pk).role == Role.OWNER

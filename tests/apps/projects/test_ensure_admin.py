"""The command that makes the first administrator."""

from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from apps.accounts.models import Role, User
from apps.projects.models import Project


@pytest.mark.django_db
def test_repeating_it_changes_only_the_password(tmp_path: Path) -> None:
    file = tmp_path / "password"
    for password in ("first password", "first password", "second password"):
        file.write_text(password + "\n")
        call_command("ensure_admin", "--username", "root", "--password-file", str(file))
        user = User.objects.get()
        assert user.check_password(password)
    assert user.is_superuser
    assert user.memberships.get().role == Role.OWNER
    project = Project.objects.get()
    assert (project.name, project.workspace.name) == ("default", "default")


@pytest.mark.django_db
def test_missing_or_empty_password_file_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="Cannot read"):
        call_command("ensure_admin", "--password-file", str(tmp_path / "absent"))
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(CommandError, match="is empty"):
        call_command("ensure_admin", "--password-file", str(tmp_path / "empty"))


@pytest.mark.django_db(transaction=True)
def test_next_start_of_a_stack_leaves_its_admin_as_people_made_it(tmp_path: Path) -> None:
    password, token = tmp_path / "password", tmp_path / "token"
    password.write_text("first password\n")
    arguments = ("--admin-username", "root", "--admin-password-file", str(password), "--join-token-file", str(token))
    call_command("bootstrap", *arguments, verbosity=0)
    user = User.objects.get()
    user.set_password("chosen by a person")
    user.is_active = False
    user.save()
    call_command("bootstrap", *arguments, verbosity=0)
    user.refresh_from_db()
    assert user.check_password("chosen by a person")
    assert not user.is_active

"""``bootstrap``: everything an embedded stack's database needs before its servers start, in one process.

Migrates under an advisory lock (two stacks may share one external database), then sees to the first user and the
embedded agent's join token. Safe to repeat. Production deployments run ``migrate`` themselves.
"""

from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import connection

_MIGRATION_LOCK_KEY = 0x636F787377  # "coxsw": any constant that nothing else locks


@contextmanager
def migration_lock() -> Iterator[None]:
    """Wait until no other process migrates this database, and keep others out for the length of the block."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [_MIGRATION_LOCK_KEY])
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [_MIGRATION_LOCK_KEY])


class Command(BaseCommand):
    """Prepare the database of an embedded stack."""

    help = "Migrate under a lock, then create the first user and the embedded agent's join token where missing."
    requires_system_checks: list[str] = []  # the servers run them; here they would cost a second of every start

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--admin-username", required=True)
        parser.add_argument("--admin-password-file", type=Path, required=True)
        parser.add_argument("--join-token-file", type=Path, required=True)

    def handle(self, *_args: Any, **options: Any) -> None:
        """Do all of it, each step only where needed."""
        with migration_lock():
            call_command("migrate", interactive=False, verbosity=1, skip_checks=True)
            if not get_user_model().objects.filter(username__iexact=options["admin_username"]).exists():
                # Only the first time: who has changed the password, or locked the account, meant it.
                call_command(
                    "ensure_admin",
                    username=options["admin_username"],
                    password_file=options["admin_password_file"],
                )
            if not options["join_token_file"].exists():
                call_command(
                    "create_join_token", name="embedded", reusable=True, output_file=options["join_token_file"]
                )

"""Make an administrator with a workspace and a project to start in. Repeating it changes nothing."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from apps.accounts.services import ensure_admin, ensure_workspace
from apps.projects.services import ensure_project


class Command(BaseCommand):
    """``manage.py ensure_admin --username admin --password-file F``."""

    help = "Make sure that an administrator, a workspace and a project named 'default' exist."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options. The password comes from a file: a command line is visible to every user."""
        parser.add_argument("--username", default="admin")
        parser.add_argument("--password-file", type=Path, required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        """Run it in one transaction."""
        path: Path = options["password_file"]
        try:
            password = path.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise CommandError(f"Cannot read the password from {path}: {error}") from error
        if not password:
            raise CommandError(f"{path} is empty.")
        with transaction.atomic():
            admin = ensure_admin(username=options["username"], password=password)
            workspace = ensure_workspace(name="default", owner=admin)
            ensure_project(workspace=workspace, name="default", owner=admin)
        self.stdout.write(f"{admin.username} can sign in.")

"""``manage.py create_join_token --name NAME --output FILE [--pool P] [--reusable]``: let a node in."""

import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.cluster.services import create_join_token


class Command(BaseCommand):
    """Make a join token and write its secret, which is shown this once, to a file of mode 600."""

    help = "Make a join token and write it to a file that only its owner can read."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--name", required=True, help="to recognise the token by")
        parser.add_argument("--output", type=Path, required=True, help="file to write; must not exist")
        parser.add_argument("--pool", help="let nodes into this pool only")
        parser.add_argument("--reusable", action="store_true", help="let in any number of nodes")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Write the file first: a token nobody can read would be of no use."""
        path: Path = options["output"]
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise CommandError(f"Cannot write the token to {path}: {error}") from error
        try:
            made = create_join_token(name=options["name"], pool_name=options["pool"], is_reusable=options["reusable"])
            os.write(descriptor, (made.secret + "\n").encode())
        except BaseException:
            path.unlink()
            raise
        finally:
            os.close(descriptor)
        self.stdout.write(f"A join token named {made.token.name} is in {path}.")

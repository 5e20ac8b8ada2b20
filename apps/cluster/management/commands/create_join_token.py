"""Make a join token and write it to a file that its owner alone reads."""

import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.cluster.services import create_join_token


class Command(BaseCommand):
    """``manage.py create_join_token --name N [--pool P] [--reusable] --output-file F``."""

    help = "Make a token that lets a node join."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--name", required=True, help="To recognise the token by.")
        parser.add_argument("--pool", help="The only pool it opens.")
        parser.add_argument("--reusable", action="store_true", help="Let any number of nodes in.")
        parser.add_argument("--output-file", type=Path, help="Mode 600; standard output when absent.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Make the token."""
        made = create_join_token(name=options["name"], pool_name=options["pool"], is_reusable=options["reusable"])
        path: Path | None = options["output_file"]
        if path is None:
            self.stdout.write(made.secret)
            return
        try:
            path.unlink(missing_ok=True)  # an old file may have a looser mode
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(made.secret + "\n")
        except OSError as error:
            raise CommandError(f"Cannot write {path}: {error}") from error

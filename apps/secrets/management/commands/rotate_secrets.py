"""``python -m django rotate_secrets``: encrypt every secret with the first of ``COX_SECRETS_KEYS``."""

from typing import Any

from django.core.management.base import BaseCommand

from apps.secrets.services import rotate_secrets


class Command(BaseCommand):
    """Re-encrypts; safe to repeat and while jobs run."""

    help = "Encrypt every secret with the first key of COX_SECRETS_KEYS; afterwards older keys can be removed."

    def handle(self, *args: Any, **options: Any) -> None:
        """Rotate and say how many."""
        self.stdout.write(f"{rotate_secrets()} secrets are encrypted with the first key.")

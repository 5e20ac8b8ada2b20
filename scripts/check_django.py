"""Django's own checks, in one process: the deployment check of the production settings, and missing migrations."""

import os
import secrets
import sys

# What production refuses to start without; the values reach nothing.
os.environ.update({
    "DJANGO_SETTINGS_MODULE": "controlplane.settings.production",
    "COX_SECRET_KEY": secrets.token_urlsafe(60),
    "COX_ALLOWED_HOSTS": "coxswain.example",
    "COX_PUBLIC_URL": "https://coxswain.example",
    "DATABASE_URL": "postgresql://nobody:nothing@127.0.0.1:9/none",
    "REDIS_URL": "redis://:nothing@127.0.0.1:9/0",
    "COX_SECRETS_KEYS": secrets.token_urlsafe(32),
    "COX_BROKER_URL": "redis://:nothing@127.0.0.1:9/1",
    "COX_STORAGE_URL": "memory://",
})  # fmt: skip

import django
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState


def missing_migrations() -> list[str]:
    """Name the apps whose models changed without a migration; unlike the command, this needs no database."""
    loader = MigrationLoader(None)
    detector = MigrationAutodetector(loader.project_state(), ProjectState.from_apps(django.apps.apps))
    return sorted(detector.changes(graph=loader.graph))


def main() -> int:
    """Run the checks; the exit code."""
    django.setup()
    try:
        call_command("check", deploy=True, fail_level="WARNING")
    except SystemCheckError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if apps := missing_migrations():
        sys.stderr.write(f"Models of {', '.join(apps)} changed without a migration: run `manage.py makemigrations`.\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

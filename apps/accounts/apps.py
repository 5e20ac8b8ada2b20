"""The accounts app."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Users, workspaces, memberships and tokens."""

    name = "apps.accounts"

    def ready(self) -> None:
        """Register the OpenAPI names of the ways to sign in."""
        from apps.accounts import schema  # noqa: F401 - registers itself

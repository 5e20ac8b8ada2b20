"""The accounts app."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Users, workspaces, memberships and tokens."""

    name = "apps.accounts"

"""Django's entry for this app."""

from django.apps import AppConfig


class SecretsConfig(AppConfig):
    """Credentials of projects, which jobs may be given."""

    name = "apps.secrets"

    def ready(self) -> None:
        """Have bad keys found when a process starts, not when the first job needs one."""
        from django.core import checks

        from apps.secrets.encryption import check_keys

        checks.register(check_keys)

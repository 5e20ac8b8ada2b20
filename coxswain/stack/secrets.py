"""Passwords and keys of one stack: generated on first start, kept in files only their owner can read."""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class StackSecrets:
    """What the parts of a stack prove themselves with."""

    secret_key: str
    secrets_keys: str
    postgres_password: str
    redis_password: str
    admin_password_file: Path
    join_token_file: Path

    @property
    def admin_password(self) -> str:
        """The first user's password, as generated; the user may have changed it since."""
        return self.admin_password_file.read_text().strip()


def _kept(path: Path, num_bytes: int) -> str:
    """Answer the secret in ``path``, made on first use and never readable by others, not even for a moment."""
    if not path.exists():
        partial = path.with_suffix(".partial")
        partial.unlink(missing_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(secrets.token_urlsafe(num_bytes) + "\n")
        partial.rename(path)
    return path.read_text().strip()


def load_secrets(folder: Path) -> StackSecrets:
    """Read the secrets of a stack from ``folder``, generating those that are missing."""
    _kept(folder / "admin-password", 12)
    return StackSecrets(
        secret_key=_kept(folder / "secret-key", 48),
        secrets_keys=_kept(folder / "secrets-keys", 32),
        postgres_password=_kept(folder / "postgres-password", 24),
        redis_password=_kept(folder / "redis-password", 24),
        admin_password_file=folder / "admin-password",
        join_token_file=folder / "join-token",
    )

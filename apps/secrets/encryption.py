"""Encryption of secrets at rest: Fernet (AES-128-CBC with HMAC-SHA256, https://github.com/fernet/spec), several keys.

The first key of ``COX_SECRETS_KEYS`` encrypts, all of them decrypt, so a key is rotated by putting a new one in front.
What is encrypted begins with the row's id: a ciphertext that is copied into another row does not open there.
"""

from typing import Any
from uuid import UUID

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.checks import CheckMessage, Error

from apps.secrets.errors import NoSecretsKey, SecretUnreadable

Sealed = bytes | memoryview
"""As the database gives it back."""

_ID_BYTES = 16


def seal(secret_id: UUID, value: str) -> bytes:
    """Encrypt a value for one row.

    Raises:
        NoSecretsKey: no key is configured.
    """
    return _keys().encrypt(secret_id.bytes + value.encode())


def unseal(secret_id: UUID, sealed: Sealed) -> str:
    """Decrypt the value of one row.

    Raises:
        NoSecretsKey: no key is configured.
        SecretUnreadable: no configured key opens it, or it belongs to another row.
    """
    try:
        plain = _keys().decrypt(bytes(sealed))
    except InvalidToken as error:
        raise SecretUnreadable from error
    if plain[:_ID_BYTES] != secret_id.bytes:
        raise SecretUnreadable
    return plain[_ID_BYTES:].decode()


def reseal(sealed: Sealed) -> bytes:
    """Encrypt with today's first key what an older one encrypted.

    Raises:
        NoSecretsKey: no key is configured.
        SecretUnreadable: no configured key opens it.
    """
    try:
        return _keys().rotate(bytes(sealed))
    except InvalidToken as error:
        raise SecretUnreadable from error


def check_keys(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Refuse to start with a key that is none."""
    try:
        for key in settings.SECRETS_KEYS:
            _fernet(key)
    except ValueError:
        hint = "Make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
        return [Error("COX_SECRETS_KEYS holds something that is no key of 32 bytes in URL-safe base64.", hint=hint)]
    return []


def _keys() -> MultiFernet:
    if not settings.SECRETS_KEYS:
        raise NoSecretsKey
    return MultiFernet([_fernet(key) for key in settings.SECRETS_KEYS])


def _fernet(key: str) -> Fernet:
    return Fernet(key + "=" * (-len(key) % 4))  # generated keys come without the padding

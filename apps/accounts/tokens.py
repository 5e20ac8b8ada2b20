"""Secrets for programs: how they look, and how they are recognised without being kept."""

import hashlib
import secrets

API_PREFIX = "cox_"
SHOWN_CHARACTERS = 12


def new_secret(prefix: str = API_PREFIX) -> str:
    """Return a secret of 256 random bits behind a prefix by which scanners recognise it."""
    return prefix + secrets.token_urlsafe(32)


def digest_of(secret: str) -> str:
    """Return the SHA-256 that is stored in the secret's place."""
    return hashlib.sha256(secret.encode()).hexdigest()


def shown_part(secret: str) -> str:
    """Return the first characters, by which its owner tells it from others."""
    return secret[:SHOWN_CHARACTERS]

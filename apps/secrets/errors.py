"""Refusals that only secrets know."""

from apps.core.errors import Conflict, Unavailable


class NoSecretsKey(Unavailable):
    """There is nothing to encrypt with."""

    code = "no_secrets_key"
    title = "Secrets cannot be kept here"
    remedy = "Ask the operator to set COX_SECRETS_KEYS; `cox up` makes a key by itself."


class SecretUnreadable(Conflict):
    """The key it was encrypted with is not configured any more."""

    code = "secret_unreadable"
    title = "The secret cannot be decrypted"
    remedy = "Set the secret again, or give the server the key it was encrypted with (COX_SECRETS_KEYS)."

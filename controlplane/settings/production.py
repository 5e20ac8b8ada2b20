"""Settings of a deployment that others reach. Refuses to start half-configured."""

from django.core.exceptions import ImproperlyConfigured

from controlplane.settings.base import *  # noqa: F403
from controlplane.settings.base import (
    ALLOWED_HOSTS,
    BROKER_URL,
    DATABASE_URL,
    DEBUG,
    PUBLIC_URL,
    REDIS_URL,
    SECRET_KEY,
    SECRETS_KEYS,
    STORAGE_URL,
)

_KNOWN_KEYS = ("tests-only", "development-only", "secret", "changeme", "django-insecure")
_KNOWN_SECRETS_KEY = "dGVzdHMtb25seS10ZXN0cy1vbmx5LXRlc3RzLW9ubHk"  # of controlplane.settings.test
_MIN_KEY_LENGTH = 50


def _refuse(condition: bool, message: str) -> None:  # noqa: FBT001 - a sentence each
    if condition:
        raise ImproperlyConfigured(message)


_refuse(DEBUG, "COX_DEBUG must not be set in production.")
_refuse(not SECRET_KEY, "COX_SECRET_KEY is not set.")
_refuse(
    len(SECRET_KEY) < _MIN_KEY_LENGTH or SECRET_KEY.startswith(_KNOWN_KEYS) or len(set(SECRET_KEY)) < 10,
    f"COX_SECRET_KEY must be at least {_MIN_KEY_LENGTH} random characters, and not one from an example.",
)
_refuse(not SECRETS_KEYS, "COX_SECRETS_KEYS is not set: project secrets are encrypted with it.")
_refuse(_KNOWN_SECRETS_KEY in SECRETS_KEYS, "COX_SECRETS_KEYS holds a key that is published with the source.")
_refuse(not ALLOWED_HOSTS, "COX_ALLOWED_HOSTS must name the hosts that this server answers for.")
_refuse("*" in ALLOWED_HOSTS, "COX_ALLOWED_HOSTS must name hosts, not '*'.")
for _name, _value in {
    "DATABASE_URL": DATABASE_URL,
    "REDIS_URL": REDIS_URL,
    "COX_BROKER_URL": BROKER_URL,
    "COX_STORAGE_URL": STORAGE_URL,
    "COX_PUBLIC_URL": PUBLIC_URL,
}.items():
    _refuse(not _value, f"{_name} is not set.")
_refuse(not PUBLIC_URL.startswith("https://"), "COX_PUBLIC_URL must be https in production.")

SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True
SECURE_SSL_REDIRECT = True
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]  # probes speak plain HTTP
SECURE_HSTS_SECONDS = 31_536_000
SECURE_HSTS_INCLUDE_SUBDOMAINS = True
SECURE_HSTS_PRELOAD = True

"""Settings of the test suite: the same engines as in production, with a key that protects nothing."""

from controlplane.settings.base import *  # noqa: F403

SECRET_KEY = "tests-only"  # noqa: S105 - protects nothing
SECRETS_KEYS = ["dGVzdHMtb25seS10ZXN0cy1vbmx5LXRlc3RzLW9ubHk"]  # protects nothing either
ALLOWED_HOSTS = ["testserver", "127.0.0.1", "localhost"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
WHITENOISE_USE_FINDERS = False  # scanning every package's files would slow each test client

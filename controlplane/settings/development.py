"""Settings of a developer's own server: debug pages unless switched off, any host name of this machine."""

import os

os.environ.setdefault("COX_DEBUG", "1")
os.environ.setdefault("COX_LOG_FORMAT", "text")

from controlplane.settings.base import *  # noqa: F403
from controlplane.settings.base import ALLOWED_HOSTS as _HOSTS
from controlplane.settings.base import SECRET_KEY as _KEY

SECRET_KEY = _KEY or "development-only"
ALLOWED_HOSTS = _HOSTS or ["localhost", "127.0.0.1", "[::1]"]

"""Settings of ``cox up``: everything on one machine, reached over loopback unless told otherwise."""

from django.core.exceptions import ImproperlyConfigured

from controlplane.settings.base import *  # noqa: F403
from controlplane.settings.base import ALLOWED_HOSTS as _HOSTS
from controlplane.settings.base import SECRET_KEY as _KEY

if not _KEY:
    raise ImproperlyConfigured("COX_SECRET_KEY is not set; `cox up` makes one in its data directory.")

ALLOWED_HOSTS = _HOSTS or ["localhost", "127.0.0.1", "[::1]"]

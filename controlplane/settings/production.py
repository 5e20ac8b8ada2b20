"""Settings: production."""

from controlplane.settings.base import *  # noqa: F403

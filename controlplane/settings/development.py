"""Settings: development."""

from controlplane.settings.base import *  # noqa: F403

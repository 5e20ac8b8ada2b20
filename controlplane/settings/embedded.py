"""Settings: embedded."""

from controlplane.settings.base import *  # noqa: F403

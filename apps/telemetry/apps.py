"""Telemetry: metrics, logs and the live stream of jobs."""

from django.apps import AppConfig


class TelemetryConfig(AppConfig):
    """Registers the periodic search for what to compact."""

    name = "apps.telemetry"

    def ready(self) -> None:
        from apps.core import periodic
        from apps.telemetry.tasks import FIND_WORK_TASK

        periodic.register(FIND_WORK_TASK, every_s=60)

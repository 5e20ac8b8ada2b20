"""Django's entry for this app."""

from django.apps import AppConfig
from django.db.models import Q


class JobsConfig(AppConfig):
    name = "apps.jobs"

    def ready(self) -> None:
        """Say which rows keep files alive, and what the scheduler sends to the control queue."""
        from apps.core import periodic
        from apps.jobs.models import Attempt, Checkpoint
        from apps.jobs.state import AttemptState
        from apps.jobs.tasks import HOUSEKEEPING_TASK
        from apps.storage.references import count_only
        from apps.storage.tasks import COLLECT_TASK

        count_only(Checkpoint, lambda: Q(deleted_at=None))
        # a model that was reported and not made a version dies with its attempt
        count_only(Attempt, lambda: ~Q(state=AttemptState.ENDED))
        periodic.register(COLLECT_TASK, every_s=3600)
        periodic.register(HOUSEKEEPING_TASK, every_s=60)

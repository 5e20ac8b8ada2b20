"""Django's entry for this app."""

from django.apps import AppConfig
from django.db.models import Q


class JobsConfig(AppConfig):
    name = "apps.jobs"

    def ready(self) -> None:
        """Say what jobs keep from being deleted, and what the scheduler sends to the control queue."""
        from apps.core import periodic
        from apps.datasets import references as dataset_references
        from apps.jobs.models import Allocation, Attempt, Checkpoint, Job
        from apps.jobs.selectors import jobs_reading_dataset, jobs_reading_version
        from apps.jobs.state import AttemptState
        from apps.jobs.tasks import HOUSEKEEPING_TASK
        from apps.model_registry import references as model_references
        from apps.storage.references import count_only
        from apps.storage.tasks import COLLECT_TASK

        count_only(Checkpoint, lambda: Q(deleted_at=None))
        count_only(Job, lambda: Q(deleted_at=None))
        count_only(Allocation, lambda: Q(attempt__job__deleted_at=None))
        # a model that was reported and not made a version dies with its attempt
        count_only(Attempt, lambda: ~Q(state=AttemptState.ENDED))
        dataset_references.refuse_deletion_while(jobs_reading_dataset)
        model_references.refuse_deletion_while(jobs_reading_version)
        periodic.register(COLLECT_TASK, every_s=3600)
        periodic.register(HOUSEKEEPING_TASK, every_s=60)

"""The lifecycle app: evaluations, rules, promotions."""

from django.apps import AppConfig


class LifecycleConfig(AppConfig):
    """Tells the apps below what this one needs to hear, and what it keeps from being deleted."""

    name = "apps.lifecycle"

    def ready(self) -> None:
        """Wire it."""
        from apps.core import periodic
        from apps.datasets import references as dataset_references
        from apps.jobs.endings import on_end
        from apps.lifecycle.selectors import promotions_that_need, rules_on_dataset, stage_that_keeps
        from apps.lifecycle.services import note_job_ended
        from apps.lifecycle.tasks import DECIDE_WAITING_TASK
        from apps.model_registry import references as model_references

        on_end(note_job_ended)
        dataset_references.refuse_deletion_while(rules_on_dataset)
        model_references.refuse_deletion_while(stage_that_keeps)
        model_references.refuse_deletion_while(promotions_that_need)
        periodic.register(DECIDE_WAITING_TASK, every_s=60)

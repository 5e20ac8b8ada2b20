"""Checkpoints: registered by the current attempt, kept as the spec says, deleted by nobody but us."""

from typing import Any

from django.utils import timezone

from apps.jobs.documents import Document, checkpoint_document
from apps.jobs.models import Attempt, Checkpoint, Job
from apps.jobs.services.lifecycle import announce
from apps.jobs.state import AttemptState
from apps.storage.services import build_file_set
from workers.contract.node_api import CheckpointReport
from workers.contract.training import CheckpointSpec


def register_checkpoint(*, job: Job, attempt: Attempt, report: CheckpointReport, actor: str) -> None:
    """Make a checkpoint exist, under the job's lock. Registering it again is a no-op.

    Raises:
        InvalidInput: a file of the manifest is not stored, or the manifest is unsafe.
    """
    if Checkpoint.objects.filter(attempt=attempt, step=report.step).exists():
        return
    file_set = build_file_set(workspace=job.workspace, files=report.manifest.files)
    if report.is_best:
        Checkpoint.objects.filter(job=job, is_best=True).update(is_best=False)
    checkpoint = Checkpoint.objects.create(
        job=job,
        attempt=attempt,
        step=report.step,
        file_set=file_set,
        metrics=dict(report.metrics),
        is_best=report.is_best,
    )
    Job.objects.filter(pk=job.pk).update(infrastructure_failures=0)
    drop_superseded(job)
    message: Document = {"kind": "checkpoint", "checkpoint": checkpoint_document(checkpoint)}
    announce(
        job, action="checkpoint.saved", after={"step": report.step, "is_best": report.is_best}, actor=actor,
        items=[message],
    )  # fmt: skip


def drop_superseded(job: Job) -> int:
    """Soft-delete checkpoints beyond what the spec keeps; return how many. Their bytes go after the grace period.

    What an open attempt goes on from stays: a node may be fetching it.
    """
    policy = checkpoint_policy(job.spec)
    living = list(Checkpoint.objects.filter(job=job, deleted_at=None).order_by("-step", "-id"))
    kept = {checkpoint.pk for checkpoint in living[: policy.keep_last]}
    if policy.keep_best:
        kept |= {checkpoint.pk for checkpoint in living if checkpoint.is_best}
    kept |= set(
        Attempt.objects.filter(job=job, resume_checkpoint__isnull=False)
        .exclude(state=AttemptState.ENDED)
        .values_list("resume_checkpoint_id", flat=True)
    )
    doomed = [checkpoint.pk for checkpoint in living if checkpoint.pk not in kept]
    return Checkpoint.objects.filter(pk__in=doomed, deleted_at=None).update(deleted_at=timezone.now())


def checkpoint_policy(spec: dict[str, Any]) -> CheckpointSpec:
    """Read what a stored spec says about keeping checkpoints."""
    return CheckpointSpec.model_validate(spec.get("checkpoint", {}))

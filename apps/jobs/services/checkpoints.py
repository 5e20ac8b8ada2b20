"""Checkpoints: registered whole by the current attempt, kept as the spec says, deleted by nobody but us."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from django.utils import timezone

from apps.core.errors import InvalidInput
from apps.jobs.documents import Document, checkpoint_document
from apps.jobs.models import Allocation, Attempt, Checkpoint, CheckpointPart, Job
from apps.jobs.services.lifecycle import announce
from apps.jobs.state import AttemptState
from apps.storage.models import FileSet
from apps.storage.selectors import file_refs
from apps.storage.services import build_file_set
from workers.contract.manifest import FileRef
from workers.contract.node_api import CheckpointReport
from workers.contract.training import CheckpointSpec


@dataclass(frozen=True, slots=True)
class _Saved:
    """A checkpoint that is whole."""

    file_set: FileSet
    metrics: dict[str, Any]
    is_best: bool


def register_checkpoint(*, allocation: Allocation, job: Job, report: CheckpointReport, actor: str) -> None:
    """Make a checkpoint exist, under the job's lock, once all its parts are here. Registering it again is a no-op.

    Raises:
        InvalidInput: a file of the manifest is not stored, the manifest is unsafe, or the part is not this node's.
    """
    attempt = allocation.attempt
    if Checkpoint.objects.filter(attempt=attempt, step=report.step).exists():
        return
    saved = _take_in(job, allocation, report)
    if saved is None:
        return
    if saved.is_best:
        Checkpoint.objects.filter(job=job, is_best=True).update(is_best=False)
    checkpoint = Checkpoint.objects.create(
        job=job,
        attempt=attempt,
        step=report.step,
        file_set=saved.file_set,
        metrics=saved.metrics,
        is_best=saved.is_best,
    )
    CheckpointPart.objects.filter(attempt=attempt, step__lte=report.step).delete()  # older halves come to nothing
    Job.objects.filter(pk=job.pk).update(infrastructure_failures=0)
    drop_superseded(job)
    message: Document = {"kind": "checkpoint", "checkpoint": checkpoint_document(checkpoint)}
    announce(
        job, action="checkpoint.saved", after={"step": report.step, "is_best": saved.is_best}, actor=actor,
        items=[message],
    )  # fmt: skip


def drop_parts(attempt: Attempt) -> None:
    """Forget what an attempt that has ended left of checkpoints that never became whole."""
    CheckpointPart.objects.filter(attempt=attempt).delete()


def _take_in(job: Job, allocation: Allocation, report: CheckpointReport) -> _Saved | None:
    """Store what one node delivers; the whole checkpoint when it was the last that lacked."""
    file_set = build_file_set(workspace=job.workspace, files=report.manifest.files)
    if report.num_parts == 1:
        return _Saved(file_set, dict(report.metrics), report.is_best)
    attempt, num_nodes = allocation.attempt, allocation.attempt.allocations.count()
    if report.num_parts != num_nodes or report.part != allocation.node_rank:
        raise InvalidInput(
            f"Part {report.part} of {report.num_parts} from node rank {allocation.node_rank} of {num_nodes}: "
            "every node delivers the part of its own rank.",
            field="part",
        )
    CheckpointPart.objects.update_or_create(
        attempt=attempt,
        step=report.step,
        node_rank=report.part,
        defaults={"file_set": file_set, "metrics": dict(report.metrics), "is_best": report.is_best},
    )
    parts = list(attempt.checkpoint_parts.filter(step=report.step).select_related("file_set").order_by("node_rank"))
    if len(parts) < num_nodes:
        return None
    files = _union([file_refs(part.file_set) for part in parts])
    first = parts[0]  # rank 0 speaks for the gang
    return _Saved(build_file_set(workspace=job.workspace, files=files), first.metrics, first.is_best)


def _union(parts: Iterable[Sequence[FileRef]]) -> list[FileRef]:
    """Put the files of all parts side by side. A file that several nodes wrote alike is one file.

    Raises:
        InvalidInput: two parts give different content for one path.
    """
    files: dict[str, FileRef] = {}
    for ref in chain.from_iterable(parts):
        if files.setdefault(ref.path, ref) != ref:
            raise InvalidInput(f"Two nodes wrote {ref.path!r} differently.", field="manifest")
    return list(files.values())


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

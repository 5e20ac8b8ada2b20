"""Jobs, events and checkpoints as JSON documents: what REST answers and live messages carry alike.

A document holds JSON values only, so that it passes through the channel layer unchanged.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils import timezone

from apps.core.models import Event
from apps.jobs.models import Checkpoint, Job
from apps.jobs.state import FINAL_STATES, JobState

Document = dict[str, Any]


def job_document(job: Job, *, seq: int | None = None) -> Document:
    """Describe a job in full. ``seq`` is the head of its stream that the description belongs to.

    The job must come with ``project``, ``workspace``, ``owner``, ``stream`` and ``output_version__model`` selected, or
    each costs a query.
    """
    return job_summary(job, seq=seq) | {"spec": job.spec, "result": job.result}


def job_summary(job: Job, *, seq: int | None = None) -> Document:
    """Describe a job as lists show it: all but ``spec`` and ``result``."""
    return {
        "id": str(job.pk),
        "number": job.number,
        "project": str(job.project_id),
        "project_name": job.project.name,
        "workspace": str(job.workspace_id),
        "name": job.name,
        "kind": job.kind,
        "resources": {
            "pool": job.pool,
            "nodes": job.num_nodes,
            "min_nodes": job.node_counts[0],
            "max_nodes": job.node_counts[-1],
            "slots_per_node": job.slots_per_node,
        },
        "attempt_nodes": job.attempt_nodes,
        "priority": job.priority,
        "state": str(job.state),
        "state_reason": job.state_reason,
        "is_final": job.state in FINAL_STATES,
        "kill_requested": job.kill_requested,
        "progress": {
            "step": job.step,
            "total_steps": job.total_steps,
            "phase": job.phase,
            "phase_progress": job.phase_progress,
        },
        "eta_s": eta_s(job),
        "created_at": wire_time(job.created_at),
        "queued_at": wire_time(job.queued_at),
        "started_at": wire_time(job.started_at),
        "ended_at": wire_time(job.ended_at),
        "owner": {"id": str(job.owner_id), "username": job.owner.get_username()},
        "attempt": job.fence or None,
        "origin": _text(job.origin_id),
        "output_version": _output_version(job),
        "dataset_version": _text(job.dataset_version_id),
        "input_version": _text(job.input_version_id),
        "reference_version": _text(job.reference_version_id),
        "latest": job.stream.latest,
        "seq": job.stream.last_seq if seq is None else seq,
    }


def event_document(event: Event) -> Document:
    """Describe one thing that happened."""
    return {
        "id": str(event.pk),
        "action": event.action,
        "actor": event.actor_name,
        "before": event.before,
        "after": event.after,
        "reason": event.reason,
        "created_at": wire_time(event.created_at),
        "seq": event.seq,
    }


def checkpoint_document(checkpoint: Checkpoint) -> Document:
    """Describe a saved state; it must come with ``attempt`` and ``file_set`` selected."""
    return {
        "id": str(checkpoint.pk),
        "attempt": checkpoint.attempt.number,
        "step": checkpoint.step,
        "metrics": checkpoint.metrics,
        "is_best": checkpoint.is_best,
        "num_files": checkpoint.file_set.num_files,
        "size_bytes": checkpoint.file_set.size_bytes,
        "digest": checkpoint.file_set.digest,
        "created_at": wire_time(checkpoint.created_at),
        "deleted_at": wire_time(checkpoint.deleted_at),
    }


def eta_s(job: Job) -> float | None:
    """Estimate the seconds to the last step from the pace of the current attempt; None while it has none."""
    if job.state not in {JobState.RUNNING, JobState.PREEMPTING} or job.first_step is None or job.first_step_at is None:
        return None
    done = job.step - job.first_step
    if done <= 0 or job.total_steps <= 0:
        return None
    elapsed_s = (timezone.now() - job.first_step_at).total_seconds()
    return round(max(0.0, elapsed_s / done * (job.total_steps - job.step)), 1)


def wire_time(moment: datetime | None) -> str | None:
    """Write a time as REST does: ISO 8601 in UTC."""
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")


def _output_version(job: Job) -> Document | None:
    version = job.output_version
    if version is None:
        return None
    return {"id": str(version.pk), "name": str(version), "model": str(version.model_id), "number": version.number}


def _text(value: UUID | None) -> str | None:
    return None if value is None else str(value)

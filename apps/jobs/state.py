"""The states of jobs and attempts, and the literal tables of their legal changes."""

from django.db import models

from workers.contract.jobs import JOB_KINDS

KIND_CHOICES = [(kind, kind) for kind in sorted(JOB_KINDS)]
"""The kinds of job of the contract, as choices."""


class JobState(models.TextChoices):
    """Where a job stands."""

    QUEUED = "queued", "Queued"
    STARTING = "starting", "Starting"
    RUNNING = "running", "Running"
    PREEMPTING = "preempting", "Preempting"
    CANCELLING = "cancelling", "Cancelling"
    SUCCEEDED = "succeeded", "Succeeded"
    FAILED = "failed", "Failed"
    ERROR = "error", "Error"
    CANCELLED = "cancelled", "Cancelled"


TRANSITIONS: dict[str, frozenset[str]] = {
    "queued": frozenset({"starting", "cancelled", "error", "failed"}),  # failed: a node told late whose fault it was
    "starting": frozenset({"running", "failed", "error", "queued", "preempting", "cancelling"}),
    "running": frozenset({"succeeded", "failed", "error", "queued", "preempting", "cancelling"}),
    "preempting": frozenset({"queued", "succeeded", "failed", "error", "cancelling"}),
    "cancelling": frozenset({"cancelled", "succeeded", "failed"}),
    "succeeded": frozenset(),
    "failed": frozenset(),  # the user's work failed
    "error": frozenset(),  # the system failed, after its retries
    "cancelled": frozenset(),
}

FINAL_STATES = frozenset(state for state, targets in TRANSITIONS.items() if not targets)
ACTIVE_STATES = frozenset(TRANSITIONS) - FINAL_STATES


class AttemptState(models.TextChoices):
    """Where one (re)start of a job stands."""

    OFFERED = "offered", "Offered"
    CLAIMED = "claimed", "Claimed"
    RUNNING = "running", "Running"
    ENDED = "ended", "Ended"


class AttemptOutcome(models.TextChoices):
    """How an attempt ended."""

    SUCCEEDED = "succeeded", "Succeeded"
    STOPPED = "stopped", "Stopped after saving"
    FAILED = "failed", "Failed"
    KILLED = "killed", "Killed"
    LOST = "lost", "Lost with its node"
    UNCLAIMED = "unclaimed", "Not claimed in time"

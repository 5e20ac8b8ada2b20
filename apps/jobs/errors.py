"""Refusals that only jobs know."""

from apps.core.errors import Conflict


class IdempotencyMismatch(Conflict):
    """The key was used for another submission."""

    code = "idempotency_mismatch"
    title = "The idempotency key belongs to another submission"
    remedy = "Send a new Idempotency-Key with a new submission, and the same one only with the same body."


class JobActive(Conflict):
    """It cannot be done before the job has ended."""

    code = "job_active"
    title = "The job has not ended"
    remedy = "Cancel the job and wait for its end."


class NotClaimable(Conflict):
    """The node may not take allocations now."""

    code = "not_claimable"
    title = "The allocation cannot be claimed"
    remedy = "Send a heartbeat first."

"""Job commands: every write of this app. ``lifecycle`` alone writes ``Job.state``."""

from apps.jobs.services.attempts import Ending, NodeShare, end_attempt, note_offer_expired, offer_attempt, release
from apps.jobs.services.claims import claim_allocation, find_allocation
from apps.jobs.services.commands import cancel_job, delete_job, kill_job
from apps.jobs.services.estimates import Estimate, estimate_job
from apps.jobs.services.heartbeats import answer_heartbeat
from apps.jobs.services.lifecycle import advance_job, announce, explain_wait, lock_job
from apps.jobs.services.reports import handle_report
from apps.jobs.services.resizing import grow_job
from apps.jobs.services.secrets import hand_out_secrets
from apps.jobs.services.submission import Submission, rerun_job, submit_job

__all__ = [
    "Ending",
    "Estimate",
    "NodeShare",
    "Submission",
    "advance_job",
    "announce",
    "answer_heartbeat",
    "cancel_job",
    "claim_allocation",
    "delete_job",
    "end_attempt",
    "estimate_job",
    "explain_wait",
    "find_allocation",
    "grow_job",
    "hand_out_secrets",
    "handle_report",
    "kill_job",
    "lock_job",
    "note_offer_expired",
    "offer_attempt",
    "release",
    "rerun_job",
    "submit_job",
]

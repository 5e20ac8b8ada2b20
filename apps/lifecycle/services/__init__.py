"""Every change of this app: figures of versions, rules of models, promotions, stages."""

from apps.lifecycle.services.evaluations import note_job_ended
from apps.lifecycle.services.promotions import DECIDE_TASK, decide_promotion, decide_waiting, promote
from apps.lifecycle.services.rules import create_rule, delete_rule
from apps.lifecycle.services.stages import retire_version, switch_production

__all__ = [
    "DECIDE_TASK",
    "create_rule",
    "decide_promotion",
    "decide_waiting",
    "delete_rule",
    "note_job_ended",
    "promote",
    "retire_version",
    "switch_production",
]

"""Deciding promotions on the control queue. Tasks take ids and check everything again."""

from uuid import UUID

from celery import shared_task

from apps.lifecycle import services
from workers.contract.queues import CONTROL_QUEUE

DECIDE_WAITING_TASK = "cox.lifecycle.decide_waiting"


@shared_task(name=services.DECIDE_TASK, queue=CONTROL_QUEUE, ignore_result=True)
def decide(promotion_id: str) -> None:
    """Decide one promotion; whoever sends nonsense is not listened to."""
    try:
        parsed = UUID(promotion_id)
    except (ValueError, AttributeError, TypeError):
        return
    services.decide_promotion(parsed)


@shared_task(name=DECIDE_WAITING_TASK, queue=CONTROL_QUEUE, ignore_result=True)
def decide_waiting() -> None:
    """Decide what a lost message has left."""
    services.decide_waiting()

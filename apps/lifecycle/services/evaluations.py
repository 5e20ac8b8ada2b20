"""Keeping what evaluations have found: rows of the version, written in the transaction that ends the job."""

from pydantic import ValidationError

from apps.core.hints import send_after_commit
from apps.jobs.models import Job
from apps.jobs.state import JobState
from apps.lifecycle.models import Evaluation
from apps.lifecycle.services.promotions import DECIDE_TASK
from apps.lifecycle.state import PromotionState
from workers.contract.evaluation.metrics import METRICS
from workers.contract.evaluation.result import EvaluationResult, Measurement
from workers.contract.evaluation.spec import EvaluateSpec, protocol_of
from workers.contract.upgrades import load_spec


def note_job_ended(job: Job) -> None:
    """Keep a succeeded evaluation's figures, and have the promotions decided that wait for the job."""
    if job.kind != "evaluate":
        return
    if job.state == JobState.SUCCEEDED:
        _store(job)
    waiting = job.promotions.filter(state=PromotionState.PENDING).values_list("pk", flat=True)
    for promotion_id in waiting:
        send_after_commit(DECIDE_TASK, args=[str(promotion_id)])


def _store(job: Job) -> None:
    spec = load_spec(job.spec)
    try:
        result = EvaluationResult.model_validate(job.result)
    except ValidationError:  # of a release whose results this one does not read: the job keeps it as it is
        return
    assert isinstance(spec, EvaluateSpec)
    rows = [_row(job, spec, result, found) for found in result.measurements if found.metric in METRICS]
    Evaluation.objects.bulk_create(rows, ignore_conflicts=True)  # an end that is told twice changes nothing


def _row(job: Job, spec: EvaluateSpec, result: EvaluationResult, found: Measurement) -> Evaluation:
    metric = METRICS[found.metric]
    assert job.input_version_id is not None  # an evaluation names a model
    return Evaluation(
        workspace_id=job.workspace_id,
        version_id=job.input_version_id,
        metric=found.metric,
        value=found.value,
        spread=found.spread,
        unit=metric.unit,
        num_values=found.num_values,
        dtype=found.dtype[:20],  # a node's word: too long a one must not undo the job's end
        dataset_version_id=job.dataset_version_id if metric.needs_dataset else None,
        reference_id=job.reference_version_id if metric.needs_reference else None,
        protocol=protocol_of(spec, found.metric),
        hardware=result.hardware.model_dump(mode="json"),
        job=job,
    )

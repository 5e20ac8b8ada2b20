"""What nodes report about their allocations. Any may come twice; a stale one changes nothing but its own end."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apps.core.errors import StaleFence
from apps.jobs import stream
from apps.jobs.models import Allocation, Attempt, Job
from apps.jobs.services.attempts import Ending, end_attempt, note_attempt_running, note_late_cause, release
from apps.jobs.services.checkpoints import register_checkpoint
from apps.jobs.services.claims import find_allocation
from apps.jobs.services.lifecycle import announce, lock_job, publish_job
from apps.jobs.state import AttemptOutcome, AttemptState, JobState
from apps.storage.services import build_file_set
from workers.contract.node_api import (
    CheckpointReport,
    CompletionReport,
    ExitReport,
    ModelReport,
    Outcome,
    OutputReport,
    PhaseReport,
    ProgressReport,
    Report,
    ReportReply,
    ResultReport,
    ResumedReport,
    RunningReport,
    WishKind,
)
from workers.contract.run import FailureKind


def handle_report(*, allocation_id: UUID, node_id: UUID, report: Report) -> ReportReply:
    """Store one report of a node and answer with what is wanted of its ranks.

    Raises:
        NotFound: this node has no such allocation.
        StaleFence: the attempt is over; an exit has freed its devices all the same (HTTP 409).
        InvalidInput: files that the report names are not stored.
    """
    reply, current_fence = _store(allocation_id, node_id, report)
    if reply is None:  # raised outside the transaction, which has kept what an old attempt's end frees
        raise StaleFence(reported=report.fence, current=current_fence)
    return reply


@transaction.atomic
def _store(allocation_id: UUID, node_id: UUID, report: Report) -> tuple[ReportReply | None, int]:
    allocation = find_allocation(allocation_id=allocation_id, node_id=node_id)
    job = lock_job(allocation.attempt.job_id)
    allocation.refresh_from_db(from_queryset=Allocation.objects.select_related("attempt", "node"))
    attempt = allocation.attempt
    is_repeated = allocation.outcome != ""
    is_attempts_own = report.fence == allocation.fence
    is_current = (
        report.fence == attempt.fence == job.fence
        and attempt.state in {AttemptState.CLAIMED, AttemptState.RUNNING}
        and allocation.state in {AttemptState.CLAIMED, AttemptState.RUNNING}
    )
    if isinstance(report, ExitReport) and is_attempts_own:
        _note_exit(allocation, report)
        if is_repeated:
            return ReportReply(), job.fence
    if not is_current:
        if isinstance(report, ExitReport) and is_attempts_own:
            _late_exit(job, attempt, allocation, report)
        return None, job.fence
    if allocation.node_rank == 0 or type(report) not in _OF_RANK_ZERO:
        _HANDLERS[type(report)](job, attempt, allocation, report)
    job.refresh_from_db(fields=["state", "kill_requested"])
    return ReportReply(wish=wish_of(job)), job.fence


def wish_of(job: Job) -> WishKind | None:
    """Return what the control plane wants of a job's ranks."""
    if job.state == JobState.CANCELLING:
        return WishKind.KILL if job.kill_requested else WishKind.STOP
    return WishKind.STOP if job.state == JobState.PREEMPTING else None


def _running(job: Job, attempt: Attempt, allocation: Allocation, report: RunningReport) -> None:
    if allocation.state == AttemptState.RUNNING:
        return
    Allocation.objects.filter(pk=allocation.pk).update(
        state=AttemptState.RUNNING, is_warm=report.warm, pids=list(report.pids), updated_at=timezone.now()
    )
    if not attempt.allocations.exclude(state=AttemptState.RUNNING).exists():
        note_attempt_running(job, attempt, _actor(allocation))


def _phase(job: Job, attempt: Attempt, allocation: Allocation, report: PhaseReport) -> None:
    name, is_new = report.name[:60], report.name[:60] != job.phase
    job.phase, job.phase_progress = name, report.progress
    Job.objects.filter(pk=job.pk).update(phase=name, phase_progress=report.progress, updated_at=timezone.now())
    if is_new:
        announce(job, action="phase", after={"phase": name, "attempt": attempt.number}, actor=_actor(allocation))
    else:
        publish_job(job, stream.next_seq(job.pk))


def _progress(job: Job, attempt: Attempt, allocation: Allocation, report: ProgressReport) -> None:
    if report.step <= job.step and report.total_steps == job.total_steps:  # late or repeated
        return
    job.step, job.total_steps = max(report.step, job.step), report.total_steps
    if job.first_step is None:
        job.first_step, job.first_step_at = report.step, timezone.now()
    Job.objects.filter(pk=job.pk).update(
        step=job.step,
        total_steps=job.total_steps,
        first_step=job.first_step,
        first_step_at=job.first_step_at,
        updated_at=timezone.now(),
    )
    publish_job(job, stream.next_seq(job.pk))


def _resumed(job: Job, attempt: Attempt, allocation: Allocation, report: ResumedReport) -> None:
    if attempt.resumed_step == report.step:
        return
    Attempt.objects.filter(pk=attempt.pk).update(resumed_step=report.step, updated_at=timezone.now())
    Job.objects.filter(pk=job.pk).update(step=report.step)
    job.step = report.step
    after = {"step": report.step, "attempt": attempt.number}
    announce(job, action="attempt.resumed", after=after, actor=_actor(allocation))


def _checkpoint(job: Job, attempt: Attempt, allocation: Allocation, report: CheckpointReport) -> None:
    register_checkpoint(allocation=allocation, job=job, report=report, actor=_actor(allocation))


def _model(job: Job, attempt: Attempt, allocation: Allocation, report: ModelReport) -> None:
    file_set = build_file_set(workspace=job.workspace, files=report.manifest.files)
    if attempt.model_file_set_id == file_set.pk:
        return
    Attempt.objects.filter(pk=attempt.pk).update(
        model_file_set=file_set,
        model_metrics=dict(report.metrics),
        model_num_parameters=report.num_parameters,
        updated_at=timezone.now(),
    )
    after = {"files": file_set.num_files, "bytes": file_set.size_bytes, "attempt": attempt.number}
    announce(job, action="model.saved", after=after, actor=_actor(allocation))


def _output(job: Job, attempt: Attempt, allocation: Allocation, report: OutputReport) -> None:
    file_set = build_file_set(workspace=job.workspace, files=report.manifest.files)
    if allocation.output_file_set_id == file_set.pk:
        return
    Allocation.objects.filter(pk=allocation.pk).update(output_file_set=file_set, updated_at=timezone.now())
    after = {"files": file_set.num_files, "bytes": file_set.size_bytes, "attempt": attempt.number}
    announce(job, action="output.saved", after=after, actor=_actor(allocation))


def _completion(job: Job, attempt: Attempt, allocation: Allocation, report: CompletionReport) -> None:
    result = {"completions": list(report.completions)}
    if job.result == result:
        return
    Job.objects.filter(pk=job.pk).update(result=result, updated_at=timezone.now())
    job.result = result
    announce(job, action="completion", after={"samples": len(report.completions)}, actor=_actor(allocation))


def _result(job: Job, attempt: Attempt, allocation: Allocation, report: ResultReport) -> None:
    result = report.result.model_dump(mode="json")
    if job.result == result:
        return
    Job.objects.filter(pk=job.pk).update(result=result, updated_at=timezone.now())
    job.result = result
    announce(job, action="result", after={"attempt": attempt.number}, actor=_actor(allocation))


def _note_exit(allocation: Allocation, report: ExitReport) -> None:
    """The ranks are gone whatever their fence: record how, and free the devices."""
    if allocation.outcome == "":
        Allocation.objects.filter(pk=allocation.pk).update(
            outcome=report.outcome.value, exit_codes=list(report.exit_codes), updated_at=timezone.now()
        )
    release(allocation)


def _exit(job: Job, attempt: Attempt, allocation: Allocation, report: ExitReport) -> None:
    """One node is done: when all have succeeded so has the attempt; the first that has not ends it for all."""
    Allocation.objects.filter(pk=allocation.pk).update(state=AttemptState.ENDED)
    outcome = AttemptOutcome(report.outcome.value)
    if report.outcome in {Outcome.SUCCEEDED, Outcome.STOPPED}:
        others = attempt.allocations.exclude(pk=allocation.pk)
        if others.exclude(state=AttemptState.ENDED).exists():
            return
        if others.filter(outcome=AttemptOutcome.STOPPED).exists():
            outcome = AttemptOutcome.STOPPED
    ending = Ending(outcome, report.reason, report.failure_kind, report.traceback)
    end_attempt(job=job, attempt=attempt, ending=ending, actor=_actor(allocation))


def _late_exit(job: Job, attempt: Attempt, allocation: Allocation, report: ExitReport) -> None:
    """A peer's complaint about a lost connection may be here before the cause of it: the user's failure decides."""
    if report.outcome is Outcome.FAILED and report.failure_kind is FailureKind.USER:
        ending = Ending(AttemptOutcome.FAILED, report.reason, report.failure_kind, report.traceback)
        note_late_cause(job=job, attempt=attempt, ending=ending, actor=_actor(allocation))


def _actor(allocation: Allocation) -> str:
    return f"node:{allocation.node.name}"


_HANDLERS: dict[type, Callable[[Job, Attempt, Allocation, Any], None]] = {
    RunningReport: _running,
    PhaseReport: _phase,
    ProgressReport: _progress,
    ResumedReport: _resumed,
    CheckpointReport: _checkpoint,
    ModelReport: _model,
    OutputReport: _output,
    CompletionReport: _completion,
    ResultReport: _result,
    ExitReport: _exit,
}

_OF_RANK_ZERO = frozenset({PhaseReport, ProgressReport, ResumedReport, ModelReport, CompletionReport})
"""What rank 0's node alone says for the gang; from another node it changes nothing."""

"""What a succeeded attempt leaves: a model version, or sampled texts."""

from collections.abc import Callable

from django.db import transaction

from apps.core.errors import DomainError
from apps.jobs.models import Attempt, Job
from apps.model_registry.services import create_version


def store_result(*, job: Job, attempt: Attempt) -> str:
    """Store what the job was for, within the transaction that ends it; return what is wrong, empty when nothing is."""
    return STORERS[job.kind](job, attempt)


def _store_model(job: Job, attempt: Attempt) -> str:
    """Make the reported files the next version of the job's model."""
    if attempt.model_file_set is None:
        return "It ended without a model."
    try:
        with transaction.atomic():
            version = create_version(
                project=job.project,
                model_name=job.output_model_name,
                file_set=attempt.model_file_set,
                parent=job.input_version,
                dataset_version=job.dataset_version,
                config=job.spec,
                metrics=attempt.model_metrics,
                num_parameters=attempt.model_num_parameters,
                created_by=job.owner,
                code_revision=_code_revision(attempt),
            )
    except DomainError as error:
        return f"Its model cannot be stored: {error.detail}"
    Job.objects.filter(pk=job.pk).update(output_version=version)
    job.output_version = version
    return ""


def _code_revision(attempt: Attempt) -> str:
    """Name the release of the program that trained: agent and runtime are installed as one."""
    first = attempt.allocations.select_related("node").filter(node_rank=0).first()
    return f"coxswain {first.node.agent_version}" if first is not None and first.node.agent_version else ""


def _keep_reported(job: Job, attempt: Attempt) -> str:
    """Ask for nothing but that a report has brought the result, which is stored as it comes."""
    return "" if job.result is not None else "It ended without a result."


def _keep_output(job: Job, attempt: Attempt) -> str:
    """Ask that files and the account of them have come; they are the job's artifacts, and no version."""
    if not attempt.allocations.filter(output_file_set__isnull=False).exists():
        return "It ended without files."
    return _keep_reported(job, attempt)


def _keep_files(job: Job, attempt: Attempt) -> str:
    """Ask for nothing: what a script leaves is its own affair, and was stored as it was reported."""
    return ""


STORERS: dict[str, Callable[[Job, Attempt], str]] = {
    "train": _store_model,
    "generate": _keep_reported,
    "script": _keep_files,
    "compress": _store_model,
    "evaluate": _keep_reported,
    "export": _keep_output,
}
"""How each kind of job leaves what it was for; every kind of the contract has an entry."""

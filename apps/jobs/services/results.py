"""What a succeeded attempt leaves: a model version, or sampled texts."""

from django.db import transaction

from apps.core.errors import DomainError
from apps.jobs.models import Attempt, Job
from apps.model_registry.services import create_version


def store_result(*, job: Job, attempt: Attempt) -> str:
    """Store what the job was for, within the transaction that ends it; return what is wrong, empty when nothing is."""
    if job.kind != "train":
        return "" if job.result is not None else "It ended without a result."
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
            )
    except DomainError as error:
        return f"Its model cannot be stored: {error.detail}"
    Job.objects.filter(pk=job.pk).update(output_version=version)
    job.output_version = version
    return ""

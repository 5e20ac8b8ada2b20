"""Submitting jobs: everything is checked before anything is taken."""

import hashlib
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from pydantic import ValidationError

from apps.accounts.models import User
from apps.cluster.selectors import PoolCapacity, pool_capacities
from apps.cluster.wake import wake_scheduler
from apps.core.errors import InvalidInput
from apps.jobs.errors import IdempotencyMismatch
from apps.jobs.models import Job, Stream
from apps.jobs.services.inputs import ResolvedInputs, resolve_inputs
from apps.jobs.services.lifecycle import announce, lock_job
from apps.jobs.services.meshes import check_mesh
from apps.jobs.services.scripts import store_source
from apps.projects.models import Project
from apps.projects.services import writable_project
from workers.contract.compression.recipe import CompressSpec
from workers.contract.elastic import UnevenShare, node_counts
from workers.contract.jobs import JOB_KINDS, ONE_RANK_KINDS, AnySpec, Resources
from workers.contract.scripting import ScriptSpec
from workers.contract.training import TrainSpec
from workers.contract.upgrades import load_spec

MAX_PRIORITY = 1000


@dataclass(frozen=True, slots=True)
class Submission:
    """What somebody asks for. ``spec`` and ``resources`` are JSON as it came."""

    project_id: UUID
    name: str
    spec: dict[str, Any]
    resources: dict[str, Any] = field(default_factory=dict)
    priority: int = 0
    idempotency_key: str | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of what was asked, key apart."""
        body = [str(self.project_id), self.name, self.spec, self.resources, self.priority]
        return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()


def submit_job(*, actor: User, submission: Submission) -> Job:
    """Queue a job. The same ``idempotency_key`` with the same submission gives the job that is there.

    Raises:
        NotFound: the actor does not see the project (HTTP 404).
        Forbidden: the actor is a viewer there (HTTP 403).
        InvalidInput: with the path of each field that is wrong.
        IdempotencyMismatch: the key was used for something else (HTTP 409).
    """
    project = writable_project(actor=actor, project_id=submission.project_id)
    known = _same_submission(actor, project, submission)
    if known is not None:
        return known
    spec = validate_spec(submission.spec)
    resources = validate_resources(submission.resources, spec)
    inputs = resolve_inputs(project=project, spec=spec)
    check_mesh(spec=spec, resources=resources, version=inputs.input_version)
    return _create(actor=actor, project=project, submission=submission, spec=spec, resources=resources, inputs=inputs)


def rerun_job(*, job_id: UUID, actor: User) -> Job:
    """Queue a new job with the spec of an old one, upgraded to today's version, on the same inputs.

    Raises:
        NotFound: there is no such job.
        InvalidInput: what it needs is gone.
    """
    origin = Job.objects.select_related(
        "dataset_version__dataset", "input_version__model", "reference_version__model"
    ).get(pk=job_id)
    project = writable_project(actor=actor, project_id=origin.project_id)
    resources = {
        "pool": origin.pool,
        "nodes": origin.num_nodes,
        "min_nodes": origin.node_counts[0],
        "max_nodes": origin.node_counts[-1],
        "slots_per_node": origin.slots_per_node,
    }
    submission = Submission(origin.project_id, origin.name, origin.spec, resources, origin.priority)
    spec = validate_spec(submission.spec)
    checked = validate_resources(resources, spec)
    inputs = ResolvedInputs(
        origin.dataset_version, origin.input_version, origin.source_file_set, origin.reference_version
    )
    if isinstance(spec, ScriptSpec) or _is_gone(origin):
        inputs = resolve_inputs(project=project, spec=spec)
    check_mesh(spec=spec, resources=checked, version=inputs.input_version)
    return _create(
        actor=actor, project=project, submission=submission, spec=spec, resources=checked, inputs=inputs, origin=origin
    )


def validate_spec(document: dict[str, Any]) -> AnySpec:
    """Check a spec against the contract, after upgrading it.

    Raises:
        InvalidInput: each wrong field under ``spec.``.
    """
    kind = document.get("kind")
    if kind not in JOB_KINDS:
        known = ", ".join(sorted(JOB_KINDS))
        raise InvalidInput(f"{kind!r} is no kind of job; possible: {known}.", field="spec.kind")
    try:
        return load_spec(document)
    except ValidationError as error:
        raise InvalidInput.from_pydantic(error, data=document, prefix="spec") from error


def validate_resources(document: dict[str, Any], spec: AnySpec) -> Resources:
    """Check that some pool could ever give what is asked.

    Raises:
        InvalidInput: a wrong field under ``resources.``, an unknown pool, or more than its nodes have.
    """
    try:
        resources = Resources.model_validate(document)
    except ValidationError as error:
        raise InvalidInput.from_pydantic(error, data=document, prefix="resources") from error
    if spec.kind in ONE_RANK_KINDS and resources.most * resources.slots_per_node != 1:
        field = "resources.slots_per_node" if resources.slots_per_node > 1 else "resources.nodes"
        raise InvalidInput(f"A {spec.kind} job runs on one slot of one node.", field=field)
    capacities = pool_capacities()
    pool = capacities.get(resources.pool)
    if pool is None:
        known = ", ".join(sorted(capacities)) or "none yet: start a worker first"
        raise InvalidInput(f"There is no pool {resources.pool!r}; known: {known}.", field="resources.pool")
    if not pool.fits(num_nodes=resources.fewest, slots_per_node=resources.slots_per_node):
        raise _too_much(pool, resources, capacities)
    try:
        node_counts(resources, spec)
    except UnevenShare as error:
        raise InvalidInput(f"{error}.", field=f"resources.{error.field}") from error
    check_mesh(spec=spec, resources=resources)
    return resources


def _too_much(pool: PoolCapacity, resources: Resources, capacities: dict[str, PoolCapacity]) -> InvalidInput:
    largest = max((slots for capacity in capacities.values() for slots in capacity.slots[:1]), default=0)
    is_too_wide = resources.slots_per_node > max(pool.slots, default=0)
    wanted = f"{resources.fewest} node{'s' if resources.fewest > 1 else ''} with {resources.slots_per_node} slots"
    where = [name for name, other in capacities.items() if other.fits(
        num_nodes=resources.fewest, slots_per_node=resources.slots_per_node)]  # fmt: skip
    hint = f" Pool {where[0]!r} could." if where else ""
    return InvalidInput(
        f"Pool {pool.name!r} can never give {wanted}: {pool.description}.{hint}",
        field=f"resources.{_field_too_large(resources, is_too_wide=is_too_wide)}",
        remedy=f"Ask for less; the largest node of any pool has {largest} slots.",
        extra={"largest_slots_per_node": largest, "pool_nodes": len(pool.slots)},
    )


def _field_too_large(resources: Resources, *, is_too_wide: bool) -> str:
    if is_too_wide:
        return "slots_per_node"
    return "min_nodes" if resources.min_nodes is not None else "nodes"


def _is_gone(origin: Job) -> bool:
    dataset, models = origin.dataset_version, (origin.input_version, origin.reference_version)
    if dataset is not None and dataset.dataset.deleted_at is not None:
        return True
    return any(
        model is not None and (model.deleted_at is not None or model.model.deleted_at is not None) for model in models
    )


def _same_submission(actor: User, project: Project, submission: Submission) -> Job | None:
    if submission.idempotency_key is None:
        return None
    job = Job.objects.filter(owner=actor, project=project, idempotency_key=submission.idempotency_key).first()
    if job is None:
        return None
    if job.request_digest != submission.digest:
        raise IdempotencyMismatch(f"The key {submission.idempotency_key!r} belongs to job #{job.number}.")
    return job


@transaction.atomic
def _create(
    *,
    actor: User,
    project: Project,
    submission: Submission,
    spec: AnySpec,
    resources: Resources,
    inputs: ResolvedInputs,
    origin: Job | None = None,
) -> Job:
    Project.objects.filter(pk=project.pk).update(last_job_number=F("last_job_number") + 1)  # and its row lock
    known = _same_submission(actor, project, submission)
    if known is not None:  # sent twice at once: the other one won the lock
        transaction.set_rollback(True)
        return known
    number = Project.objects.values_list("last_job_number", flat=True).get(pk=project.pk)
    job = Job.objects.create(
        workspace_id=project.workspace_id,
        project=project,
        number=number,
        name=submission.name,
        kind=spec.kind,
        spec=spec.model_dump(mode="json"),
        pool=resources.pool,
        num_nodes=resources.nodes,
        node_counts=list(node_counts(resources, spec)),
        slots_per_node=resources.slots_per_node,
        priority=submission.priority,
        owner=actor,
        origin=origin,
        idempotency_key=submission.idempotency_key,
        request_digest=submission.digest,
        dataset_version=inputs.dataset_version,
        input_version=inputs.input_version,
        reference_version=inputs.reference_version,
        source_file_set=inputs.source_file_set or store_source(project=project, spec=spec),
        output_model_name=_output_model_name(spec, submission.name, inputs),
        total_steps=spec.steps if isinstance(spec, TrainSpec) else 0,
        queued_at=timezone.now(),
    )
    Stream.objects.create(job=job)
    job = lock_job(job.pk)
    after = {"name": job.name, "kind": job.kind, "origin": str(origin.pk) if origin else None}
    announce(job, action="submitted", after=after, actor=actor)
    wake_scheduler(job.pk)
    return job


def _output_model_name(spec: AnySpec, job_name: str, inputs: ResolvedInputs) -> str:
    """Return the registry name of the result: the spec's, else that of the model it is made from or of the job."""
    if not isinstance(spec, TrainSpec | CompressSpec):
        return ""
    if spec.output_model:
        return spec.output_model
    if isinstance(spec, CompressSpec) and inputs.input_version is not None:
        return inputs.input_version.model.name
    kept = "".join(character if character.isascii() and character.isalnum() else "-" for character in job_name.lower())
    return "-".join(part for part in kept.split("-") if part)[:63].strip("-") or "model"

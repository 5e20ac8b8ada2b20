"""Jobs, their attempts, what they hold, and what they saved."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from apps.accounts.models import User, Workspace
from apps.cluster.models import Device, Node
from apps.core.models import Record
from apps.datasets.models import DatasetVersion
from apps.jobs.state import ACTIVE_STATES, AttemptOutcome, AttemptState, JobState
from apps.model_registry.models import ModelVersion
from apps.projects.models import Project
from apps.storage.models import FileSet


def one_node() -> list[int]:
    """Return the sizes of a job that is not elastic and has one node."""
    return [1]


class Job(Record):
    """What somebody wants done. ``state`` and ``fence`` are written by ``services`` alone."""

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="jobs")
    number = models.PositiveIntegerField()
    name = models.CharField(max_length=120)
    kind = models.CharField(max_length=40)
    spec = models.JSONField()
    pool = models.CharField(max_length=63)
    num_nodes = models.PositiveIntegerField(default=1)
    """What the spec's batch is written for; an attempt of an elastic job may have more or fewer."""
    node_counts = ArrayField(models.PositiveIntegerField(), default=one_node)
    """Numbers of nodes an attempt may have, fewest first; more than one makes the job elastic."""
    attempt_nodes = models.PositiveIntegerField(null=True)
    """Of the newest attempt, beside ``fence``."""
    slots_per_node = models.PositiveIntegerField(default=1)
    priority = models.SmallIntegerField(default=0)
    state = models.CharField(max_length=12, choices=JobState, default=JobState.QUEUED)
    state_reason = models.TextField(blank=True)
    kill_requested = models.BooleanField(default=False)
    fence = models.PositiveBigIntegerField(default=0)
    """Of the current attempt; counts up with each."""
    owner = models.ForeignKey(User, on_delete=models.PROTECT, related_name="jobs")
    origin = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="reruns")
    idempotency_key = models.CharField(max_length=255, null=True)  # noqa: DJ001 - null means none was given
    request_digest = models.CharField(max_length=64, blank=True)
    """SHA-256 of what was submitted: the same key with another body is refused."""
    dataset_version = models.ForeignKey(DatasetVersion, null=True, on_delete=models.PROTECT, related_name="jobs")
    input_version = models.ForeignKey(ModelVersion, null=True, on_delete=models.PROTECT, related_name="used_by_jobs")
    reference_version = models.ForeignKey(ModelVersion, null=True, on_delete=models.PROTECT, related_name="+")
    """A second version that is read: what the first one is compared with."""
    output_version = models.ForeignKey(ModelVersion, null=True, on_delete=models.PROTECT, related_name="made_by_jobs")
    source_file_set = models.ForeignKey(FileSet, null=True, on_delete=models.PROTECT, related_name="script_jobs")
    """Files that were sent for a script: an archive or a bundle, and the uncommitted changes."""
    output_model_name = models.CharField(max_length=63, blank=True)
    step = models.BigIntegerField(default=0)
    total_steps = models.BigIntegerField(default=0)
    first_step = models.BigIntegerField(null=True)
    """First step reported by the current attempt."""
    first_step_at = models.DateTimeField(null=True)
    """When that was: what is left is estimated from there, so start-up does not count."""
    phase = models.CharField(max_length=60, blank=True)
    phase_progress = models.FloatField(null=True)
    result = models.JSONField(null=True)
    """What the kind returns beside a version: completions, final metrics."""
    infrastructure_failures = models.PositiveSmallIntegerField(default=0)
    """In a row, without a new checkpoint."""
    queued_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    deleted_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["project", "number"], name="job_number_once"),
            models.UniqueConstraint(
                fields=["owner", "project", "idempotency_key"],
                condition=Q(idempotency_key__isnull=False),
                name="job_idempotency_once",
            ),
        )
        indexes = (
            models.Index(fields=["-priority", "queued_at"], condition=Q(state="queued"), name="job_queue"),
            models.Index(fields=["state"], condition=Q(state__in=sorted(ACTIVE_STATES)), name="job_active"),
            models.Index(fields=["workspace", "-id"], condition=Q(deleted_at=None), name="job_list"),
            models.Index(fields=["project", "-id"], condition=Q(deleted_at=None), name="job_project_list"),
            # what lists are ordered by: without these each page sorts every job
            models.Index(fields=["created_at", "id"], condition=Q(deleted_at=None), name="job_by_created"),
            models.Index(fields=["name", "id"], condition=Q(deleted_at=None), name="job_by_name"),
            models.Index(fields=["number", "id"], condition=Q(deleted_at=None), name="job_by_number"),
            models.Index(fields=["priority", "id"], condition=Q(deleted_at=None), name="job_by_priority"),
            models.Index(fields=["state", "id"], condition=Q(deleted_at=None), name="job_by_state"),
            models.Index(
                F("started_at").desc(nulls_last=True),
                F("id").desc(),
                condition=Q(deleted_at=None),
                name="job_by_started",
            ),
            models.Index(
                F("ended_at").desc(nulls_last=True), F("id").desc(), condition=Q(deleted_at=None), name="job_by_ended"
            ),
        )

    def __str__(self) -> str:
        return f"{self.name} #{self.number}"

    @property
    def is_elastic(self) -> bool:
        """Tell whether its attempts may differ in size."""
        return len(self.node_counts) > 1


class Stream(models.Model):
    """The head of a job's gapless live sequence, on a narrow row of its own."""

    job = models.OneToOneField(Job, primary_key=True, on_delete=models.CASCADE, related_name="stream")
    last_seq = models.BigIntegerField(default=0)
    floor_seq = models.BigIntegerField(default=0)
    """Messages up to here can no longer be replayed one by one: a client behind it gets a snapshot."""
    latest = models.JSONField(default=dict, db_default={})
    """Newest value of some metrics (loss, learning_rate, ...), for lists."""

    def __str__(self) -> str:
        return f"{self.job_id}@{self.last_seq}"


class Checkpoint(Record):
    """A saved state of training; exists once its manifest is registered under the current fence."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="checkpoints")
    attempt = models.ForeignKey("Attempt", on_delete=models.CASCADE, related_name="checkpoints")
    step = models.BigIntegerField()
    file_set = models.ForeignKey(FileSet, on_delete=models.PROTECT, related_name="checkpoints")
    metrics = models.JSONField(default=dict)
    is_best = models.BooleanField(default=False)
    deleted_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["attempt", "step"], name="checkpoint_once"),)

    def __str__(self) -> str:
        return f"{self.job} step {self.step}"


class CheckpointPart(Record):
    """What one node of a gang has delivered of a checkpoint that is not whole yet. Nothing goes on from it."""

    attempt = models.ForeignKey("Attempt", on_delete=models.CASCADE, related_name="checkpoint_parts")
    step = models.BigIntegerField()
    node_rank = models.PositiveIntegerField()
    file_set = models.ForeignKey(FileSet, on_delete=models.PROTECT, related_name="+")
    metrics = models.JSONField(default=dict)
    is_best = models.BooleanField(default=False)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["attempt", "step", "node_rank"], name="checkpoint_part_once"),)

    def __str__(self) -> str:
        return f"{self.attempt} step {self.step} part {self.node_rank}"


class Attempt(Record):
    """One (re)start of a job, on one set of nodes, under one fence."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="attempts")
    number = models.PositiveIntegerField()
    fence = models.PositiveBigIntegerField()
    num_nodes = models.PositiveIntegerField(default=1)
    state = models.CharField(max_length=10, choices=AttemptState, default=AttemptState.OFFERED)
    outcome = models.CharField(max_length=12, choices=AttemptOutcome, blank=True)
    reason = models.TextField(blank=True)
    traceback = models.TextField(blank=True)
    resume_checkpoint = models.ForeignKey(Checkpoint, null=True, on_delete=models.SET_NULL, related_name="resumed_by")
    resumed_step = models.BigIntegerField(null=True)
    """Last step of the checkpoint it went on from: curves of earlier attempts are cut after it."""
    model_file_set = models.ForeignKey(FileSet, null=True, on_delete=models.PROTECT, related_name="attempts")
    """The trained model as reported; becomes a version when the attempt succeeds."""
    model_metrics = models.JSONField(default=dict)
    model_num_parameters = models.BigIntegerField(default=0)
    master_addr = models.CharField(max_length=255, blank=True)
    master_port = models.PositiveIntegerField(null=True)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["job", "number"], name="attempt_number_once"),
            models.UniqueConstraint(fields=["job", "fence"], name="attempt_fence_once"),
            models.UniqueConstraint(fields=["job"], condition=~Q(state="ended"), name="attempt_one_open"),
        )

    def __str__(self) -> str:
        return f"{self.job} attempt {self.number}"


class Allocation(Record):
    """One node's share of an attempt."""

    attempt = models.ForeignKey(Attempt, on_delete=models.CASCADE, related_name="allocations")
    node = models.ForeignKey(Node, on_delete=models.PROTECT, related_name="allocations")
    node_rank = models.PositiveIntegerField()
    fence = models.PositiveBigIntegerField()
    state = models.CharField(max_length=10, choices=AttemptState, default=AttemptState.OFFERED)
    is_warm = models.BooleanField(null=True)
    pids = ArrayField(models.IntegerField(), default=list)
    exit_codes = ArrayField(models.IntegerField(), default=list)
    outcome = models.CharField(max_length=12, choices=AttemptOutcome, blank=True)
    output_file_set = models.ForeignKey(FileSet, null=True, on_delete=models.PROTECT, related_name="allocations")
    """What the job left beside a model on this node: a script in ``$COX_OUTPUT``, an export its files."""
    claimed_at = models.DateTimeField(null=True)
    released_at = models.DateTimeField(null=True)
    """When its devices became free: its ranks are known to be gone."""

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["attempt", "node_rank"], name="allocation_rank_once"),
            models.UniqueConstraint(fields=["attempt", "node"], name="allocation_node_once"),
        )
        indexes = (models.Index(fields=["node"], condition=Q(released_at=None), name="allocation_open"),)

    def __str__(self) -> str:
        return f"{self.attempt} on {self.node}"


class DeviceHold(models.Model):
    """An allocation holds a device. The partial unique index makes double placement impossible."""

    allocation = models.ForeignKey(Allocation, on_delete=models.CASCADE, related_name="holds")
    device = models.ForeignKey(Device, on_delete=models.PROTECT, related_name="holds")
    released_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["device"], condition=Q(released_at=None), name="device_one_holder"),
        )

    def __str__(self) -> str:
        return f"{self.device} for {self.allocation_id}"

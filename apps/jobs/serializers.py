"""How jobs travel. Their documents are made in ``documents``, which live messages share; the fields describe them."""

from typing import Any

from rest_framework import serializers

from apps.core.models import Event
from apps.core.serializers import InputSerializer
from apps.jobs.documents import checkpoint_document, event_document, job_document, job_summary
from apps.jobs.models import Allocation, Attempt, Checkpoint, Job
from apps.jobs.services.submission import MAX_PRIORITY
from apps.jobs.state import KIND_CHOICES, AttemptOutcome, AttemptState, JobState
from apps.storage.models import FileSetEntry


class ResourcesSerializer(serializers.Serializer[Any]):
    """What a job occupies while it runs."""

    pool = serializers.CharField()
    nodes = serializers.IntegerField(help_text="What the batch of the spec is written for.")
    min_nodes = serializers.IntegerField(help_text="An elastic job goes on with so few.")
    max_nodes = serializers.IntegerField(help_text="An elastic job grows to so many.")
    slots_per_node = serializers.IntegerField()


class ProgressSerializer(serializers.Serializer[Any]):
    """How far a job is."""

    step = serializers.IntegerField()
    total_steps = serializers.IntegerField()
    phase = serializers.CharField(allow_blank=True)
    phase_progress = serializers.FloatField(allow_null=True, help_text="0 to 1.")


class OwnerSerializer(serializers.Serializer[Any]):
    """Who submitted it."""

    id = serializers.UUIDField()
    username = serializers.CharField()


class OutputVersionSerializer(serializers.Serializer[Any]):
    """The model version a job made."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    model = serializers.UUIDField()
    number = serializers.IntegerField()


class JobSummarySerializer(serializers.Serializer[Job]):
    """A job as lists show it: all but spec and result."""

    id = serializers.UUIDField()
    number = serializers.IntegerField()
    project = serializers.UUIDField()
    project_name = serializers.CharField()
    workspace = serializers.UUIDField()
    name = serializers.CharField()
    kind = serializers.ChoiceField(choices=KIND_CHOICES)
    resources = ResourcesSerializer()
    priority = serializers.IntegerField()
    state = serializers.ChoiceField(choices=JobState.choices)
    state_reason = serializers.CharField(allow_blank=True, help_text="One sentence: why it is so, or why it waits.")
    is_final = serializers.BooleanField()
    kill_requested = serializers.BooleanField()
    progress = ProgressSerializer()
    eta_s = serializers.FloatField(allow_null=True)
    created_at = serializers.DateTimeField()
    queued_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)
    owner = OwnerSerializer()
    attempt = serializers.IntegerField(allow_null=True, help_text="Number of the newest attempt.")
    attempt_nodes = serializers.IntegerField(allow_null=True, help_text="Nodes of the newest attempt.")
    origin = serializers.UUIDField(allow_null=True, help_text="The job this one runs again.")
    output_version = OutputVersionSerializer(allow_null=True)
    dataset_version = serializers.UUIDField(allow_null=True)
    input_version = serializers.UUIDField(allow_null=True)
    reference_version = serializers.UUIDField(
        allow_null=True, help_text="The version that the input was compared with."
    )
    latest = serializers.DictField(help_text="Newest value of some metrics; non-finite ones by name.")
    seq = serializers.IntegerField(help_text="Head of the job's stream that this answer belongs to.")

    def to_representation(self, instance: Job) -> dict[str, Any]:
        """Return the document that live messages carry too."""
        return job_summary(instance)


class JobSerializer(JobSummarySerializer):
    """A job in full."""

    spec = serializers.DictField()
    result = serializers.DictField(allow_null=True)

    def to_representation(self, instance: Job) -> dict[str, Any]:
        """Return the document that live messages carry too."""
        return job_document(instance)


class SubmitResourcesSerializer(InputSerializer):
    """What a job is to occupy. Checked by the contract."""

    pool = serializers.CharField(max_length=63, required=False)
    nodes = serializers.IntegerField(min_value=1, max_value=4096, required=False)
    min_nodes = serializers.IntegerField(min_value=1, max_value=4096, required=False, allow_null=True)
    max_nodes = serializers.IntegerField(min_value=1, max_value=4096, required=False, allow_null=True)
    slots_per_node = serializers.IntegerField(min_value=1, max_value=1024, required=False)


class SubmitJobSerializer(InputSerializer):
    """A new job. ``spec`` is described by ``catalog/``."""

    project = serializers.UUIDField()
    name = serializers.CharField(max_length=120)
    spec = serializers.DictField()
    resources = SubmitResourcesSerializer(required=False)
    priority = serializers.IntegerField(min_value=-MAX_PRIORITY, max_value=MAX_PRIORITY, required=False)


class EstimateJobSerializer(InputSerializer):
    """A job that may be submitted."""

    project = serializers.UUIDField()
    spec = serializers.DictField()
    resources = SubmitResourcesSerializer(required=False)


class MeshSerializer(serializers.Serializer[Any]):
    """Degrees of the mesh's axes, outermost first; rank numbers run along the last one fastest."""

    pp = serializers.IntegerField()
    dp_replicate = serializers.IntegerField()
    dp_shard = serializers.IntegerField()
    tp = serializers.IntegerField()


class RankMemorySerializer(serializers.Serializer[Any]):
    """Bytes on one rank."""

    weights = serializers.IntegerField()
    gradients = serializers.IntegerField()
    optimizer = serializers.IntegerField()
    activations = serializers.IntegerField()
    total = serializers.IntegerField()


class TrainingEstimateSerializer(serializers.Serializer[Any]):
    """Of a ``train`` job."""

    mesh = MeshSerializer()
    tokens_per_step = serializers.IntegerField()
    num_parameters = serializers.IntegerField()
    memory = RankMemorySerializer(allow_null=True, help_text="Null: the model's configuration does not tell.")


class EstimateSerializer(serializers.Serializer[Any]):
    """What a job would take."""

    num_ranks = serializers.IntegerField()
    training = TrainingEstimateSerializer(allow_null=True, help_text="Null: for this kind nothing more is known.")


class EventSerializer(serializers.Serializer[Event]):
    """One thing that happened."""

    id = serializers.UUIDField()
    action = serializers.CharField()
    actor = serializers.CharField()
    before = serializers.DictField(allow_null=True)
    after = serializers.DictField(allow_null=True)
    reason = serializers.CharField(allow_blank=True)
    created_at = serializers.DateTimeField()
    seq = serializers.IntegerField(allow_null=True)

    def to_representation(self, instance: Event) -> dict[str, Any]:
        """Return the document that live messages carry too."""
        return event_document(instance)


class CheckpointSerializer(serializers.Serializer[Checkpoint]):
    """A saved state of training."""

    id = serializers.UUIDField()
    attempt = serializers.IntegerField()
    step = serializers.IntegerField()
    metrics = serializers.DictField()
    is_best = serializers.BooleanField()
    num_files = serializers.IntegerField()
    size_bytes = serializers.IntegerField()
    digest = serializers.CharField()
    created_at = serializers.DateTimeField()
    deleted_at = serializers.DateTimeField(allow_null=True)

    def to_representation(self, instance: Checkpoint) -> dict[str, Any]:
        """Return the document that live messages carry too."""
        return checkpoint_document(instance)


class AllocationSerializer(serializers.ModelSerializer[Allocation]):
    """One node's share of an attempt."""

    node = serializers.CharField(source="node.name")
    devices = serializers.SerializerMethodField()
    state = serializers.ChoiceField(choices=AttemptState.choices)
    outcome = serializers.ChoiceField(choices=AttemptOutcome.choices, allow_blank=True)

    class Meta:
        model = Allocation
        fields = (
            "id", "node", "node_rank", "state", "outcome", "is_warm", "pids", "devices", "exit_codes", "claimed_at",
            "released_at",
        )  # fmt: skip
        read_only_fields = fields

    def get_devices(self, allocation: Allocation) -> list[int]:
        """Return the indices of the slots it holds or held."""
        return sorted(hold.device.index for hold in allocation.holds.all())


class AttemptSerializer(serializers.ModelSerializer[Attempt]):
    """One (re)start of a job."""

    state = serializers.ChoiceField(choices=AttemptState.choices)
    outcome = serializers.ChoiceField(choices=AttemptOutcome.choices, allow_blank=True)
    allocations = AllocationSerializer(many=True)

    class Meta:
        model = Attempt
        fields = (
            "id", "number", "num_nodes", "state", "outcome", "reason", "traceback", "resumed_step", "started_at",
            "ended_at", "allocations",
        )  # fmt: skip
        read_only_fields = fields


class JobFileSerializer(serializers.ModelSerializer[FileSetEntry]):
    """A file that a job made."""

    kind = serializers.SerializerMethodField()
    sha256 = serializers.CharField(source="artifact.sha256")
    size_bytes = serializers.IntegerField(source="artifact.size_bytes")

    class Meta:
        model = FileSetEntry
        fields = ("id", "kind", "path", "sha256", "size_bytes")
        read_only_fields = fields

    def get_kind(self, entry: FileSetEntry) -> str:
        """Return ``model``, ``checkpoint <step>``, or ``output`` (``output of node <rank>`` beyond the first)."""
        steps: dict[Any, int] = self.context["checkpoint_steps"]
        nodes: dict[Any, int] = self.context["output_nodes"]
        if (node_rank := nodes.get(entry.file_set_id)) is not None:
            return f"output of node {node_rank}" if node_rank else "output"
        step = steps.get(entry.file_set_id)
        return "model" if step is None else f"checkpoint {step}"


class CatalogEntrySerializer(serializers.Serializer[Any]):
    """A kind of job."""

    kind = serializers.CharField()
    title = serializers.CharField()
    description = serializers.CharField()
    schema = serializers.DictField(help_text="JSON Schema of the spec.")

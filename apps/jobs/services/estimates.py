"""What a job would take, told before it is submitted; all that submitting checks is checked."""

from dataclasses import dataclass

from pydantic import BaseModel, PositiveInt, ValidationError

from apps.accounts.models import User
from apps.jobs.services.inputs import resolve_inputs
from apps.jobs.services.meshes import check_mesh
from apps.jobs.services.submission import Submission, validate_resources, validate_spec
from apps.model_registry.layout import read_config
from apps.model_registry.models import ModelVersion
from apps.projects.services import writable_project
from apps.storage.selectors import stored_files
from workers.contract.distribution import Degrees, resolve_degrees
from workers.contract.estimate import ModelSize, RankMemory, rank_memory, size_of, tokens_per_step
from workers.contract.model_source import DistilledModel, LlamaConfig
from workers.contract.training import BPETokenizer, TrainSpec


@dataclass(frozen=True, slots=True)
class TrainingEstimate:
    """Of a ``train`` job. ``memory`` is None where the model's configuration does not tell its sizes."""

    mesh: Degrees
    tokens_per_step: int
    num_parameters: int
    memory: RankMemory | None


@dataclass(frozen=True, slots=True)
class Estimate:
    """Of any job; ``training`` is None for kinds of which nothing more is known."""

    num_ranks: int
    training: TrainingEstimate | None


def estimate_job(*, actor: User, submission: Submission) -> Estimate:
    """Say what a submission would take. Nothing is written.

    Raises:
        NotFound: the actor does not see the project (HTTP 404).
        Forbidden: the actor is a viewer there (HTTP 403).
        InvalidInput: as submitting it would.
    """
    project = writable_project(actor=actor, project_id=submission.project_id)
    spec = validate_spec(submission.spec)
    resources = validate_resources(submission.resources, spec)
    inputs = resolve_inputs(project=project, spec=spec)
    check_mesh(spec=spec, resources=resources, version=inputs.input_version)
    num_ranks = resources.nodes * resources.slots_per_node
    if not isinstance(spec, TrainSpec):
        return Estimate(num_ranks, None)
    mesh = resolve_degrees(spec.distribution, num_ranks)
    model = _size_of_training(spec, inputs.input_version)
    is_start = inputs.input_version is not None and not isinstance(spec.model, DistilledModel)
    known = inputs.input_version.num_parameters if is_start and inputs.input_version else 0
    training = TrainingEstimate(
        mesh=mesh,
        tokens_per_step=tokens_per_step(spec, mesh),
        num_parameters=known if model is None else model.num_parameters,
        memory=None if model is None else rank_memory(spec, mesh, model),
    )
    return Estimate(num_ranks, training)


class _DecoderConfig(BaseModel):
    """What is read of a model's ``config.json``; the names are Hugging Face's."""

    num_hidden_layers: PositiveInt
    hidden_size: PositiveInt
    intermediate_size: PositiveInt
    vocab_size: PositiveInt
    num_attention_heads: PositiveInt
    num_key_value_heads: PositiveInt | None = None
    head_dim: PositiveInt | None = None

    @property
    def key_size(self) -> int:
        """Key-value heads x head dimension."""
        head_dim = self.head_dim or self.hidden_size // self.num_attention_heads
        return head_dim * (self.num_key_value_heads or self.num_attention_heads)


def _size_of_training(spec: TrainSpec, version: ModelVersion | None) -> ModelSize | None:
    if isinstance(spec.model, LlamaConfig):
        assert isinstance(spec.tokenizer, BPETokenizer), "the contract refuses a config without a tokenizer of its own"
        return size_of(spec.model, spec.tokenizer.vocab_size)
    assert version is not None
    if isinstance(spec.model, DistilledModel):
        return None  # the version is the teacher: what a student takes beside it is not told
    try:
        config = _DecoderConfig.model_validate(read_config(stored_files(version.file_set)))
    except ValidationError:
        return None
    return ModelSize(
        num_parameters=version.num_parameters,
        num_layers=config.num_hidden_layers,
        hidden_size=config.hidden_size,
        key_size=config.key_size,
        intermediate_size=config.intermediate_size,
        vocab_size=config.vocab_size,
    )

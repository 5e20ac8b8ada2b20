"""What a rank reads and writes: the run file, the events it appends, the control file it obeys.

Layout of ``output_dir``::

    events/rank<R>.jsonl           one Event a line, numbered from 0 without a gap (``n``)
    events/rank<R>.pulse           the rank's last Pulse, overwritten in place
    checkpoints/step-<9 digits>/   DCP files and manifest.json; renamed into place when complete
    model/                         the result in the Hugging Face layout, and manifest.json
    export/                        the files of an export, and manifest.json
    control.json                   a ControlFile, written by whoever wants the run to stop

A line without its newline is not written yet. Non-finite metric values are the strings "NaN",
"Infinity" and "-Infinity".
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from workers.contract.base import ContractModel
from workers.contract.jobs import JobSpec
from workers.contract.manifest import Manifest
from workers.contract.results import JobResult


class RunFile(ContractModel):
    """Everything a rank must know beside torchrun's environment (RANK, WORLD_SIZE, MASTER_ADDR, ...)."""

    spec: JobSpec
    output_dir: str
    cache_dir: str
    """Tokenizers and packed shards by content digest; survives the job."""
    dataset_dir: str | None = None
    """Files of the dataset version; None when the spec names a local path."""
    dataset_digest: str | None = None
    """Content digest of the dataset, when known: spares the runtime hashing it."""
    model_dir: str | None = None
    """Hugging Face directory of the pretrained model or the model to sample from."""
    reference_dir: str | None = None
    """Hugging Face directory of a second model, which the first one is compared with."""
    resume_from: str | None = None
    """A published checkpoint directory."""
    collective_timeout_s: float = Field(600.0, gt=0)
    """How long a rank waits for its peers in a collective: longer than rank 0 may validate, save or export alone."""


class StopMode(StrEnum):
    """How a run is asked to stop. Killing needs no file."""

    SAVE = "save"


class ControlFile(ContractModel):
    """A wish to the run, read by rank 0 at each step; SIGTERM means the same as ``save``."""

    stop: StopMode | None = None


class Pulse(ContractModel):
    """A sign that a rank goes on: several within each training step. All ranks of a gang beat alike."""

    count: int = Field(ge=0)
    """Beats so far; the rank with the fewest is the one that its peers wait for."""
    step: int
    """The training step it is at."""
    is_due: bool
    """Whether the next beat follows soon: not while there is work that may take any time."""


MetricValue = float | Literal["NaN", "Infinity", "-Infinity"]


class EventBase(ContractModel):
    """Fields of every line."""

    n: int = Field(ge=0)
    """Position in this rank's file; the unit of the server's ingest mark."""
    time_us: int
    """Microseconds since the epoch, by the node's clock."""


class MetricsEvent(EventBase):
    """One reporting step of one rank."""

    type: Literal["metrics"] = "metrics"
    step: int
    values: dict[str, MetricValue]


class PhaseEvent(EventBase):
    """A long sub-step begins or moves on (tokenizer, tokenize, load, train, validate, save)."""

    type: Literal["phase"] = "phase"
    name: str
    progress: float | None = Field(None, ge=0, le=1)


class ProgressEvent(EventBase):
    """Rank 0 finished ``step`` of ``total_steps``."""

    type: Literal["progress"] = "progress"
    step: int
    total_steps: int


class CheckpointEvent(EventBase):
    """A checkpoint is complete on disk under its final name."""

    type: Literal["checkpoint"] = "checkpoint"
    step: int
    directory: str
    """Relative to output_dir."""
    manifest: Manifest
    metrics: dict[str, MetricValue] = {}
    is_best: bool = False
    part: int = Field(0, ge=0)
    """Node rank of whoever wrote these files."""
    num_parts: int = Field(1, ge=1)
    """How many nodes write one; the checkpoint is all their files together."""


class ModelEvent(EventBase):
    """The trained model is complete on disk."""

    type: Literal["model"] = "model"
    directory: str
    manifest: Manifest
    metrics: dict[str, MetricValue] = {}
    num_parameters: int


class OutputEvent(EventBase):
    """Files that are the job's result and no model are complete on disk."""

    type: Literal["output"] = "output"
    directory: str
    manifest: Manifest


class CompletionEvent(EventBase):
    """Sampled texts."""

    type: Literal["completion"] = "completion"
    completions: tuple[str, ...]


class ResultEvent(EventBase):
    """What the job has found out; at most one a job."""

    type: Literal["result"] = "result"
    result: JobResult


class ResumedEvent(EventBase):
    """Training goes on from a checkpoint; ``step`` is the last one it contains."""

    type: Literal["resumed"] = "resumed"
    step: int


class FailureKind(StrEnum):
    """Who must act on a failure."""

    USER = "user"  # the spec, the data, the script: shown as it is, not retried
    RETRYABLE = "retryable"  # a peer lost, a device error: a new attempt
    SYSTEM = "system"  # a bug of ours, a full disk


class FailureEvent(EventBase):
    """Why the rank stops; its last event."""

    type: Literal["failure"] = "failure"
    kind: FailureKind
    message: str
    traceback: str = ""


class FinishedEvent(EventBase):
    """The rank is done; its last event."""

    type: Literal["finished"] = "finished"
    stopped: bool
    """True when it was asked to stop before its end (and has saved)."""
    step: int


Event = Annotated[
    MetricsEvent
    | PhaseEvent
    | ProgressEvent
    | CheckpointEvent
    | ModelEvent
    | OutputEvent
    | CompletionEvent
    | ResultEvent
    | ResumedEvent
    | FailureEvent
    | FinishedEvent,
    Field(discriminator="type"),
]

EVENT_ADAPTER: TypeAdapter[Event] = TypeAdapter(Event)

"""What the control plane answers, typed. Fields a newer server adds are kept, so `--json` shows all of them."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Resource(BaseModel):
    """Something with an id."""

    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())

    id: str


class Project(Resource):
    """One project."""

    name: str


class Secret(Resource):
    """That a secret of a project exists; nobody reads its value."""

    name: str
    set_by: str | None = None
    set_at: str


class Dataset(Resource):
    """One dataset."""

    name: str
    description: str = ""
    format: str = "auto"


class DatasetVersion(Resource):
    """One immutable state of a dataset."""

    number: int
    state: str
    error: str = ""
    progress: float = 0.0
    digest: str = ""
    num_files: int = 0
    size_bytes: int = 0
    created_at: str = ""
    statistics: dict[str, Any] | None = None


class FileEntry(BaseModel):
    """One file of a version."""

    model_config = ConfigDict(extra="allow", frozen=True)

    path: str
    size_bytes: int
    sha256: str


class JobFile(FileEntry):
    """One file that a job has left."""

    id: int
    kind: str
    """What it is of: ``model``, ``output``, or a checkpoint."""


class ModelVersion(Resource):
    """One model version."""

    name: str
    number: int = 0
    stage: str = ""
    num_parameters: int = 0
    metrics: dict[str, Any] = {}
    parent: str | None = None
    dataset_version: str | None = None
    created_at: str = ""
    files: tuple[FileEntry, ...] = ()


class Evaluation(Resource):
    """One figure of a version."""

    metric: str
    value: float
    spread: float | None = None
    unit: str = ""
    dataset_version: str | None = None
    reference: str | None = None


class Rule(Resource):
    """What a model asks of its versions."""

    metric: str
    against: str
    comparison: str
    bound: float | None = None
    tolerance_pct: float = 0.0
    unit: str = ""
    dataset_version: str | None = None


class Verdict(BaseModel):
    """What a rule says of a version."""

    model_config = ConfigDict(extra="allow", frozen=True)

    metric: str
    passed: bool | None = None
    message: str = ""


class Promotion(Resource):
    """A wish to promote a version, and what became of it."""

    version: str
    version_name: str
    target: str
    state: str
    decision: str = ""
    reason: str = ""
    is_override: bool = False
    verdicts: tuple[Verdict, ...] = ()
    jobs: tuple[dict[str, Any], ...] = ()


class Production(BaseModel):
    """What a model had in production at a time."""

    model_config = ConfigDict(extra="allow", frozen=True)

    version: ModelVersion | None = None
    since: str | None = None
    actor: str = ""
    reason: str = ""


class Comparison(BaseModel):
    """The versions of a model side by side."""

    model_config = ConfigDict(extra="allow", frozen=True)

    columns: tuple[dict[str, Any], ...] = ()
    rows: tuple[dict[str, Any], ...] = ()


class Slot(Resource):
    """One GPU, or one share of a node's cores, and what runs on it."""

    index: int
    kind: str
    name: str = ""
    memory_bytes: int = 0
    is_free: bool = True
    job: str | None = None
    job_name: str = ""


class Node(Resource):
    """One machine of the cluster."""

    name: str
    pool: str
    address: str = ""
    is_alive: bool = False
    is_draining: bool = False
    last_seen_at: str | None = None
    num_slots: int = 0
    free_slots: int = 0
    devices: tuple[Slot, ...] = ()

    @property
    def state(self) -> str:
        """``up``, ``draining`` or ``down``."""
        if not self.is_alive:
            return "down"
        return "draining" if self.is_draining else "up"


class Curve(BaseModel):
    """One metric over the steps of a job, all attempts joined; columns of one length, as a data frame takes them."""

    model_config = ConfigDict(frozen=True)

    steps: tuple[int, ...] = ()
    values: tuple[float, ...] = ()

    @property
    def last(self) -> float | None:
        """The newest value."""
        return self.values[-1] if self.values else None


class LogPage(BaseModel):
    """Bytes ``start`` to ``stop`` of what a rank wrote in one attempt, as text."""

    model_config = ConfigDict(extra="allow", frozen=True)

    attempt: int
    rank: int
    stream: str
    start: int
    stop: int
    text: str
    size_bytes: int = 0
    is_complete: bool = False
    seq: int = 0


class StreamBatch(BaseModel):
    """Messages of a job's live sequence, and where to go on."""

    model_config = ConfigDict(extra="allow", frozen=True)

    seq: int
    messages: tuple[dict[str, Any], ...] = ()

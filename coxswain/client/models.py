"""What the control plane answers, typed. Fields a newer server adds are kept, so `--json` shows all of them."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Resource(BaseModel):
    """Something with an id."""

    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())

    id: str


class Progress(BaseModel):
    """How far a job is."""

    model_config = ConfigDict(extra="allow", frozen=True)

    step: int = 0
    total_steps: int = 0
    phase: str = ""
    phase_progress: float | None = None


FINAL_STATES = frozenset({"succeeded", "failed", "error", "cancelled"})


class Job(Resource):
    """One job."""

    number: int
    name: str
    kind: str
    state: str
    state_reason: str = ""
    priority: int = 0
    progress: Progress = Progress()
    eta_s: float | None = None
    spec: dict[str, Any] = {}
    result: dict[str, Any] | None = None
    latest: dict[str, Any] | None = None
    output_version: Any = None
    created_at: str = ""
    started_at: str | None = None
    ended_at: str | None = None
    seq: int = 0

    @property
    def is_final(self) -> bool:
        """The job will not change any more."""
        return self.state in FINAL_STATES

    @property
    def output_version_name(self) -> str | None:
        """Name of the model version it made, such as ``tiny_v3``."""
        if isinstance(self.output_version, dict):
            name = self.output_version.get("name")
            return str(name) if name else None
        return str(self.output_version) if self.output_version else None


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


class StreamBatch(BaseModel):
    """Messages of a job's live sequence, and where to go on."""

    model_config = ConfigDict(extra="allow", frozen=True)

    seq: int
    messages: tuple[dict[str, Any], ...] = ()

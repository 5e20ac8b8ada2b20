"""The HTTP API between an agent and the control plane, under ``/api/node/v1/``.

Authenticated by ``Authorization: Bearer <node token>``, which reaches the node's own allocations only.
Every request repeats safely. A refusal is ``application/problem+json`` with a ``code``; 409 ``stale_fence``
means that the attempt is over: the agent kills its ranks.

    POST join                                       JoinRequest -> JoinReply          (join token in the body)
    POST heartbeat                                  HeartbeatRequest -> HeartbeatReply
    POST allocations/{id}/claim                     ClaimRequest -> ClaimReply
    POST allocations/{id}/report                    Report -> ReportReply
    GET  allocations/{id}/secrets                   -> SecretsReply
    POST allocations/{id}/metrics                   MetricsBatch -> MarkReply
    POST allocations/{id}/logs?rank&stream&start&stop&ended   raw bytes -> MarkReply
    GET  allocations/{id}/files/{sha256}            bytes, with Range
    POST allocations/{id}/uploads                   UploadRequest -> UploadReply
    PUT  allocations/{id}/uploads/{upload}/parts/{n}          raw bytes -> 204
    POST allocations/{id}/uploads/{upload}/finalise -> UploadReply

Parts are numbered from 0: part ``n`` is the bytes from ``n * part_size_bytes``, and only the last one is shorter.
An empty file has no part. ``digest_mismatch`` from finalise means that the parts were dropped: send all again.
"""

from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, TypeAdapter

from workers.contract.base import ContractModel
from workers.contract.jobs import JobSpec
from workers.contract.manifest import SHA256_PATTERN, FileRef, Manifest
from workers.contract.results import JobResult
from workers.contract.run import FailureKind, MetricValue

HEARTBEAT_S = 5.0
LEASE_S = 20.0
CLAIM_TIMEOUT_S = 30.0
ORPHAN_TIMEOUT_S = 600.0


class DeviceKind(StrEnum):
    """What a slot is made of."""

    CPU = "cpu"
    CUDA = "cuda"


class DeviceInfo(ContractModel):
    """One slot of a node."""

    index: int = Field(ge=0)
    kind: DeviceKind
    name: str
    memory_bytes: int = Field(0, ge=0)


class JoinRequest(ContractModel):
    """A node enters, or comes back."""

    contract_version: int
    join_token: str
    name: str = Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$")
    pool: str = Field("default", pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
    hostname: str
    address: str
    """Where peers reach this node's ranks."""
    boot_id: str
    agent_version: str
    devices: tuple[DeviceInfo, ...] = Field(min_length=1, max_length=1024)
    cpu_count: int = Field(ge=1)
    memory_bytes: int = Field(ge=0)


class JoinReply(ContractModel):
    """What the node needs from now on. ``node_token`` is shown this once."""

    node_id: UUID
    node_token: str
    broker_url: str
    queue: str
    heartbeat_s: float = HEARTBEAT_S
    lease_s: float = LEASE_S
    orphan_timeout_s: float = ORPHAN_TIMEOUT_S


class AllocationStatus(ContractModel):
    """An allocation as the agent sees it."""

    allocation_id: UUID
    fence: int
    state: Literal["claimed", "running", "ended"]


class HeartbeatRequest(ContractModel):
    """I live, and this is what I hold."""

    contract_version: int
    boot_id: str
    allocations: tuple[AllocationStatus, ...] = ()
    cpu_pct: float | None = None
    memory_used_bytes: int | None = None
    disk_free_bytes: int | None = None
    forkserver_ready: bool = False


class Offer(ContractModel):
    """An allocation that waits to be claimed by this node."""

    allocation_id: UUID
    fence: int


class InputRef(ContractModel):
    """Files the run needs, fetched by digest into the node's cache."""

    role: Literal["dataset", "model", "reference", "checkpoint", "source"]
    name: str
    digest: str = Field(pattern=SHA256_PATTERN)
    """Of the whole set; the directory's name in the cache."""
    files: tuple[FileRef, ...]
    step: int | None = None
    """Of a checkpoint."""


class LaunchOrder(ContractModel):
    """All that one node needs to start its ranks of a gang."""

    allocation_id: UUID
    job_id: UUID
    attempt_id: UUID
    attempt_number: int = Field(ge=1)
    fence: int
    spec: JobSpec
    node_rank: int = Field(ge=0)
    num_nodes: int = Field(ge=1)
    slots_per_node: int = Field(ge=1)
    device_indices: tuple[int, ...]
    master_addr: str
    master_port: int
    inputs: tuple[InputRef, ...] = ()


class WishKind(StrEnum):
    """What the control plane wants of a running allocation."""

    STOP = "stop"  # save at a step boundary, then end
    KILL = "kill"  # end now


class Wish(ContractModel):
    """Repeated in every heartbeat reply until it is fulfilled."""

    allocation_id: UUID
    fence: int
    kind: WishKind


class HeartbeatReply(ContractModel):
    """Everything open for this node; a lost hint costs one heartbeat.

    An allocation the agent reported and the server does not list under ``live`` is over: its ranks are killed.
    """

    offers: tuple[Offer, ...] = ()
    orders: tuple[LaunchOrder, ...] = ()
    """Claimed gangs that became complete and are not reported running yet."""
    wishes: tuple[Wish, ...] = ()
    live: tuple[UUID, ...] = ()


class ClaimRequest(ContractModel):
    """The node takes the allocation; rank 0's node proposes the rendezvous."""

    fence: int
    master_addr: str
    master_port: int = Field(ge=1, le=65535)
    """A port this agent has just proved free."""


class ClaimReply(ContractModel):
    """``order`` is None while other nodes of the gang have not claimed."""

    order: LaunchOrder | None = None


class ReportBase(ContractModel):
    """Fields of every report."""

    fence: int
    time_us: int


class RunningReport(ReportBase):
    """The ranks are started."""

    type: Literal["running"] = "running"
    pids: tuple[int, ...] = ()
    warm: bool


class PhaseReport(ReportBase):
    """A sub-step begins or moves on; shown, not a state."""

    type: Literal["phase"] = "phase"
    name: str
    progress: float | None = None


class ProgressReport(ReportBase):
    """Rank 0's last finished step."""

    type: Literal["progress"] = "progress"
    step: int
    total_steps: int


class ResumedReport(ReportBase):
    """The attempt goes on after ``step``; curves of earlier attempts are cut there."""

    type: Literal["resumed"] = "resumed"
    step: int


class CheckpointReport(ReportBase):
    """A checkpoint, or one node's part of it, whose files are all uploaded.

    It exists once all parts have come under the same fence; its files are those of all parts together.
    """

    type: Literal["checkpoint"] = "checkpoint"
    step: int
    manifest: Manifest
    metrics: dict[str, MetricValue] = {}
    is_best: bool = False
    part: int = Field(0, ge=0)
    """The node's rank."""
    num_parts: int = Field(1, ge=1)


class ModelReport(ReportBase):
    """The trained model, all files uploaded; becomes a version when the job succeeds."""

    type: Literal["model"] = "model"
    manifest: Manifest
    metrics: dict[str, MetricValue] = {}
    num_parameters: int


class OutputReport(ReportBase):
    """What a job left beside a model on this node (a script in ``$COX_OUTPUT``, an export), all files uploaded."""

    type: Literal["output"] = "output"
    manifest: Manifest


class CompletionReport(ReportBase):
    """Sampled texts."""

    type: Literal["completion"] = "completion"
    completions: tuple[str, ...]


class ResultReport(ReportBase):
    """What the job has found out."""

    type: Literal["result"] = "result"
    result: JobResult


class Outcome(StrEnum):
    """How an allocation ended, as its agent saw it."""

    SUCCEEDED = "succeeded"
    STOPPED = "stopped"  # asked to, and saved
    FAILED = "failed"  # see failure_kind
    KILLED = "killed"  # on the control plane's wish


class ExitReport(ReportBase):
    """All ranks of this node have ended. The last report of an allocation."""

    type: Literal["exit"] = "exit"
    outcome: Outcome
    failure_kind: FailureKind | None = None
    reason: str = ""
    """One sentence for a person."""
    traceback: str = ""
    exit_codes: tuple[int, ...] = ()


Report = Annotated[
    RunningReport
    | PhaseReport
    | ProgressReport
    | ResumedReport
    | CheckpointReport
    | ModelReport
    | OutputReport
    | CompletionReport
    | ResultReport
    | ExitReport,
    Field(discriminator="type"),
]

REPORT_ADAPTER: TypeAdapter[Report] = TypeAdapter(Report)


class ReportReply(ContractModel):
    """The report is stored."""

    wish: WishKind | None = None


class SecretsReply(ContractModel):
    """The secrets that the allocation's spec names, by name; those that the project lacks are absent."""

    values: dict[str, str]


class MetricSeries(ContractModel):
    """Points of one series as columns of equal length."""

    key: str = Field(min_length=1, max_length=255)
    steps: tuple[int, ...]
    times_us: tuple[int, ...]
    values: tuple[MetricValue, ...]


class MetricsBatch(ContractModel):
    """The metrics among events [start, stop) of one rank's file. The server decodes it with msgspec, by columns."""

    rank: int = Field(ge=0)
    start: int = Field(ge=0)
    stop: int = Field(ge=0)
    series: tuple[MetricSeries, ...]


class LogStream(StrEnum):
    """A captured stream of a rank; the agent's own words about the allocation are rank -1."""

    STDOUT = "stdout"
    STDERR = "stderr"


class MarkReply(ContractModel):
    """Where the server's mark stands now: the next batch starts here. Also the body of 409 ``mark_mismatch``."""

    mark: int
    attempt_over: bool = False
    """True when the attempt has ended: what came is stored, and its ranks are to be killed."""


class UploadRequest(ContractModel):
    """Announce a file. When the workspace has these bytes already, nothing needs sending."""

    sha256: str = Field(pattern=SHA256_PATTERN)
    size_bytes: int = Field(ge=0)


class UploadReply(ContractModel):
    """Which parts are there; ``complete`` when the file is stored and verified."""

    upload_id: UUID
    part_size_bytes: int
    received_parts: tuple[int, ...] = ()
    complete: bool = False

"""One job in a program's hands: what the control plane said of it, and the verbs that go with it.

A job never changes by itself: every verb answers a new one, as it is then.
"""

import builtins
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Protocol, Self

from pydantic import BaseModel, ConfigDict, PrivateAttr

from coxswain.client.errors import CoxswainError
from coxswain.client.models import Curve, Resource
from coxswain.client.transport import Json

FINAL_STATES = frozenset({"succeeded", "failed", "error", "cancelled"})


class Progress(BaseModel):
    """How far a job is."""

    model_config = ConfigDict(extra="allow", frozen=True)

    step: int = 0
    total_steps: int = 0
    phase: str = ""
    phase_progress: float | None = None

    def __str__(self) -> str:
        return f"{self.step}/{self.total_steps}" if self.total_steps else self.phase


class JobActions(Protocol):
    """What a job asks of the client it came from; ``Jobs`` is it."""

    def get(self, job_id: str) -> "Job": ...
    def wait(self, job_id: str, *, timeout_s: float | None = None, progress: bool | None = None) -> "Job": ...
    def follow(self, job_id: str, *, after: int | None = None) -> Iterator[Json]: ...
    def cancel(self, job_id: str) -> "Job": ...
    def kill(self, job_id: str) -> "Job": ...
    def rerun(self, job_id: str, *, spec: Mapping[str, Any] | None = None) -> "Job": ...
    def log_text(self, job_id: str, *, rank: int = 0, stream: str = "stdout") -> str: ...
    def metrics(self, job_id: str, *keys: str, rank: int = 0) -> dict[str, Curve]: ...
    def page_url(self, job_id: str) -> str: ...


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
    resources: dict[str, Any] = {}
    result: dict[str, Any] | None = None
    latest: dict[str, Any] | None = None
    output_version: Any = None
    created_at: str = ""
    started_at: str | None = None
    ended_at: str | None = None
    seq: int = 0

    _actions: JobActions | None = PrivateAttr(None)

    @classmethod
    def bound(cls, document: Json, actions: JobActions) -> Self:
        """Read a job that can act."""
        job = cls.model_validate(document)
        job._actions = actions
        return job

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

    @property
    def url(self) -> str:
        """Its page in the dashboard."""
        return self._jobs.page_url(self.id)

    def refresh(self) -> "Job":
        """Read it again."""
        return self._jobs.get(self.id)

    def wait(self, *, timeout_s: float | None = None, progress: bool | None = None) -> "Job":
        """Wait until it has succeeded; ``progress`` shows a line that moves (default: in terminals and notebooks).

        Raises:
            JobDidNotSucceed: it ended otherwise; the message gives the state and the reason.
            TimeoutError: ``timeout_s`` seconds have passed.
        """
        return self._jobs.wait(self.id, timeout_s=timeout_s, progress=progress)

    def follow(self, *, after: int | None = None) -> Iterator[Json]:
        """Yield what happens to it, in order and without a gap, until it has ended."""
        return self._jobs.follow(self.id, after=after)

    def cancel(self) -> "Job":
        """Ask it to save and stop."""
        return self._jobs.cancel(self.id)

    def kill(self) -> "Job":
        """End it now."""
        return self._jobs.kill(self.id)

    def rerun(self, *, spec: Mapping[str, Any] | None = None) -> "Job":
        """Submit it again as a new job, with ``spec`` in place of its own where one is given."""
        return self._jobs.rerun(self.id, spec=spec)

    def logs(self, *, rank: int = 0, stream: str = "stdout") -> str:
        """Read all that a rank has written in the newest attempt; rank -1 is the agent."""
        return self._jobs.log_text(self.id, rank=rank, stream=stream)

    def metrics(self, *keys: str, rank: int = 0) -> dict[str, Curve]:
        """Read curves of a rank by their keys, such as ``loss``; all it has reported when none is named."""
        return self._jobs.metrics(self.id, *keys, rank=rank)

    @property
    def _jobs(self) -> JobActions:
        if self._actions is None:
            raise CoxswainError("This job came from no client: read it with client.jobs.get(id)")
        return self._actions

    def _facts(self) -> builtins.list[tuple[str, object]]:
        facts = [
            ("state", f"{self.state}: {self.state_reason}" if self.state_reason else self.state),
            ("kind", self.kind),
            ("progress", str(self.progress)),
            ("latest", ", ".join(f"{key} {value:.4g}" for key, value in _numbers(self.latest).items())),
            ("version", self.output_version_name),
            ("created", self.created_at[:19]),
        ]
        return [(name, value) for name, value in facts if value]

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        title = escape(f"{self.name} #{self.number}")
        if self._actions is not None:
            title = f'<a href="{escape(self.url, quote=True)}" target="_blank">{title}</a>'
        rows = "".join(
            f"<tr><th>{escape(name)}</th><td>{escape(str(value))}</td></tr>" for name, value in self._facts()
        )
        return f"<table><caption>{title}</caption>{rows}</table>"


def _numbers(latest: Mapping[str, Any] | None) -> dict[str, float]:
    return {key: value for key, value in (latest or {}).items() if isinstance(value, int | float)}

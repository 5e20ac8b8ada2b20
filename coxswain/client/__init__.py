"""The Python client of the REST API.

>>> from coxswain.client import Client
>>> client = Client()  # COX_URL and COX_TOKEN, or what `cox login` stored
>>> spec = {"kind": "train", "data": {"dataset": "my-text"}}
>>> client.jobs.submit(spec, name="tiny", slots_per_node=2).wait().output_version_name
'tiny_v1'
"""

from types import TracebackType
from typing import Self

from coxswain.client.datasets import Datasets
from coxswain.client.errors import ApiError, CoxswainError, FieldError, JobDidNotSucceed, NotFound, Unreachable
from coxswain.client.job import Job
from coxswain.client.jobs import Jobs
from coxswain.client.lifecycle import Lifecycle
from coxswain.client.models import Curve, Dataset, DatasetVersion, FileEntry, ModelVersion, Node, Project, Secret
from coxswain.client.nodes import Nodes
from coxswain.client.registry import Models
from coxswain.client.secrets import Secrets
from coxswain.client.settings import load_credentials
from coxswain.client.transport import Transport

__all__ = [
    "ApiError",
    "Client",
    "CoxswainError",
    "Curve",
    "Dataset",
    "DatasetVersion",
    "FieldError",
    "FileEntry",
    "Job",
    "JobDidNotSucceed",
    "ModelVersion",
    "Node",
    "NotFound",
    "Project",
    "Secret",
    "Unreachable",
]


class Client:
    """A control plane, seen by one user. Close it, or use it as a context manager."""

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        project: str | None = None,
        timeout_s: float = 30.0,
        num_tries: int = 5,
    ) -> None:
        credentials = load_credentials(url, token)
        self.url = credentials.url.rstrip("/")
        self._transport = Transport(self.url, credentials.token, timeout_s=timeout_s, num_tries=num_tries)
        self._project = project
        self.jobs = Jobs(self._transport, self.default_project)
        self.datasets = Datasets(self._transport, self.default_project)
        self.models = Models(self._transport)
        self.lifecycle = Lifecycle(self._transport)
        self.nodes = Nodes(self._transport)
        self.secrets = Secrets(self._transport, self.default_project)

    def projects(self) -> list[Project]:
        """List the projects the caller may see."""
        return [Project.model_validate(item) for item in self._transport.pages("projects")]

    def default_project(self) -> str:
        """The id of the project that is meant when none is named: the given one, else the caller's only or oldest one.

        Raises:
            CoxswainError: the caller sees none, or none of that name.
        """
        found = self.projects()
        if self._project is not None:
            for project in found:
                if self._project in {project.id, project.name}:
                    return project.id
            raise NotFound(f"There is no project {self._project!r}; there are: {[p.name for p in found]}")
        if not found:
            raise CoxswainError("You are a member of no project: ask an owner of a workspace to add you")
        return min(found, key=lambda project: project.id).id  # ids grow with time

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

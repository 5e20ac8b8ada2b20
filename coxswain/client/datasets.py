"""Datasets: create from local files, list, wait until usable."""

import builtins
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from coxswain.client.errors import CoxswainError
from coxswain.client.models import Dataset, DatasetVersion
from coxswain.client.transfers import LocalFile, OnBytes, collect_files, upload_files
from coxswain.client.transport import Transport

_POLL_S = 0.5


class Datasets:
    """The datasets a caller may see."""

    def __init__(self, transport: Transport, default_project: Callable[[], str]) -> None:
        self._transport = transport
        self._default_project = default_project

    def list(self, *, limit: int | None = 50, **filters: str) -> builtins.list[Dataset]:
        """List datasets, newest first."""
        return [Dataset.model_validate(item) for item in self._transport.pages("datasets", limit=limit, **filters)]

    def find(self, name: str, *, project: str | None = None) -> Dataset | None:
        """Find a dataset by its name."""
        wanted = project or self._default_project()
        found = (item for item in self._transport.pages("datasets", name=name, project=wanted))
        return next((Dataset.model_validate(item) for item in found if item["name"] == name), None)

    def create(
        self,
        name: str,
        paths: Iterable[Path | str] | None = None,
        *,
        files: builtins.list[LocalFile] | None = None,
        project: str | None = None,
        description: str = "",
        format: str = "auto",
        on_bytes: OnBytes | None = None,
    ) -> DatasetVersion:
        """Send local files or folders as a new version; the dataset is created when it does not exist.

        Raises:
            ApiError: something is refused.
            CoxswainError: there is nothing to send.
        """
        wanted = project or self._default_project()
        chosen = files if files is not None else collect_files([Path(path) for path in paths or ()])
        dataset = self.find(name, project=wanted)
        if dataset is None:
            body = {"project": wanted, "name": name, "description": description, "format": format}
            dataset = Dataset.model_validate(self._transport.post("datasets", body))
        entries = upload_files(self._transport, chosen, project=wanted, on_bytes=on_bytes)
        created = self._transport.post(f"datasets/{dataset.id}/versions", {"files": entries})
        return DatasetVersion.model_validate(created)

    def versions(self, dataset_id: str) -> builtins.list[DatasetVersion]:
        """List the versions of one dataset, newest first."""
        return [
            DatasetVersion.model_validate(item) for item in self._transport.pages(f"datasets/{dataset_id}/versions")
        ]

    def wait(
        self,
        version_id: str,
        *,
        timeout_s: float = 600.0,
        on_progress: Callable[[float], None] | None = None,
    ) -> DatasetVersion:
        """Wait until a version has been read and may be trained on.

        Raises:
            CoxswainError: it is not usable; the message says why.
            TimeoutError: ``timeout_s`` seconds have passed.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            version = DatasetVersion.model_validate(self._transport.get(f"dataset-versions/{version_id}"))
            if on_progress:
                on_progress(version.progress)
            if version.state == "ready":
                return version
            if version.state == "failed":
                raise CoxswainError(f"The dataset cannot be used: {version.error}")
            if time.monotonic() >= deadline:
                raise TimeoutError(f"dataset version {version.number} is still being read")
            time.sleep(_POLL_S)

"""Model versions: list and download."""

import builtins
from pathlib import Path

from coxswain.client.downloads import OnBytes, download_file
from coxswain.client.models import ModelVersion
from coxswain.client.transport import Transport


class Models:
    """The model versions a caller may see."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, *, limit: int = 50, **filters: str) -> builtins.list[ModelVersion]:
        """List versions, newest first."""
        pages = self._transport.pages("model-versions", limit=limit, **filters)
        return [ModelVersion.model_validate(item) for item in pages]

    def get(self, version: str) -> ModelVersion:
        """Read one version by its id or its name (``tiny_v3``)."""
        return ModelVersion.model_validate(self._transport.get(f"model-versions/{version}"))

    def download(self, version: str, folder: Path | str, *, on_bytes: OnBytes | None = None) -> builtins.list[Path]:
        """Write all files of a version below ``folder``, each under its final name only once its digest is right.

        Raises:
            CoxswainError: a file arrived damaged, or its path leads out of the folder.
        """
        found = self.get(version)
        return [
            download_file(
                self._transport, f"model-versions/{found.id}/files/{entry.path}", entry, Path(folder), on_bytes
            )
            for entry in found.files
        ]

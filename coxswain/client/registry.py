"""Model versions: list and download."""

import builtins
import hashlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from coxswain.client.errors import CoxswainError
from coxswain.client.models import FileEntry, ModelVersion
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

    def download(
        self, version: str, folder: Path, *, on_bytes: Callable[[int], None] | None = None
    ) -> builtins.list[Path]:
        """Write all files of a version below ``folder``, each under its final name only once its digest is right.

        Raises:
            CoxswainError: a file arrived damaged, or its path leads out of the folder.
        """
        found = self.get(version)
        return [self._download_file(found, entry, folder, on_bytes or (lambda _: None)) for entry in found.files]

    def _download_file(
        self, version: ModelVersion, entry: FileEntry, folder: Path, on_bytes: Callable[[int], None]
    ) -> Path:
        relative = PurePosixPath(entry.path)
        if relative.is_absolute() or ".." in relative.parts:
            raise CoxswainError(f"{entry.path!r} leads out of {folder}")
        target = folder / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(target.name + ".partial")
        digest = hashlib.sha256()
        with partial.open("wb") as stream:
            for piece in self._transport.download(f"model-versions/{version.id}/files/{entry.path}"):
                digest.update(piece)
                stream.write(piece)
                on_bytes(len(piece))
        if digest.hexdigest() != entry.sha256:
            partial.unlink()
            raise CoxswainError(f"{entry.path} arrived damaged: download it again")
        return partial.replace(target)

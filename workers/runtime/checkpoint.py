"""Checkpoints: written beside the training, complete or absent, and enough to go on bit for bit.

torch.distributed.checkpoint stores the tensors; ``progress.json`` the rest. With replicated parameters
rank 0 alone writes (``no_dist``), from a copy in host memory, in a thread of its own: no collective runs
beside the training's, and no directory need be shared between nodes. A sharding strategy will have to write from
every rank.
"""

import re
import shutil
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from workers.contract.manifest import Manifest
from workers.contract.training import CheckpointSpec
from workers.runtime.errors import CheckpointError, UserError, describe, root_cause
from workers.runtime.events import CheckpointEvent, EventWriter, metric_value
from workers.runtime.files import MANIFEST_NAME, find_damage, publish

Tensors = dict[str, torch.Tensor]

_DIRECTORY = "checkpoints"
_NAME = re.compile(r"step-(\d{9})")
_PROGRESS_NAME = "progress.json"


class Progress(BaseModel):
    """How far a run is, beside its tensors."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: int
    """Optimizer steps done; the schedule's position too."""
    position: int
    """Samples drawn, by all ranks together."""
    tokens: int
    best_val_loss: float | None = None
    best_step: int | None = None
    world_size: int


@dataclass(frozen=True)
class Snapshot:
    """What one checkpoint is to contain."""

    progress: Progress
    tensors: Tensors
    metrics: Mapping[str, float]

    @property
    def is_best(self) -> bool:
        """True when no earlier checkpoint had a lower validation loss."""
        return self.progress.best_step == self.progress.step


def published_checkpoints(output_dir: Path) -> list[Path]:
    """Return the complete checkpoints of a run, oldest first."""
    root = output_dir / _DIRECTORY
    if not root.is_dir():
        return []
    found = [path for path in root.iterdir() if _NAME.fullmatch(path.name) and (path / MANIFEST_NAME).is_file()]
    return sorted(found, key=step_of)


def step_of(checkpoint: Path) -> int:
    """Return the step a checkpoint directory is named for."""
    match = _NAME.fullmatch(checkpoint.name)
    assert match is not None
    return int(match[1])


def latest_checkpoint(output_dir: Path) -> Path | None:
    """Return the newest checkpoint whose files are what its manifest says."""
    return next((path for path in reversed(published_checkpoints(output_dir)) if find_damage(path) is None), None)


class Checkpointer:
    """Writes the checkpoints of one run, one at a time, and drops those the spec does not keep."""

    def __init__(self, output_dir: Path, spec: CheckpointSpec, events: EventWriter) -> None:
        self._output_dir = output_dir
        self._spec = spec
        self._events = events
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: Future[None] | None = None

    def save(self, snapshot: Snapshot) -> None:
        """Copy the tensors and write them in the background; waits for the checkpoint before.

        Raises:
            CheckpointError: the checkpoint before could not be written.
        """
        self.wait()
        copies = {name: tensor.detach().to("cpu", copy=True) for name, tensor in snapshot.tensors.items()}
        self._pending = self._executor.submit(self._write, Snapshot(snapshot.progress, copies, snapshot.metrics))

    def poll(self) -> None:
        """Raise the error of a finished save, without waiting for one that runs.

        Raises:
            CheckpointError: it could not be written.
        """
        if self._pending is not None and self._pending.done():
            self.wait()

    def wait(self) -> None:
        """Wait until the last save is published.

        Raises:
            CheckpointError: it could not be written.
        """
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def close(self) -> None:
        """Let a save that runs finish, whatever comes of it."""
        self._executor.shutdown(wait=True)

    def last_good(self) -> Path | None:
        """Return the newest published checkpoint, after a save that runs has ended."""
        self.close()
        checkpoints = published_checkpoints(self._output_dir)
        return checkpoints[-1] if checkpoints else None

    def _write(self, snapshot: Snapshot) -> None:
        step = snapshot.progress.step
        relative = f"{_DIRECTORY}/step-{step:09d}"
        try:
            manifest = publish(self._output_dir / relative, lambda directory: _store(directory, snapshot))
        except BaseException as error:  # DCP's own exception is a BaseException
            cause = root_cause(error)
            before = published_checkpoints(self._output_dir)
            kept = f"the last complete one is {before[-1].name}" if before else "there is no earlier one"
            raise CheckpointError(
                f"checkpoint of step {step} could not be written, {kept}: {describe(cause)}"
            ) from error
        self._announce(snapshot, relative, manifest)
        self._prune(snapshot.progress)

    def _announce(self, snapshot: Snapshot, directory: str, manifest: Manifest) -> None:
        self._events.emit(
            CheckpointEvent,
            step=snapshot.progress.step,
            directory=directory,
            manifest=manifest,
            metrics={key: metric_value(value) for key, value in snapshot.metrics.items()},
            is_best=snapshot.is_best,
        )

    def _prune(self, progress: Progress) -> None:
        checkpoints = published_checkpoints(self._output_dir)
        for path in checkpoints[: -self._spec.keep_last]:
            if self._spec.keep_best and step_of(path) == progress.best_step:
                continue
            (path / MANIFEST_NAME).unlink()  # first: a removal that is cut short leaves no checkpoint
            shutil.rmtree(path, ignore_errors=True)


def _store(directory: Path, snapshot: Snapshot) -> None:
    writer = FileSystemWriter(directory, single_file_per_rank=True, thread_count=1)
    save(dict(snapshot.tensors), storage_writer=writer, no_dist=True)
    (directory / _PROGRESS_NAME).write_text(snapshot.progress.model_dump_json(), encoding="ascii")


def read_progress(checkpoint: Path, *, verify_hashes: bool) -> Progress:
    """Check a checkpoint and return how far it is.

    Raises:
        UserError: it is not a complete checkpoint.
    """
    damage = find_damage(checkpoint, hashes=verify_hashes)
    if damage is not None:
        raise UserError(f"{checkpoint} is not a complete checkpoint: {damage}")
    try:
        return Progress.model_validate_json((checkpoint / _PROGRESS_NAME).read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(f"{checkpoint} is not a training checkpoint: {error}") from error


def restore(checkpoint: Path, tensors: Tensors) -> None:
    """Copy the checkpoint's values into ``tensors``, in place.

    Raises:
        UserError: the checkpoint is of another model.
    """
    stored = FileSystemReader(checkpoint).read_metadata().state_dict_metadata
    for name, tensor in tensors.items():
        size = getattr(stored.get(name), "size", None)
        if size != tensor.shape:
            raise UserError(
                f"{checkpoint.name} does not fit this model: {name} has shape {tuple(tensor.shape)}, "
                f"the checkpoint has {tuple(size) if size is not None else 'none'}"
            )
    load(dict(tensors), storage_reader=FileSystemReader(checkpoint), no_dist=True)

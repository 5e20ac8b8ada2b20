"""Checkpoints: written beside the training, complete or absent, and enough to go on bit for bit.

torch.distributed.checkpoint stores the tensors; ``progress.json`` the rest. Names and shapes are those of the whole
model whatever the strategy, so a checkpoint written under one strategy and world size is read under any other.

Two forms. With replicated parameters rank 0 alone writes (``no_dist``), from a copy in host memory, in a thread of its
own: no collective runs beside the training's. With sharded ones every rank writes its own, in a thread too, with
collectives in a process group of their own; no directory need be shared between nodes, so each node publishes its part,
and the checkpoint is all parts together.
"""

import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from pydantic import BaseModel, ConfigDict
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import AsyncSaveResponse, async_save, save

from workers.contract.manifest import Manifest
from workers.contract.training import CheckpointSpec
from workers.runtime.environment import RankEnvironment
from workers.runtime.errors import CheckpointError, UserError, describe, root_cause
from workers.runtime.events import CheckpointEvent, EventWriter, metric_value
from workers.runtime.files import MANIFEST_NAME, find_damage, publish, publish_written

Tensors = dict[str, torch.Tensor]

_DIRECTORY = "checkpoints"
_NAME = re.compile(r"step-(\d{9})")
_PROGRESS_NAME = "progress.json"
OPTIONAL = ("extension.", "rank.")
"""How the names begin of what extensions keep, replicated and by rank."""
_FULL_BYTES = 1 << 20  # what a disk may have left that has just refused a write


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


@dataclass(frozen=True)
class Gang:
    """The ranks that write a checkpoint together."""

    env: RankEnvironment
    group: dist.ProcessGroup
    """On the CPU, of all ranks; used by nothing else."""

    @property
    def is_leader(self) -> bool:
        """True on the rank that publishes its node's part."""
        return self.env.local_rank == 0

    @property
    def part(self) -> int:
        """Rank of this node."""
        return self.env.rank // self.env.local_world_size

    @property
    def num_parts(self) -> int:
        """Nodes that write a part each."""
        return self.env.world_size // self.env.local_world_size


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

    def __init__(
        self, output_dir: Path, spec: CheckpointSpec, events: EventWriter, *, gang: Gang | None = None
    ) -> None:
        """With a ``gang`` every rank calls ``save`` with what is its own; without one, rank 0 with everything."""
        self._gang = gang
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
        if self._gang is not None:
            self._pending = self._save_together(snapshot, self._gang)
            return
        copies = {name: tensor.detach().to("cpu", copy=True) for name, tensor in snapshot.tensors.items()}
        copied = Snapshot(snapshot.progress, copies, snapshot.metrics)
        self._pending = self._executor.submit(self._publish, copied, lambda final: _write_alone(final, copied))

    def _save_together(self, snapshot: Snapshot, gang: Gang) -> Future[None]:
        """Copy this rank's share, and let all ranks write at once."""
        final = self._final(snapshot)
        temporary = final.with_name(f".tmp-{final.name}")
        if gang.is_leader:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
        dist.barrier(gang.group)
        writer = FileSystemWriter(temporary, single_file_per_rank=True, thread_count=1)
        response = async_save(dict(snapshot.tensors), storage_writer=writer, process_group=gang.group)
        written = response.upload_completion if isinstance(response, AsyncSaveResponse) else response

        def finish(directory: Path) -> Manifest | None:
            with _full_disk_named(temporary):
                written.result()  # everybody has written: the last thing it does is to agree on the metadata
            return _publish_part(directory, temporary, snapshot, gang) if gang.is_leader else None

        return self._executor.submit(self._publish, snapshot, finish)

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

    def _final(self, snapshot: Snapshot) -> Path:
        return self._output_dir / _DIRECTORY / f"step-{snapshot.progress.step:09d}"

    def _publish(self, snapshot: Snapshot, write: Callable[[Path], Manifest | None]) -> None:
        final = self._final(snapshot)
        try:
            manifest = write(final)
        except BaseException as error:  # DCP's own exception is a BaseException
            cause = root_cause(error)
            before = published_checkpoints(self._output_dir)
            kept = f"the last complete one is {before[-1].name}" if before else "there is no earlier one"
            raise CheckpointError(
                f"checkpoint of step {snapshot.progress.step} could not be written, {kept}: {describe(cause)}"
            ) from error
        if manifest is not None:
            self._announce(snapshot, f"{_DIRECTORY}/{final.name}", manifest)
            self._prune(snapshot.progress)

    def _announce(self, snapshot: Snapshot, directory: str, manifest: Manifest) -> None:
        self._events.emit(
            CheckpointEvent,
            step=snapshot.progress.step,
            directory=directory,
            manifest=manifest,
            metrics={key: metric_value(value) for key, value in snapshot.metrics.items()},
            is_best=snapshot.is_best,
            part=self._gang.part if self._gang else 0,
            num_parts=self._gang.num_parts if self._gang else 1,
        )

    def _prune(self, progress: Progress) -> None:
        checkpoints = published_checkpoints(self._output_dir)
        for path in checkpoints[: -self._spec.keep_last]:
            if self._spec.keep_best and step_of(path) == progress.best_step:
                continue
            (path / MANIFEST_NAME).unlink()  # first: a removal that is cut short leaves no checkpoint
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _full_disk_named(directory: Path) -> Iterator[None]:
    """Raise the errno of a full disk for torch's writer, which says only that a position is unexpected."""
    try:
        yield
    except BaseException as error:  # DCP's own exception is a BaseException
        disk = os.statvfs(directory)
        if disk.f_bavail * disk.f_frsize < _FULL_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(directory)) from error
        raise


def _write_alone(final: Path, snapshot: Snapshot) -> Manifest:
    def write(directory: Path) -> None:
        writer = FileSystemWriter(directory, single_file_per_rank=True, thread_count=1)
        with _full_disk_named(directory):
            save(dict(snapshot.tensors), storage_writer=writer, no_dist=True)
        _write_progress(directory, snapshot)

    return publish(final, write)


def _publish_part(final: Path, temporary: Path, snapshot: Snapshot, gang: Gang) -> Manifest:
    if gang.env.rank == 0:  # like the metadata, which DCP's coordinator has written: once for all parts
        _write_progress(temporary, snapshot)
    return publish_written(final, temporary)


def _write_progress(directory: Path, snapshot: Snapshot) -> None:
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
    """Copy the checkpoint's values into ``tensors``, in place; of DTensors each rank reads what is its own.

    What only some strategies have (``OPTIONAL``) is left as it is where the checkpoint was written without it.

    Raises:
        UserError: the checkpoint is of another model, or a part of it is not here.
    """
    stored = FileSystemReader(checkpoint).read_metadata().state_dict_metadata
    wanted = {name: tensor for name, tensor in tensors.items() if name in stored or not name.startswith(OPTIONAL)}
    for name, tensor in wanted.items():
        size = getattr(stored.get(name), "size", None)
        if size != tensor.shape:
            raise UserError(
                f"{checkpoint.name} does not fit this model: {name} has shape {tuple(tensor.shape)}, "
                f"the checkpoint has {tuple(size) if size is not None else 'none'}"
            )
    try:
        load(dict(wanted), storage_reader=FileSystemReader(checkpoint), no_dist=True)
    except BaseException as error:  # DCP's own exception is a BaseException
        cause = root_cause(error)
        if isinstance(cause, FileNotFoundError) and cause.filename:
            name = Path(cause.filename).name
            raise UserError(f"{checkpoint} lacks {name}: gather the parts of all nodes in one directory") from error
        raise

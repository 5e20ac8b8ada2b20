"""What a job's handler is given: where it may write, who it is, and how it is told to stop."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch.distributed.distributed_c10d import Store

from workers.runtime.control import StopWatch
from workers.runtime.environment import RankEnvironment
from workers.runtime.events import EventWriter
from workers.runtime.pulse import PulseWriter


@dataclass(frozen=True)
class RunPaths:
    """Directories of the run, all on this node."""

    output: Path
    cache: Path
    dataset: Path | None
    dataset_digest: str | None
    model: Path | None
    reference: Path | None
    resume_from: Path | None


@dataclass(frozen=True)
class RankContext:
    """One rank's surroundings."""

    env: RankEnvironment
    device: torch.device
    paths: RunPaths
    events: EventWriter
    pulse: PulseWriter
    stop: StopWatch
    store: Store | None
    """Where the ranks leave each other notes; None when there is only one."""

    @property
    def is_main(self) -> bool:
        """True on the rank that speaks for the gang."""
        return self.env.rank == 0

    def phase(self, name: str, progress: float | None = None) -> None:
        """Emit a phase event, on rank 0 only."""
        if self.is_main:
            self.events.phase(name, progress)


@dataclass(frozen=True)
class JobEnd:
    """How a handler ended when it did not fail."""

    step: int
    stopped: bool = False

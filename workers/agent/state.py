"""What the agent must remember of an allocation across its own death."""

import json
import logging
import threading
import time
from pathlib import Path
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field, ValidationError

from workers.agent.atomic import write_atomically
from workers.agent.processes import ProcessRecord
from workers.contract.node_api import LaunchOrder

log = logging.getLogger(__name__)

Phase = Literal["claimed", "running", "ended"]


class AllocationState(BaseModel):
    """One allocation's record on disk."""

    allocation_id: UUID
    fence: int
    boot_id: str
    phase: Phase = "claimed"
    order: LaunchOrder | None = None
    processes: tuple[ProcessRecord, ...] = ()
    metric_marks: dict[int, int] = Field(default_factory=dict)
    """Rank to the number of the first event whose metrics are not acknowledged."""
    log_marks: dict[str, int] = Field(default_factory=dict)
    """``<rank>.<stream>`` to the first byte that is not acknowledged."""
    reported: dict[str, int] = Field(default_factory=dict)
    """``<lane>.<rank>`` to the number of the first event that is not reported."""


class StateFile:
    """The record, and when it is written: at once for what matters, now and then for marks.

    A mark on disk may be old: the server's mark corrects it. Safe to use from several threads.
    """

    def __init__(self, path: Path, state: AllocationState, *, save_every_s: float) -> None:
        self.state = state
        self._path = path
        self._save_every_s = save_every_s
        self._saved = 0.0
        self._lock = threading.Lock()

    def save(self) -> None:
        """Write the record so that it survives a loss of power."""
        with self._lock:
            self._write(is_durable=True)

    def set_mark(self, marks: dict[str, int], key: str, value: int) -> None:
        """Move one of the record's marks."""
        with self._lock:
            marks[key] = value
            self._save_sometimes()

    def set_metric_mark(self, rank: int, value: int) -> None:
        """Move the mark of a rank's metrics."""
        with self._lock:
            self.state.metric_marks[rank] = value
            self._save_sometimes()

    def _save_sometimes(self) -> None:
        if time.monotonic() - self._saved >= self._save_every_s:
            self._write(is_durable=False)

    def _write(self, *, is_durable: bool) -> None:
        self._saved = time.monotonic()
        try:
            write_atomically(self._path, self.state.model_dump_json(), is_durable=is_durable)
        except OSError as error:
            # A full disk must not stop the words of the run that filled it: without the record an agent that
            # dies now repeats more, and the ranks still die with their fork server.
            log.warning("cannot write %s: %s", self._path, error)


def read_state(path: Path) -> AllocationState | None:
    """Read a record; None when there is none that can be understood."""
    try:
        return AllocationState.model_validate(json.loads(path.read_bytes()))
    except (OSError, ValueError, ValidationError):
        return None

"""A running script's line to the control plane: metrics, progress, checkpoints, results, and the wish to stop.

Everything goes through files in the folder that ``COX_RUN_DIR`` names (``workers/contract/run.py`` describes them); the
node's agent reads and writes their other side. Standard library only.
"""

import os
import signal
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any, SupportsFloat

from coxswain.run_files import EventFile, latest_checkpoint, metric_value, publish, step_of, wants_stop
from coxswain.run_stop import StopAgreement

_KEEP_LOCAL = 2
_MAX_KEY = 255


class Run:
    """One rank of a script. Make it with ``coxswain.init``."""

    def __init__(self, environ: Mapping[str, str], *, total_steps: int | None = None) -> None:
        self.rank = int(environ.get("RANK", "0"))
        self.local_rank = int(environ.get("LOCAL_RANK", "0"))
        self.world_size = int(environ.get("WORLD_SIZE", "1"))
        self.total_steps = total_steps
        folder = environ.get("COX_RUN_DIR")
        self._folder = Path(folder) if folder else None
        self._events = EventFile(self._folder, int(environ.get("COX_RANK", self.rank))) if self._folder else None
        self._output = Path(environ.get("COX_OUTPUT", "output"))
        self._resume_from, self._resume_step = self._find_resume(environ)
        self._has_resumed = False
        self._signalled = threading.Event()
        self._agreement = StopAgreement()
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self._on_signal)

    @property
    def is_connected(self) -> bool:
        """Whether a control plane started this script."""
        return self._events is not None

    @property
    def output(self) -> Path:
        """The folder whose files become artifacts of the job when the script ends; ``./output`` by hand."""
        self._output.mkdir(parents=True, exist_ok=True)
        return self._output

    @property
    def resume_from(self) -> Path | None:
        """The newest checkpoint to go on from: a directory as it was given to ``checkpoint``; None at the beginning.

        Reading it says that the script goes on from there: curves of earlier attempts are cut at its step.
        """
        if self._resume_from is not None and not self._has_resumed and self.rank == 0:
            self._has_resumed = True
            self._emit("resumed", step=self._resume_step)
        return self._resume_from

    @property
    def resume_step(self) -> int:
        """The step of the checkpoint in ``resume_from``; 0 without one."""
        return self._resume_step

    def log(self, values: Mapping[str, SupportsFloat], *, step: int) -> None:
        """Report metrics of one step, on any rank. Steps that this attempt has reported before are left out.

        Raises:
            TypeError: a value is no number.
            ValueError: a name is empty or longer than 255 characters.
        """
        numbers = {_checked(key): _number(key, value) for key, value in values.items()}
        if self._events is None:
            if self.rank == 0:
                self._print(f"step {step}: " + ", ".join(f"{key} {value:.6g}" for key, value in numbers.items()))
            return
        if step > self._events.last_step:  # restarted in place by torchrun, it passes these steps again
            self._emit("metrics", step=int(step), values={key: metric_value(value) for key, value in numbers.items()})
        if self.total_steps is not None:
            self.progress(step, self.total_steps)

    def progress(self, step: int, total_steps: int) -> None:
        """Tell how far the script is; rank 0 speaks for all."""
        if self.rank == 0:
            self._emit("progress", step=int(step), total_steps=int(total_steps))

    def phase(self, name: str, progress: float | None = None) -> None:
        """Tell which long sub-step this is, and how far it is, in [0, 1]; rank 0 speaks for all."""
        if self.rank == 0:
            share = None if progress is None else min(1.0, max(0.0, float(progress)))
            self._emit("phase", name=str(name), progress=share)

    def checkpoint(
        self,
        directory: str | os.PathLike[str],
        *,
        step: int,
        metrics: Mapping[str, SupportsFloat] | None = None,
        is_best: bool = False,
    ) -> None:
        """Hand over a directory as the checkpoint of ``step``. It is copied, so the script may reuse it at once.

        Call it where every rank has written its part; the calls of other ranks than 0 do nothing. The next attempt
        finds it in ``resume_from``, and so does this one restarted by torchrun, if it runs on one node.

        Raises:
            ValueError: it is no directory, is empty, or holds something else than files and folders.
        """
        if self.rank != 0:
            return
        if self._folder is None:
            self._print(f"step {step}: checkpoint in {os.fspath(directory)}")
            return
        name, manifest = publish(self._folder, Path(directory), step=int(step), keep=_KEEP_LOCAL)
        numbers = {_checked(key): metric_value(_number(key, value)) for key, value in (metrics or {}).items()}
        self._emit(
            "checkpoint", step=int(step), directory=name, manifest=manifest, metrics=numbers, is_best=bool(is_best)
        )

    def should_stop(self) -> bool:
        """Tell whether to save and end now. Call it once a step, on every rank.

        Ranks of a torch process group all get the same answer at the same call; others hear of it for themselves.
        """
        return self._agreement.decide(wished=self._signalled.is_set() or wants_stop(self._folder))

    def _find_resume(self, environ: Mapping[str, str]) -> tuple[Path | None, int]:
        # Over several nodes only one of them has what was saved since; all ranks must go on from the same step.
        is_on_one_node = self.world_size <= int(environ.get("LOCAL_WORLD_SIZE", self.world_size))
        newest = latest_checkpoint(self._folder) if self._folder is not None and is_on_one_node else None
        if newest is not None:  # torchrun restarted the ranks: what was saved since counts
            return newest, step_of(newest)
        given = environ.get("COX_RESUME_FROM")
        return (Path(given), int(environ.get("COX_RESUME_STEP", "0"))) if given else (None, 0)

    def _emit(self, kind: str, **fields: Any) -> None:
        if self._events is not None:
            self._events.append(kind, fields)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._signalled.set()

    @staticmethod
    def _print(text: str) -> None:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


_run: list[Run] = []


def init(*, total_steps: int | None = None) -> Run:
    """Return this process' run, made on the first call. From then on SIGTERM means that ``should_stop`` is true."""
    if not _run:
        _run.append(Run(os.environ, total_steps=total_steps))
    elif total_steps is not None:
        _run[0].total_steps = total_steps
    return _run[0]


def _checked(key: str) -> str:
    if not 0 < len(key) <= _MAX_KEY:
        raise ValueError(f"a metric's name has 1 to {_MAX_KEY} characters, not {len(key)}")
    return key


def _number(key: str, value: SupportsFloat) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"metric {key!r} is no number: {value!r}") from None

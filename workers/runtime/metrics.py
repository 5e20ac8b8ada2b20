"""What a rank reports about its steps.

Rank 0 speaks for the gang (the loss is the mean over ranks); the others report only what differs from rank
to rank. Nothing here waits for the device except when a report or a check is due.
"""

import math
import sys

import torch

from workers.contract.training import TrainSpec
from workers.runtime.checkpoint import Progress
from workers.runtime.communication.synchroniser import Synchroniser
from workers.runtime.context import RankContext
from workers.runtime.device import memory_gib
from workers.runtime.events import ProgressEvent
from workers.runtime.mfu import peak_flops
from workers.runtime.schedule import learning_rate
from workers.runtime.timing import StepTimer
from workers.runtime.traffic import Traffic

_PER_RANK = ("step_time_s", "data_time_s", "comm_wait_s", "comm_bytes")
_NONE_BAD = -1
_SHOWN = {
    "loss": "loss {:.4f}",
    "val_loss": "validation loss {:.4f}",
    "val_perplexity": "perplexity {:.2f}",
    "learning_rate": "lr {:.2e}",
    "grad_norm": "grad norm {:.2f}",
    "tokens_per_s": "{:,.0f} tokens/s",
    "step_time_s": "{:.3f} s/step",
}


def format_line(step: int, steps: int, values: dict[str, float]) -> str:
    """Return one line for a person at a terminal."""
    shown = "  ".join(text.format(values[key]) for key, text in _SHOWN.items() if key in values)
    return f"step {step}/{steps}  {shown}\n"


class StepReport:
    """Keeps the last step's numbers on the device until they are wanted."""

    def __init__(
        self, spec: TrainSpec, context: RankContext, *, flops_per_token: float, data_size: int, dtype: torch.dtype
    ) -> None:
        """``data_size`` ranks work on samples of their own, the others help them."""
        self._spec = spec
        self._context = context
        self._flops = flops_per_token
        self._data_size = data_size
        self._peak = peak_flops(context.device, dtype, context.paths.cache)
        self._loss = torch.zeros((), device=context.device)
        self._grad_norm = torch.zeros((), device=context.device)
        self._first_bad = torch.full((), _NONE_BAD, dtype=torch.int64, device=context.device)
        self.loss = math.nan
        """The gang's loss when it was last known, in nats per token."""
        self.owes_loss = False
        """True when the last report had to do without the gang's loss, because the ranks were training alone."""

    def add(self, step: int, loss: torch.Tensor, grad_norm: torch.Tensor) -> None:
        """Take over a step's loss and gradient norm, both scalars on the device.

        The norm is of the averaged gradients, so a loss that is not finite on any rank shows on all.
        """
        self._loss, self._grad_norm = loss, grad_norm
        is_first_bad = ~torch.isfinite(grad_norm) & (self._first_bad == _NONE_BAD)
        self._first_bad = torch.where(is_first_bad, step, self._first_bad)

    def first_bad_step(self) -> int | None:
        """Return the first step whose gradient was not finite; the same on every rank. Waits for the device."""
        step = int(self._first_bad)
        return None if step == _NONE_BAD else step

    def emit(self, progress: Progress, synchroniser: Synchroniser, timer: StepTimer, traffic: Traffic) -> None:
        """Write this rank's metrics of the step, and on rank 0 the progress and a line. A collective."""
        world_size = self._context.env.world_size
        local_loss = float(self._loss)
        mean_loss = synchroniser.mean_loss(progress.step, self._loss)
        self.owes_loss = mean_loss is None
        known = {} if mean_loss is None else {"loss": mean_loss}
        self.loss = known.get("loss", self.loss)
        times = timer.report() | synchroniser.metrics() | {"comm_bytes": traffic.take_bytes_per_step()}
        values = {key: times[key] for key in _PER_RANK if key in times}
        values["memory_gib"] = memory_gib(self._context.device)
        if world_size > 1:
            values["loss_local"] = local_loss
        if self._context.is_main:
            rate = {"learning_rate": learning_rate(self._spec, progress.step)}
            values = known | rate | self._speed(times) | times | values
            values |= {"grad_norm": float(self._grad_norm), "tokens": float(progress.tokens)}
        self._context.events.metrics(progress.step, values)
        if self._context.is_main:
            self._context.events.emit(ProgressEvent, step=progress.step, total_steps=self._spec.steps)
            sys.stdout.write(format_line(progress.step, self._spec.steps, values))
            sys.stdout.flush()

    def _speed(self, times: dict[str, float]) -> dict[str, float]:
        spec = self._spec
        own_tokens = spec.micro_batch_size * spec.gradient_accumulation * spec.data.context_length
        speed = {"tokens_per_s": own_tokens * self._data_size / times["step_time_s"]}
        if self._peak is not None:
            per_rank = speed["tokens_per_s"] / self._context.env.world_size
            speed["mfu_pct"] = 100 * per_rank * self._flops / self._peak
        return speed

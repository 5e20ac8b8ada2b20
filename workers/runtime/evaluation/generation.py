"""How fast a model generates: the prompt's pass (prefill), the first token, and one token after another (decoding).

The same random prompts for every version of one vocabulary; greedy decoding with a KV cache. Shapes:
B = sequences at once, P = tokens of the prompt.
"""

import inspect
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from workers.contract.evaluation.metrics import METRICS
from workers.contract.evaluation.result import Measurement
from workers.contract.evaluation.spec import GenerationTiming
from workers.runtime.evaluation.scoring import Arithmetic
from workers.runtime.model import embedding_rows


@dataclass(frozen=True)
class Round:
    """Times of one round, in seconds."""

    prefill_s: float
    first_token_s: float
    """From the prompt to the first token."""
    decode_s: float
    """For all tokens after the first."""


@dataclass(frozen=True)
class Speed:
    """Figures of one batch size."""

    batch: int
    rounds: tuple[Round, ...]
    timing: GenerationTiming

    def measurements(self, dtype: str) -> list[Measurement]:
        """Return the medians and interquartile ranges."""
        prompt, decoded = self.batch * self.timing.prompt_tokens, self.batch * (self.timing.new_tokens - 1)
        series = {
            f"prefill_tokens_per_s_batch{self.batch}": [prompt / each.prefill_s for each in self.rounds],
            f"decode_tokens_per_s_batch{self.batch}": [decoded / each.decode_s for each in self.rounds],
            f"time_to_first_token_s_batch{self.batch}": [each.first_token_s for each in self.rounds],
        }
        return [
            Measurement(
                metric=metric,
                unit=METRICS[metric].unit,
                value=statistics.median(values),
                spread=_interquartile_range(values),
                num_values=len(values),
                dtype=dtype,
            )
            for metric, values in series.items()
        ]


def prompts_of(model: PreTrainedModel, timing: GenerationTiming, *, batch: int, seed: int) -> torch.Tensor:
    """Draw prompts, int64 of shape (B, P); the first rows are those of a smaller batch."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(embedding_rows(model), (batch, timing.prompt_tokens), generator=generator)


@torch.inference_mode()
def time_rounds(
    model: PreTrainedModel,
    prompts_BP: torch.Tensor,
    timing: GenerationTiming,
    arithmetic: Arithmetic,
    before_round: Callable[[], None],
) -> Iterator[Round]:
    """Generate ``repeats`` times after the warm-up; yields each round's times. ``before_round`` may raise to end it."""
    prompts_BP = prompts_BP.to(model.device)
    for number in range(timing.warmup + timing.repeats):
        before_round()
        with arithmetic():
            found = _one_round(model, prompts_BP, timing.new_tokens)
        if number >= timing.warmup:
            yield found


def _one_round(model: PreTrainedModel, prompts_BP: torch.Tensor, new_tokens: int) -> Round:
    forward: Callable[..., object] = model.forward
    last_only = {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(forward).parameters else {}
    clock = _Clock(model.device)
    outputs = model(input_ids=prompts_BP, use_cache=True, **last_only)
    prefill_s = clock.read()
    tokens_B1 = outputs.logits[:, -1:].argmax(-1)
    first_token_s = clock.read()
    for _ in range(new_tokens - 1):
        outputs = model(input_ids=tokens_B1, past_key_values=outputs.past_key_values, use_cache=True)
        tokens_B1 = outputs.logits[:, -1:].argmax(-1)
    return Round(prefill_s, first_token_s, clock.read() - first_token_s)


class _Clock:
    """Seconds since it was made, of work that the device has finished."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._began_s = self._now()

    def read(self) -> float:
        return self._now() - self._began_s

    def _now(self) -> float:
        if self._device.type != "cpu":
            torch.accelerator.synchronize(self._device)
        return time.perf_counter()


def _interquartile_range(values: list[float]) -> float | None:
    if len(values) < 2:
        return None
    first, _, third = statistics.quantiles(values, n=4, method="inclusive")
    return third - first

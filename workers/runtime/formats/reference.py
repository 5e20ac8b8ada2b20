"""The original that an export is compared with, on random tokens of several shapes.

Shapes: B = batch, C = length, V = vocabulary.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from transformers import PreTrainedModel

from workers.contract.export import OutputCheck
from workers.runtime.errors import UserError
from workers.runtime.model import embedding_rows

Tokens = npt.NDArray[np.int64]
Logits = npt.NDArray[np.float32]
LogitsOf = Callable[[Tokens], Logits]
"""Tokens (B, C) to logits (B, C, V): the export, loaded again."""

_SHAPES = ((1, 7), (3, 32), (8, 64))  # none is the one a graph is traced with
_UNBOUNDED = 1 << 20


@dataclass(frozen=True)
class Requirement:
    """What every check must meet: a bound on the largest error, or a least agreement."""

    max_error: float | None = None
    min_agreement: float | None = None

    def __str__(self) -> str:
        if self.max_error is not None:
            return f"max_error at most {self.max_error:g}"
        return f"top1_agreement at least {self.min_agreement:g}"

    def is_met_by(self, check: OutputCheck) -> bool:
        """Tell whether one check is good enough; one that is not a number is not."""
        if self.max_error is not None:
            return check.max_error <= self.max_error
        return self.min_agreement is not None and check.top1_agreement >= self.min_agreement


def compare(model: PreTrainedModel, logits_of: LogitsOf, *, seed: int) -> tuple[OutputCheck, ...]:
    """Run both on random tokens, in shapes up to the model's longest context."""
    longest = longest_context(model)
    random = np.random.default_rng(seed)
    rows = embedding_rows(model)
    checks = []
    for batch, length in _SHAPES:
        tokens_BC = random.integers(0, rows, (batch, min(length, longest)), dtype=np.int64)
        checks.append(_check(torch_logits(model, tokens_BC), logits_of(tokens_BC), tokens_BC))
    return tuple(checks)


def longest_context(model: PreTrainedModel) -> int:
    """Return the most tokens that the model takes at once."""
    return int(getattr(model.config, "max_position_embeddings", None) or _UNBOUNDED)


def require(requirement: Requirement, checks: tuple[OutputCheck, ...], what: str) -> None:
    """Refuse an export that is not near enough to the original.

    Raises:
        UserError: with the figures.
    """
    bad = [check for check in checks if not requirement.is_met_by(check)]
    if bad:
        figures = bad[0].model_dump(exclude_none=True)
        raise UserError(
            f"{what} differs too much from the version and was dropped: wanted {requirement}, got {figures}"
        )


@torch.inference_mode()
def torch_logits(model: PreTrainedModel, tokens_BC: Tokens) -> Logits:
    """Return the model's logits in fp32."""
    module: nn.Module = model
    logits: torch.Tensor = module(input_ids=torch.from_numpy(tokens_BC).to(model.device), use_cache=False).logits
    array: Logits = logits.float().cpu().numpy()
    return array


def _check(wanted_BCV: Logits, got_BCV: Logits, tokens_BC: Tokens) -> OutputCheck:
    if got_BCV.shape != wanted_BCV.shape:
        raise UserError(f"the export gives logits of shape {got_BCV.shape} instead of {wanted_BCV.shape}")
    scale = float(np.abs(wanted_BCV).max()) or 1.0
    error_BCV = np.abs(got_BCV - wanted_BCV) / scale
    return OutputCheck(
        batch=tokens_BC.shape[0],
        length=tokens_BC.shape[1],
        max_error=_finite(error_BCV.max()),
        mean_error=_finite(error_BCV.mean()),
        top1_agreement=float((got_BCV.argmax(-1) == wanted_BCV.argmax(-1)).mean()),
    )


def _finite(value: np.floating) -> float:  # the contract has no number for infinity
    return float(value) if np.isfinite(value) else float(np.finfo(np.float32).max)

"""The catalogue of metrics: what each means, in which unit, and which way is better.

Gates and comparisons know metrics from here alone, so a rule can only be about what some job computes.
"""

from dataclasses import dataclass
from enum import StrEnum

GENERATION_BATCHES = (1, 8)
"""Sequences that are generated at once when speed is measured: one user, and a small batch of them."""


class Measure(StrEnum):
    """What an evaluation does; each gives one or more metrics."""

    PERPLEXITY = "perplexity"
    AGREEMENT = "agreement"  # against the reference
    EMBEDDING = "embedding"  # of an encoder, against the reference
    GENERATION = "generation"  # speed, and memory while generating
    SIZE = "size"


class Aspect(StrEnum):
    """What a metric is about: a version is bought with one of them for another."""

    QUALITY = "quality"
    SPEED = "speed"
    SIZE = "size"


@dataclass(frozen=True)
class Metric:
    """One figure of a version."""

    title: str
    unit: str
    """Empty for a plain number."""
    measure: Measure
    aspect: Aspect
    higher_is_better: bool

    @property
    def needs_dataset(self) -> bool:
        """Tell whether the figure is of a dataset version."""
        return self.measure in NEED_DATASET

    @property
    def needs_reference(self) -> bool:
        """Tell whether the figure compares with another version."""
        return self.measure in NEED_REFERENCE

    @property
    def depends_on_hardware(self) -> bool:
        """Tell whether two values are comparable on the same hardware only."""
        return self.measure is Measure.GENERATION


NEED_DATASET = frozenset({Measure.PERPLEXITY, Measure.AGREEMENT, Measure.EMBEDDING})
NEED_REFERENCE = frozenset({Measure.AGREEMENT, Measure.EMBEDDING})


def _quality(title: str, unit: str, measure: Measure, *, higher_is_better: bool) -> Metric:
    return Metric(title, unit, measure, Aspect.QUALITY, higher_is_better)


def _speed(title: str, unit: str, batch: int, *, higher_is_better: bool) -> Metric:
    return Metric(f"{title}, batch {batch}", unit, Measure.GENERATION, Aspect.SPEED, higher_is_better)


def _generation_metrics() -> dict[str, Metric]:
    found = {}
    for batch in GENERATION_BATCHES:
        found[f"prefill_tokens_per_s_batch{batch}"] = _speed("Prefill", "tokens/s", batch, higher_is_better=True)
        found[f"decode_tokens_per_s_batch{batch}"] = _speed("Decoding", "tokens/s", batch, higher_is_better=True)
        found[f"time_to_first_token_s_batch{batch}"] = _speed("First token", "s", batch, higher_is_better=False)
    return found


METRICS: dict[str, Metric] = {
    "perplexity": _quality("Perplexity", "", Measure.PERPLEXITY, higher_is_better=False),
    "top1_agreement": _quality("Top-1 agreement", "", Measure.AGREEMENT, higher_is_better=True),
    "kl_divergence": _quality("KL divergence", "nats/token", Measure.AGREEMENT, higher_is_better=False),
    "embedding_cosine": _quality("Embedding cosine", "", Measure.EMBEDDING, higher_is_better=True),
    **_generation_metrics(),
    "peak_memory_bytes": Metric("Peak memory", "bytes", Measure.GENERATION, Aspect.SIZE, higher_is_better=False),
    "size_on_disk_bytes": Metric("Size on disk", "bytes", Measure.SIZE, Aspect.SIZE, higher_is_better=False),
    "size_in_memory_bytes": Metric("Size in memory", "bytes", Measure.SIZE, Aspect.SIZE, higher_is_better=False),
}
"""By key, in the order in which tables show them."""

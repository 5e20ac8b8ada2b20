"""What of an evaluation a model can take, told from its configuration before anything is started."""

from collections.abc import Mapping
from typing import Any

from workers.contract.evaluation.metrics import NEED_DATASET, NEED_REFERENCE, Measure
from workers.contract.evaluation.spec import EvaluateSpec

_ENCODERS = ("Model", "ForMaskedLM", "ForSequenceClassification")
Config = Mapping[str, Any]  # config.json as it is stored: its shape is the model's own


def is_encoder(config: Config) -> bool:
    """Tell whether a model gives embeddings of texts and predicts no next token (BERT and its like)."""
    architectures = [name for name in config.get("architectures") or () if isinstance(name, str)]
    return any(name.endswith(_ENCODERS) and "LMHead" not in name for name in architectures)


def measures_of(spec: EvaluateSpec, config: Config, *, has_reference: bool) -> tuple[Measure, ...]:
    """Return what a spec measures of a model with this ``config.json``, in the catalogue's order."""
    possible = {Measure.SIZE, Measure.EMBEDDING} if is_encoder(config) else set(Measure) - {Measure.EMBEDDING}
    if spec.dataset is None:
        possible -= NEED_DATASET
    if not has_reference:
        possible -= NEED_REFERENCE
    wanted = set(spec.measure) or possible
    return tuple(measure for measure in Measure if measure in wanted)


def find_misfits(spec: EvaluateSpec, config: Config, *, has_reference: bool) -> dict[str, str]:
    """Say what cannot work on a model with this ``config.json``: message by the path of the field."""
    found: dict[str, str] = {}
    if not has_reference and (needy := [measure for measure in spec.measure if measure in NEED_REFERENCE]):
        found["reference"] = f"{needy[0]} compares with another version, and this was made from none: name one"
    for measure in spec.measure:
        if (measure is Measure.EMBEDDING) != is_encoder(config) and measure is not Measure.SIZE:
            kind = "an encoder" if is_encoder(config) else "no encoder"
            found["measure"] = f"{measure} cannot be measured: the model is {kind}"
    longest = config.get("max_position_embeddings")
    if not isinstance(longest, int):
        return found
    chosen = measures_of(spec, config, has_reference=has_reference)
    if NEED_DATASET & set(chosen) and spec.length > longest:
        found["length"] = f"{spec.length} exceeds the model's {longest} positions"
    timing = spec.generation
    if Measure.GENERATION in chosen and timing.prompt_tokens + timing.new_tokens > longest:
        found["generation.prompt_tokens"] = (
            f"{timing.prompt_tokens} and {timing.new_tokens} new tokens exceed the model's {longest} positions"
        )
    return found

"""The evaluate spec and the catalogue of metrics: what goes together, and what a model can take."""

from typing import Any

import pytest
from pydantic import ValidationError

from workers.contract.evaluation.fit import find_misfits, is_encoder, measures_of
from workers.contract.evaluation.metrics import METRICS, Measure
from workers.contract.evaluation.spec import EvaluateSpec, protocol_of

DECODER = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "max_position_embeddings": 512}
ENCODER = {"model_type": "bert", "architectures": ["BertModel"], "max_position_embeddings": 512}


def _spec(**fields: Any) -> EvaluateSpec:
    return EvaluateSpec.model_validate({"model": "tiny_v1", "dataset": "text"} | fields)


def test_every_metric_has_a_title_of_its_own_and_every_measure_gives_one() -> None:
    assert len({metric.title for metric in METRICS.values()}) == len(METRICS)
    assert {metric.measure for metric in METRICS.values()} == set(Measure)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (DECODER, False),
        (ENCODER, True),
        ({"architectures": ["BertForMaskedLM"]}, True),
        ({"architectures": ["GPT2LMHeadModel"]}, False),
        ({"architectures": ["T5ForConditionalGeneration"]}, False),
        ({}, False),
    ],
)
def test_encoders_are_told_by_their_architecture(config: dict[str, Any], expected: bool) -> None:
    assert is_encoder(config) is expected


@pytest.mark.parametrize(
    ("fields", "config", "has_reference", "expected"),
    [
        ({}, DECODER, True, ["perplexity", "agreement", "generation", "size"]),
        ({}, DECODER, False, ["perplexity", "generation", "size"]),
        ({"dataset": None}, DECODER, True, ["generation", "size"]),
        ({}, ENCODER, True, ["embedding", "size"]),
        ({"measure": ["size", "perplexity"]}, DECODER, True, ["perplexity", "size"]),
    ],
)
def test_nothing_named_means_all_that_is_possible(
    fields: dict[str, Any], config: dict[str, Any], has_reference: bool, expected: list[str]
) -> None:
    assert list(measures_of(_spec(**fields), config, has_reference=has_reference)) == expected


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dataset": None, "measure": ["agreement"]}, "agreement needs a dataset"),
        ({"dataset": None, "reference": "base_v1"}, "needs a dataset"),
        ({"reference": "base_v1", "measure": ["size"]}, "nothing in measure compares with it"),
        ({"measure": ["size", "size"]}, "name each once"),
        ({"measure": ["charm"]}, "Input should be"),
        ({"generation": {"new_tokens": 1}}, "greater than or equal to 2"),
    ],
)
def test_what_does_not_go_together_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        _spec(**fields)


def test_only_what_is_measured_must_fit_the_model() -> None:
    long = {"length": 1024, "generation": {"prompt_tokens": 512}}
    assert set(find_misfits(_spec(**long), DECODER, has_reference=False)) == {"length", "generation.prompt_tokens"}
    assert find_misfits(_spec(**long, measure=["size"]), DECODER, has_reference=False) == {}
    assert set(find_misfits(_spec(measure=["agreement"]), DECODER, has_reference=False)) == {"reference"}


def test_protocol_holds_what_the_value_depends_on_and_nothing_else() -> None:
    usual = _spec()
    assert protocol_of(usual, "perplexity") != protocol_of(_spec(length=64), "perplexity")
    assert protocol_of(usual, "perplexity") == protocol_of(_spec(batch_size=1), "perplexity")
    speed = "decode_tokens_per_s_batch1"
    assert protocol_of(usual, speed) == protocol_of(_spec(length=64, generation={"repeats": 9}), speed)
    assert protocol_of(usual, speed) != protocol_of(_spec(generation={"new_tokens": 9}), speed)
    assert protocol_of(usual, "size_on_disk_bytes") == {}

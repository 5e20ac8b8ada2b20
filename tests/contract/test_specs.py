"""What specs accept and refuse, and how a refusal names the field."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from workers.contract.jobs import JOB_KINDS, JOB_SPEC_ADAPTER, Resources
from workers.contract.manifest import is_safe_path
from workers.contract.upgrades import load_spec

SMALLEST_TRAIN = {"kind": "train", "data": {"dataset": "corpus"}}


def refusal(document: object) -> tuple[str, str]:
    """Return path and message of the first error."""
    with pytest.raises(ValidationError) as caught:
        JOB_SPEC_ADAPTER.validate_python(document)
    first = caught.value.errors()[0]
    return ".".join(str(part) for part in first["loc"]), first["msg"]


def test_smallest_train_spec_is_complete_by_defaults() -> None:
    spec = load_spec(dict(SMALLEST_TRAIN))
    assert load_spec(spec.model_dump(mode="json")) == spec


@pytest.mark.parametrize("kind", sorted(JOB_KINDS))
def test_kinds_name_themselves(kind: str) -> None:
    assert JOB_KINDS[kind].model_fields["kind"].default == kind


@pytest.mark.parametrize("kind", sorted(JOB_KINDS))
def test_every_spec_field_has_a_title_for_the_form(kind: str) -> None:
    for name, field in JOB_KINDS[kind].model_fields.items():
        assert name in {"kind", "version"} or field.title, f"{kind}.{name} has no title"


@pytest.mark.parametrize("kind", sorted(JOB_KINDS))
def test_every_value_a_person_fills_in_is_explained(kind: str) -> None:
    """At any depth; what only groups others is explained by its own schema, a constant by nothing."""
    schema = JOB_KINDS[kind].model_json_schema()
    parts = {kind: schema} | schema.get("$defs", {})
    silent = [
        f"{part}.{name}"
        for part, described in parts.items()
        for name, value in described.get("properties", {}).items()
        if not {"const", "$ref", "oneOf"} & set(value) and name not in {"version"}
        and not (value.get("title") and value.get("description"))
    ]  # fmt: skip
    assert silent == []


@pytest.mark.parametrize("kind", sorted(JOB_KINDS))
def test_specs_stay_within_their_budget_of_fields(kind: str) -> None:
    budgets = {"train": 18}  # kind and version come on top; why it is one more: tests/architecture/test_budgets.py
    assert len(JOB_KINDS[kind].model_fields) <= budgets.get(kind, 15)


def test_unknown_kind_is_refused_with_the_known_ones() -> None:
    _, message = refusal({"kind": "dance"})
    assert "train" in message
    assert "generate" in message


def test_unknown_key_is_refused_by_path() -> None:
    path, _ = refusal({**SMALLEST_TRAIN, "data": {"dataset": "corpus", "colour": 1}})
    assert path == "train.data.colour"


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"steps": 0}, "train.steps"),
        ({"steps": "many"}, "train.steps"),
        ({"optimizer": {"learning_rate": -1.0}}, "train.optimizer.learning_rate"),
        ({"optimizer": {"learning_rate": float("nan")}}, "train.optimizer.learning_rate"),
        ({"model": {"source": "config", "num_layers": 0}}, "train.model.config.num_layers"),
        ({"tokenizer": {"source": "bpe", "vocab_size": 3}}, "train.tokenizer.bpe.vocab_size"),
        ({"output_model": "../x"}, "train.output_model"),
    ],
)
def test_value_out_of_range_is_refused_by_path(change: dict[str, object], path: str) -> None:
    assert refusal({**SMALLEST_TRAIN, **change})[0] == path


def test_heads_must_divide_the_width() -> None:
    _, message = refusal({**SMALLEST_TRAIN, "model": {"source": "config", "hidden_size": 100, "num_heads": 6}})
    assert "hidden_size=100" in message
    assert "num_heads=6" in message


def test_tokenizer_of_a_model_needs_a_model() -> None:
    _, message = refusal({**SMALLEST_TRAIN, "tokenizer": {"source": "model"}})
    assert "pretrained" in message


def test_world_size_counts_slots_of_all_nodes() -> None:
    assert Resources(nodes=3, slots_per_node=4).world_size == 12


@pytest.mark.parametrize("path", ["a", "a/b.txt", "weird name/ok", "..a", "a..", "uml\u00e4ut"])
def test_path_below_the_root_is_safe(path: str) -> None:
    assert is_safe_path(path)


@pytest.mark.parametrize(
    "path", ["", "/a", "../a", "a/../b", "a//b", "a/", ".", "a/.", "a\\b", "a\0b", "a\nb", "x" * 1025]
)
def test_path_that_leaves_the_root_is_not_safe(path: str) -> None:
    assert not is_safe_path(path)


@given(st.lists(st.sampled_from(["..", ".", "", "a", "b\\", "c\0", "d"]), max_size=6).map("/".join))
def test_safe_path_has_only_plain_segments(path: str) -> None:
    if is_safe_path(path):
        assert all(part in {"a", "d"} for part in path.split("/"))

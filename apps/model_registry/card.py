"""The model card that a version is born with: what it is, of what, how good, and how to load it.

Mitchell et al., Model Cards for Model Reporting, arXiv:1810.03993, cut down to what the control plane knows. What
only people know (intended use, limits) is left to them: cards can be edited.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_MAX_ROWS = 60
_MADE_BY = {"compress": "Compression"}


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What the card speaks of. ``config`` and ``metrics`` are JSON objects."""

    name: str
    num_parameters: int
    size_bytes: int
    config: Mapping[str, Any]
    metrics: Mapping[str, Any]
    parent: str
    dataset: str
    dataset_statistics: Mapping[str, Any]
    created_by: str
    code_revision: str


def render_card(facts: CardFacts) -> str:
    """Return the card in Markdown."""
    sections = [
        f"# {_plain(facts.name)}\n\n{_summary(facts)}",
        "## Data\n\n" + _data(facts),
        f"## {_MADE_BY.get(str(facts.config.get('kind')), 'Training')}\n\n"
        + _table(("Setting", "Value"), _flatten(facts.config)),
        "## Metrics\n\n" + _table(("Metric", "Value"), _flatten(facts.metrics)),
        "## Lineage\n\n" + _lineage(facts),
        "## Use\n\n" + _use(facts.name),
    ]
    return "\n\n".join(sections) + "\n"


def human_count(count: int) -> str:
    """Return a number of parameters as people say it: 7.2M."""
    for limit, suffix in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if count >= limit:
            return f"{count / limit:.3g}{suffix}"
    return str(count)


def _summary(facts: CardFacts) -> str:
    kind = facts.config.get("kind")
    source = facts.config.get("model")
    origin = f"fine-tuned from `{_code(facts.parent)}`" if facts.parent else "trained from its configuration"
    if kind == "compress":
        origin = f"compressed from `{_code(facts.parent)}`"
    elif kind == "train" and isinstance(source, Mapping) and source.get("source") == "distilled":
        origin = f"distilled from `{_code(facts.parent)}`"
    elif kind != "train":
        origin = "imported"
    parameters = f"{human_count(facts.num_parameters)} parameters" if facts.num_parameters else "unknown size"
    return f"A causal language model with {parameters} ({facts.size_bytes / 2**20:.1f} MiB), {origin}."


def _data(facts: CardFacts) -> str:
    if not facts.dataset:
        return "Not recorded."
    known = facts.dataset_statistics
    lines = [f"Dataset version `{_code(facts.dataset)}`."]
    if known:
        lines.append(f"{known.get('documents', 0):,} documents with {known.get('characters', 0):,} characters.")
    return " ".join(lines)


def _lineage(facts: CardFacts) -> str:
    rows = [
        ("Parent version", facts.parent or "none"),
        ("Dataset version", facts.dataset or "none"),
        ("Code revision", facts.code_revision or "not recorded"),
        ("Made by", facts.created_by or "the system"),
    ]
    return _table(("", ""), rows)


def _use(name: str) -> str:
    return (
        f"```sh\ncox model download {name}\n```\n\n"
        "```python\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        f'model = AutoModelForCausalLM.from_pretrained("{name}")\n'
        f'tokenizer = AutoTokenizer.from_pretrained("{name}")\n```'
    )


def _table(head: tuple[str, str], rows: Sequence[tuple[str, str]]) -> str:
    if not rows:
        return "None recorded."
    lines = [f"| {head[0]} | {head[1]} |", "| --- | --- |"]
    lines += [f"| {_plain(key)} | {_plain(value)} |" for key, value in rows[:_MAX_ROWS]]
    return "\n".join(lines)


def _flatten(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in values.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping):
            rows += _flatten(value, f"{path}.")
        elif value is not None:
            rows.append((path, f"{value:.6g}" if isinstance(value, float) else str(value)))
    return rows


def _plain(text: str) -> str:
    """Escape what Markdown would read as markup, and keep it on one line."""
    return re.sub(r"([\\`*_{}\[\]<>|#!~])", r"\\\1", " ".join(text.split()))[:500]


def _code(text: str) -> str:
    return text.replace("`", "'")

"""Judging a version by its model's rules, and what must be measured before that is possible. Reads only."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from apps.datasets.models import DatasetVersion
from apps.lifecycle.models import Evaluation, Rule
from apps.lifecycle.state import Against
from apps.model_registry.models import ModelVersion
from workers.contract.evaluation.metrics import METRICS, Measure

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a rule says of a version; ``passed`` is None while it cannot be said."""

    rule: str
    metric: str
    against: str
    comparison: str
    """``at_least`` or ``at_most``."""
    bound: float | None
    value: float | None
    unit: str
    dataset_version: str | None
    evaluation: str | None
    passed: bool | None
    message: str

    @property
    def document(self) -> Document:
        """Return it as JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Wanted:
    """An evaluation that is missing."""

    version: ModelVersion
    measures: tuple[Measure, ...]
    dataset_version: DatasetVersion | None
    settings: Document

    @property
    def spec(self) -> Document:
        """Return the spec of the job that brings it."""
        spec = {"kind": "evaluate", "model": str(self.version), "measure": [str(each) for each in self.measures]}
        dataset = {"dataset": str(self.dataset_version)} if self.dataset_version is not None else {}
        return {**self.settings, **spec, **dataset}


@dataclass(frozen=True, slots=True)
class _Figures:
    """What a rule compares: the version's figure, and that of production where the rule is against it."""

    own: Evaluation | None
    production: Evaluation | None = None


def comparison_of(metric: str) -> str:
    """Say on which side of its bound a metric must be."""
    return "at_least" if METRICS[metric].higher_is_better else "at_most"


def judge(rule: Rule, version: ModelVersion, production: ModelVersion | None) -> Verdict:
    """Say whether a version meets a rule, by the newest comparable figures there are."""
    if (excuse := _excuse(rule, version, production)) is not None:
        return _verdict(rule, None, None, passed=True, message=excuse)
    found = _figures(rule, version, production)
    if found.own is None:
        return _verdict(rule, None, None, passed=None, message=f"{version} is not evaluated yet.")
    bound = rule.bound
    if rule.against == Against.PRODUCTION:
        if found.production is None:
            message = f"{production} is not evaluated yet under the same conditions."
            return _verdict(rule, found.own, None, passed=None, message=message)
        bound = _bound_by(found.production.value, rule)
    assert bound is not None  # a rule against a number has one
    value, comparison = found.own.value, comparison_of(rule.metric)
    passed = value >= bound if comparison == "at_least" else value <= bound
    relation = "at least" if comparison == "at_least" else "at most"
    whose = f" ({production}, {rule.tolerance_pct:g} % tolerated)" if rule.against == Against.PRODUCTION else ""
    message = f"{value:.6g} must be {relation} {bound:.6g}{whose}."
    return _verdict(rule, found.own, bound, passed=passed, message=message)


def missing_evaluations(rules: Iterable[Rule], version: ModelVersion, production: ModelVersion | None) -> list[Wanted]:
    """Say what must be measured before every rule can be judged; what one job can do together is one."""
    grouped: dict[tuple[Any, ...], tuple[set[Measure], Wanted]] = {}
    for rule in rules:
        if _excuse(rule, version, production) is not None:
            continue
        for lacking in _lacking(rule, version, production):
            key = (lacking.pk, rule.dataset_version_id, repr(sorted(rule.settings.items())))
            wanted = Wanted(lacking, (), rule.dataset_version, rule.settings)
            grouped.setdefault(key, (set(), wanted))[0].add(METRICS[rule.metric].measure)
    return [
        Wanted(
            wanted.version, tuple(each for each in Measure if each in measures), wanted.dataset_version, wanted.settings
        )
        for measures, wanted in grouped.values()
    ]


def _lacking(rule: Rule, version: ModelVersion, production: ModelVersion | None) -> list[ModelVersion]:
    found = _figures(rule, version, production)
    if rule.against == Against.NUMBER or production is None or found.production is not None:
        return [version] if found.own is None else []
    # on hardware of its own kind alone a speed says nothing: then both are measured anew
    is_own_good = found.own is not None and not METRICS[rule.metric].depends_on_hardware
    return [production] if is_own_good else [version, production]


def _excuse(rule: Rule, version: ModelVersion, production: ModelVersion | None) -> str | None:
    """Say why a rule has nothing to compare; None where it has."""
    if METRICS[rule.metric].needs_reference and version.parent_id is None:
        return f"{version} was made from no other version, so there is nothing to agree with."
    if rule.against == Against.PRODUCTION and production is None:
        return "Nothing is in production yet."
    if rule.against == Against.PRODUCTION and production == version:
        return f"{version} is itself in production."
    is_measured_alone = production is not None and production.parent_id is None
    if rule.against == Against.PRODUCTION and METRICS[rule.metric].needs_reference and is_measured_alone:
        return f"{production} is in production and was made from no other version: it has no such figure."
    return None


def _figures(rule: Rule, version: ModelVersion, production: ModelVersion | None) -> _Figures:
    own = _candidates(rule, version)
    if rule.against == Against.NUMBER or production is None:
        return _Figures(own[0] if own else None)
    theirs = _candidates(rule, production)
    if not METRICS[rule.metric].depends_on_hardware:
        return _Figures(own[0] if own else None, theirs[0] if theirs else None)
    for mine in own:
        for other in theirs:
            if hardware_key(mine) == hardware_key(other):
                return _Figures(mine, other)
    return _Figures(own[0] if own else None)


def _candidates(rule: Rule, version: ModelVersion) -> list[Evaluation]:
    """Return the figures that count for a rule, newest first."""
    rows = Evaluation.objects.filter(version=version, metric=rule.metric, protocol=rule.protocol)
    if METRICS[rule.metric].needs_dataset:
        rows = rows.filter(dataset_version=rule.dataset_version_id)
    if METRICS[rule.metric].needs_reference:
        rows = rows.filter(reference=version.parent_id)
    return list(rows.order_by("-id")[:50])


def hardware_key(evaluation: Evaluation) -> tuple[object, ...]:
    """Return what must be equal for speeds to be comparable."""
    described = evaluation.hardware
    return tuple(described.get(name) for name in ("device", "name", "threads"))


def _bound_by(value: float, rule: Rule) -> float:
    """Move the production version's value by the tolerance to the worse side."""
    margin = abs(value) * rule.tolerance_pct / 100
    return value - margin if METRICS[rule.metric].higher_is_better else value + margin


def _verdict(
    rule: Rule, evaluation: Evaluation | None, bound: float | None, *, passed: bool | None, message: str
) -> Verdict:
    return Verdict(
        rule=str(rule.pk),
        metric=rule.metric,
        against=rule.against,
        comparison=comparison_of(rule.metric),
        bound=rule.bound if bound is None else bound,
        value=evaluation.value if evaluation is not None else None,
        unit=METRICS[rule.metric].unit,
        dataset_version=str(rule.dataset_version) if rule.dataset_version is not None else None,
        evaluation=str(evaluation.pk) if evaluation is not None else None,
        passed=passed,
        message=message,
    )

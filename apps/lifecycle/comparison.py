"""The versions of a model side by side: figures, differences from the parent, and who is on the Pareto front.

Values stand in one column only if they are comparable: same dataset version, same settings, for speed the same
hardware. Where there are several such groups, a column shows the one that covers most versions, the newest of equals.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from apps.core.errors import InvalidInput
from apps.lifecycle.gate import hardware_key
from apps.lifecycle.models import Evaluation
from apps.model_registry.models import Model, ModelVersion, Stage
from apps.model_registry.selectors import described_versions
from workers.contract.evaluation.metrics import METRICS, Aspect

DEFAULT_AXES = {"size": "size_on_disk_bytes", "speed": "decode_tokens_per_s_batch1", "quality": "perplexity"}
"""What the front weighs against each other, unless something else is asked for."""


@dataclass(frozen=True, slots=True)
class Column:
    """One metric, and under which conditions its values were measured."""

    metric: str
    dataset_version: str | None
    hardware: dict[str, Any] | None
    protocol: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Cell:
    """A version's value, and how far it is from its parent's; None where the parent has none."""

    evaluation: Evaluation
    difference: float | None
    difference_pct: float | None


@dataclass(frozen=True, slots=True)
class Row:
    """One version; ``is_on_front`` is None where a figure of an axis is lacking or the version is retired."""

    version: ModelVersion
    cells: dict[str, Cell]
    is_on_front: bool | None
    dominated_by: str | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """A whole table, the newest version first. A parent from another model has a row, too."""

    axes: dict[str, str]
    columns: list[Column]
    rows: list[Row]


def compare_versions(
    *,
    model: Model,
    axes: Mapping[str, str] | None = None,
    dataset_version: str | None = None,
    hardware: str | None = None,
) -> Comparison:
    """Compare a model's living versions; ``dataset_version`` (``name@3``) and ``hardware`` (a name) narrow the columns.

    Raises:
        InvalidInput: an axis is no metric of its aspect.
    """
    chosen_axes = _checked_axes(axes or {})
    versions = _versions(model)
    groups = _groups(versions, dataset_version, hardware)
    values = {metric: group for metric in METRICS if (group := _widest(groups[metric])) is not None}
    cells = {version.pk: _cells(version, values) for version in versions}
    points = {
        str(version): point
        for version in versions
        if version.stage != Stage.RETIRED and (point := _point(cells[version.pk], chosen_axes)) is not None
    }
    rows = []
    for version in versions:
        point = points.get(str(version))
        dominant = _dominant(point, points) if point is not None else None
        rows.append(Row(version, cells[version.pk], None if point is None else dominant is None, dominant))
    return Comparison(chosen_axes, [_column(metric, group) for metric, group in values.items()], rows)


Group = dict[Any, Evaluation]
"""Comparable values of one metric, the newest of each version by the version's id."""


def _checked_axes(asked: Mapping[str, str]) -> dict[str, str]:
    axes = {**DEFAULT_AXES, **asked}
    for aspect, metric in axes.items():
        possible = [key for key, known in METRICS.items() if known.aspect == Aspect(aspect)]
        if metric not in possible:
            raise InvalidInput(
                f"{metric[:60]!r} is no metric of {aspect}; possible: {', '.join(possible)}.", field=aspect
            )
    return axes


def _versions(model: Model) -> list[ModelVersion]:
    own = list(described_versions().filter(model=model).order_by("-number"))
    known = {version.pk for version in own}
    strangers = {version.parent_id for version in own if version.parent_id is not None} - known
    return [*own, *described_versions().filter(pk__in=strangers).order_by("-id")]


def _groups(
    versions: Sequence[ModelVersion], dataset_version: str | None, hardware: str | None
) -> dict[str, list[Group]]:
    rows = Evaluation.objects.filter(version__in=versions).select_related("dataset_version__dataset")
    found: dict[str, dict[bytes, Group]] = defaultdict(dict)
    for row in rows.order_by("-id"):  # newest first: it stands for its version
        if dataset_version and row.dataset_version is not None and str(row.dataset_version) != dataset_version:
            continue
        if hardware and METRICS[row.metric].depends_on_hardware and row.hardware.get("name") != hardware:
            continue
        group = found[row.metric].setdefault(_conditions(row), {})
        group.setdefault(row.version_id, row)
    return defaultdict(list, {metric: list(groups.values()) for metric, groups in found.items()})


def _conditions(row: Evaluation) -> bytes:
    """Return what must be equal for two values of a metric to be comparable.

    A reference is each version's own (its parent, unless one was named), so it is no condition.
    """
    hardware = hardware_key(row) if METRICS[row.metric].depends_on_hardware else ()
    conditions = [str(row.dataset_version_id), row.protocol, hardware]
    return orjson.dumps(conditions, option=orjson.OPT_SORT_KEYS)


def _widest(groups: Iterable[Group]) -> Group | None:
    return max(groups, key=lambda group: (len(group), max(row.pk for row in group.values())), default=None)


def _column(metric: str, group: Group) -> Column:
    example = next(iter(group.values()))
    return Column(
        metric,
        str(example.dataset_version) if example.dataset_version is not None else None,
        example.hardware if METRICS[metric].depends_on_hardware else None,
        example.protocol,
    )


def _cells(version: ModelVersion, values: Mapping[str, Group]) -> dict[str, Cell]:
    cells = {}
    for metric, group in values.items():
        own, parent = group.get(version.pk), group.get(version.parent_id)
        if own is None:
            continue
        # what compares with the parent is a difference already
        is_absolute = parent is not None and not METRICS[metric].needs_reference
        difference = own.value - parent.value if parent is not None and is_absolute else None
        share = (
            100 * difference / abs(parent.value)
            if parent is not None and difference is not None and parent.value
            else None
        )
        cells[metric] = Cell(own, difference, share)
    return cells


def _point(cells: Mapping[str, Cell], axes: Mapping[str, str]) -> tuple[float, ...] | None:
    """Return a version's place, each coordinate the better the higher; None where one is lacking."""
    if any(metric not in cells for metric in axes.values()):
        return None
    return tuple(
        cells[metric].evaluation.value * (1 if METRICS[metric].higher_is_better else -1) for metric in axes.values()
    )


def _dominant(point: tuple[float, ...], points: Mapping[str, tuple[float, ...]]) -> str | None:
    """Name a version that is nowhere worse and somewhere better; None where there is none."""
    return next((name for name, other in points.items() if other != point and _covers(other, point)), None)


def _covers(other: tuple[float, ...], point: tuple[float, ...]) -> bool:
    return all(theirs >= own for theirs, own in zip(other, point, strict=True))

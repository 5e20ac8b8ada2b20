"""The shapes of telemetry: what is asked by query parameters, and what is answered."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.core.renderers import wire_float
from apps.telemetry.curves import INT64_MAX, INT64_MIN, Curve
from apps.telemetry.sampling import MIN_POINTS
from apps.telemetry.selectors import MAX_PAGE_BYTES, LogPage, SeriesSummary

_VALUE = {"oneOf": [{"type": "number"}, {"type": "string", "enum": ["NaN", "Infinity", "-Infinity"]}]}
_STEPS = {"type": "array", "items": {"type": "integer", "format": "int64"}}


@extend_schema_field(_VALUE)
class MetricValueField(serializers.Field[float, Any, Any, Any]):
    """A number, or the name of one that JSON cannot write."""


@extend_schema_field({"type": "array", "items": _VALUE})
class ValueColumnField(serializers.Field[list[float], Any, Any, Any]):
    """A column of values."""


@extend_schema_field(_STEPS)
class IntegerColumnField(serializers.Field[list[int], Any, Any, Any]):
    """A column of 64-bit integers."""


class NoNulField(serializers.CharField):
    """Text that may name a key."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=255, trim_whitespace=False, **kwargs)


class CurveQuerySerializer(serializers.Serializer[Any]):
    """Which part of a curve, and how many points of it."""

    max_points = serializers.IntegerField(
        default=1000, min_value=MIN_POINTS, max_value=100_000, help_text="Points to reduce to, extremes kept."
    )
    after_step = serializers.IntegerField(
        required=False, min_value=INT64_MIN, max_value=INT64_MAX - 1, help_text="Only steps beyond this one."
    )
    until_step = serializers.IntegerField(
        required=False, min_value=INT64_MIN, max_value=INT64_MAX, help_text="Only steps up to this one."
    )
    include_cut = serializers.BooleanField(
        default=False, help_text="Also the points that a later attempt, resumed from an earlier step, made void."
    )


class PointsQuerySerializer(CurveQuerySerializer):
    """One curve."""

    key = NoNulField(help_text="Name of the metric, such as `loss`.")
    rank = serializers.IntegerField(default=0, min_value=0, max_value=2**31 - 1)


class CurvesQuerySerializer(CurveQuerySerializer):
    """Several curves at once: each key of each rank."""

    key = serializers.ListField(child=NoNulField(), min_length=1, max_length=64, help_text="May be repeated.")
    rank = serializers.ListField(
        child=serializers.IntegerField(min_value=0, max_value=2**31 - 1),
        default=[0], min_length=1, max_length=64, help_text="May be repeated.",
    )  # fmt: skip


class SeriesSerializer(serializers.Serializer[Any]):
    """One metric of one rank in one attempt."""

    attempt = serializers.IntegerField()
    rank = serializers.IntegerField()
    key = serializers.CharField()
    n = serializers.IntegerField(help_text="Points.")
    first_step = serializers.IntegerField()
    last_step = serializers.IntegerField()
    last = MetricValueField(help_text="Value of the last step.")
    last_time_us = serializers.IntegerField(help_text="When it was measured, by the node's clock.")
    min = MetricValueField(allow_null=True, help_text="Null while every value is NaN.")
    max = MetricValueField(allow_null=True)


class AttemptStartSerializer(serializers.Serializer[Any]):
    """Where an attempt begins in the columns."""

    attempt = serializers.IntegerField()
    index = serializers.IntegerField()


class CutSerializer(serializers.Serializer[Any]):
    """Points of an attempt beyond the step that a later one resumed from."""

    attempt = serializers.IntegerField()
    steps = IntegerColumnField()
    times_us = IntegerColumnField()
    values = ValueColumnField()


class CurveSerializer(serializers.Serializer[Any]):
    """A curve over all attempts, as columns in step order. NaN is a gap."""

    key = serializers.CharField()
    rank = serializers.IntegerField()
    num_points = serializers.IntegerField(help_text="Before the reduction.")
    steps = IntegerColumnField()
    times_us = IntegerColumnField()
    values = ValueColumnField()
    attempts = AttemptStartSerializer(many=True)
    cut = CutSerializer(many=True)


class PointsSerializer(CurveSerializer):
    """A curve, and the live message it was read at: later ones continue it."""

    seq = serializers.IntegerField()


class CurvesSerializer(serializers.Serializer[Any]):
    """Several curves of the same moment."""

    seq = serializers.IntegerField()
    curves = CurveSerializer(many=True)


class LogQuerySerializer(serializers.Serializer[Any]):
    """Which log."""

    attempt = serializers.IntegerField(
        required=False, min_value=1, max_value=2**31 - 1, help_text="Default: the newest that wrote something."
    )
    rank = serializers.IntegerField(
        default=0, min_value=-1, max_value=2**31 - 1, help_text="-1 is the agent's own words."
    )
    stream = serializers.ChoiceField(choices=["stdout", "stderr"], default="stdout")


class LogPageQuerySerializer(LogQuerySerializer):
    """Which part of it, in bytes."""

    offset = serializers.IntegerField(default=0, min_value=0, max_value=INT64_MAX)
    limit = serializers.IntegerField(default=65_536, min_value=4, max_value=MAX_PAGE_BYTES, help_text="Bytes.")


class LogTailQuerySerializer(LogQuerySerializer):
    """How much of its end."""

    limit = serializers.IntegerField(default=65_536, min_value=4, max_value=MAX_PAGE_BYTES, help_text="Bytes at most.")
    lines = serializers.IntegerField(required=False, min_value=1, max_value=100_000, help_text="Lines at most.")


class LogPageSerializer(serializers.Serializer[Any]):
    """Bytes [start, stop) of a log as text; undecodable ones are shown as U+FFFD."""

    attempt = serializers.IntegerField()
    rank = serializers.IntegerField()
    stream = serializers.CharField()
    start = serializers.IntegerField()
    stop = serializers.IntegerField()
    text = serializers.CharField()
    first_line = serializers.IntegerField(help_text="Newlines before `start`.")
    size_bytes = serializers.IntegerField(help_text="Stored so far.")
    num_lines = serializers.IntegerField(help_text="Newlines stored so far.")
    is_complete = serializers.BooleanField(help_text="The stream has ended, and all of it is stored.")
    seq = serializers.IntegerField()


class StreamQuerySerializer(serializers.Serializer[Any]):
    """From where on, and how long to wait for something to come."""

    after = serializers.IntegerField(default=0, min_value=0, max_value=INT64_MAX, help_text="Last number seen.")
    wait_s = serializers.FloatField(default=0.0, min_value=0.0, max_value=60.0)


class StreamSerializer(serializers.Serializer[Any]):
    """Live messages, as on the WebSocket, and the number to go on from."""

    seq = serializers.IntegerField()
    messages = serializers.ListField(child=serializers.JSONField())


def series_json(summary: SeriesSummary) -> dict[str, Any]:
    """Write one series."""
    return {
        "attempt": summary.attempt,
        "rank": summary.rank,
        "key": summary.key,
        "n": summary.num_points,
        "first_step": summary.first_step,
        "last_step": summary.last_step,
        "last": wire_float(summary.last),
        "last_time_us": summary.last_time_us,
        "min": None if summary.minimum is None else wire_float(summary.minimum),
        "max": None if summary.maximum is None else wire_float(summary.maximum),
    }


def curve_json(curve: Curve) -> dict[str, Any]:
    """Write one curve."""
    return {
        "key": curve.key,
        "rank": curve.rank,
        "num_points": curve.num_points,
        **_columns(curve.points),
        "attempts": [{"attempt": attempt, "index": index} for attempt, index in curve.attempts],
        "cut": [{"attempt": leg.attempt, **_columns(leg.cut)} for leg in curve.cut],
    }


def _columns(points: Any) -> dict[str, Any]:
    return {
        "steps": points.steps.tolist(),
        "times_us": points.times_us.tolist(),
        "values": [wire_float(value) for value in points.values.tolist()],
    }


def log_page_json(page: LogPage) -> dict[str, Any]:
    """Write one page of a log."""
    return {
        "attempt": page.source.attempt,
        "rank": page.source.rank,
        "stream": page.source.stream,
        "start": page.start,
        "stop": page.stop,
        "text": page.text,
        "first_line": page.first_line,
        "size_bytes": page.size_bytes,
        "num_lines": page.num_lines,
        "is_complete": page.is_complete,
        "seq": page.seq,
    }

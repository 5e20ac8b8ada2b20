"""How fast a chart is read, and what a point costs on disk.

Two curves of 100,000 and 1,000,000 noisy points are delivered over HTTP, read at 1,000 pixels before and after
compaction, and weighed after VACUUM. Times are whole requests as a client on the same machine sees them.

    python -m benchmarks.charts [--repeat 20] [--out result.json]
"""

import argparse
import json
import os
import platform
import random
import statistics
import time
from pathlib import Path
from typing import Any

import orjson

from benchmarks.telemetry_lab import TelemetryLab, telemetry_lab

_BATCH = 10_000
_PIXELS = 1000
_CURVES = {"loss_100k": 100_000, "loss_1m": 1_000_000}

_COMPACT = """
import django
django.setup()
from django.db import connection
from apps.jobs.models import Job
from apps.telemetry.services import compact_job
Job.objects.update(state="succeeded")
compact_job(job_id=Job.objects.get().pk)
tables = ["telemetry_chunk", "telemetry_metricbatch", "telemetry_series"]
with connection.cursor() as cursor:
    for table in tables:
        cursor.execute(f"VACUUM {table}")
    cursor.execute("SELECT sum(pg_total_relation_size(name::regclass)) FROM unnest(%s::text[]) AS t (name)", [tables])
    print(cursor.fetchone()[0])
"""


def fill(lab: TelemetryLab) -> None:
    """Deliver both curves: a falling loss with noise, steps one apart, times that jitter."""
    connection = lab.connect()
    noise = random.Random(7)
    start = 0
    now_us = 1_700_000_000_000_000
    for key, length in _CURVES.items():
        for first in range(0, length, _BATCH):
            steps = list(range(first, first + _BATCH))
            series = {
                "key": key,
                "steps": steps,
                "times_us": [now_us + 250_000 * step + noise.randrange(5_000) for step in steps],
                "values": [2.0 + 8.0 / (1 + step / 1e4) + noise.gauss(0.0, 0.05) for step in steps],
            }
            body = orjson.dumps({"rank": 0, "start": start, "stop": start + _BATCH, "series": [series]})
            lab.post_metrics(connection, body)
            start += _BATCH


def read(lab: TelemetryLab, key: str, *, repeat: int) -> dict[str, Any]:
    """Read one chart ``repeat`` times."""
    connection = lab.connect()
    path = f"metrics/points?key={key}&max_points={_PIXELS}"
    points = json.loads(lab.get(connection, path))
    if points["num_points"] != _CURVES[key] or not 0 < len(points["steps"]) <= _PIXELS:
        raise RuntimeError(f"{key}: {points['num_points']} points, {len(points['steps'])} sampled")
    samples = []
    for _ in range(repeat):
        begun = time.perf_counter()
        lab.get(connection, path)
        samples.append((time.perf_counter() - begun) * 1e3)
    return {"median_ms": round(statistics.median(samples), 1), "min_ms": round(min(samples), 1)}


def main() -> None:
    """Print one line per state of the store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=20)
    parser.add_argument("--out", type=Path, help="write the result as JSON here")
    args = parser.parse_args()
    with telemetry_lab() as lab:
        fill(lab)
        young = {key: read(lab, key, repeat=args.repeat) for key in _CURVES}
        size_bytes = int(lab.manage(_COMPACT).split()[-1])
        merged = {key: read(lab, key, repeat=args.repeat) for key in _CURVES}
    result = {
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "load": os.getloadavg()[0]},
        "pixels": _PIXELS,
        "young": young,
        "merged": merged,
        "bytes_per_point": round(size_bytes / sum(_CURVES.values()), 2),
    }
    for name in ("young", "merged", "bytes_per_point"):
        print(name, json.dumps(result[name]))
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()

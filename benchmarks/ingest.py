"""How fast one client can deliver metrics over HTTP: bulk batches, and the shape of live jobs.

Every batch is stored, committed and readable when it is acknowledged; at the end everything is read back and counted.
One client process and one web process share the machine with Postgres and Redis.

    python benchmarks/ingest.py [--seconds 10] [--out result.json]
"""

import argparse
import json
import math
import os
import platform
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from benchmarks.telemetry_lab import TelemetryLab, telemetry_lab

_WARM_UP = 20


def bodies(*, rank: int, num_series: int, per_series: int) -> Iterator[bytes]:
    """Yield consecutive batches of ``num_series`` curves with ``per_series`` new points each."""
    start, step = 0, 0
    now_us = int(time.time() * 1e6)
    while True:
        steps = list(range(step, step + per_series))
        times_us = [now_us + 250_000 * one + (one * 7919) % 1009 for one in steps]
        series = [
            {
                "key": f"train/metric_{index}",
                "steps": steps,
                "times_us": times_us,
                "values": [math.exp(-one / 5e3) + 1e-3 * math.sin(one * (index + 1)) for one in steps],
            }
            for index in range(num_series)
        ]
        yield orjson.dumps({"rank": rank, "start": start, "stop": start + per_series, "series": series})
        start, step = start + per_series, step + per_series


def measure(lab: TelemetryLab, *, rank: int, num_series: int, per_series: int, seconds: float) -> dict[str, Any]:
    """Deliver batches one after another for ``seconds``; building them is not counted."""
    connection = lab.connect()
    source = bodies(rank=rank, num_series=num_series, per_series=per_series)
    for _ in range(_WARM_UP):
        lab.post_metrics(connection, next(source))
    samples: list[float] = []
    cpu_before = _cpu_s(lab.web_pid)
    while sum(samples) < seconds:
        prepared = [next(source) for _ in range(50)]
        for body in prepared:
            begun = time.perf_counter()
            lab.post_metrics(connection, body)
            samples.append(time.perf_counter() - begun)
    spent_s = sum(samples)
    points = json.loads(lab.get(connection, f"metrics/points?key=train/metric_0&rank={rank}&max_points=8"))
    expected = per_series * (_WARM_UP + len(samples))
    if points["num_points"] != expected:
        raise RuntimeError(f"{points['num_points']} points are readable, {expected} were acknowledged")
    return {
        "num_series": num_series,
        "points_per_batch": num_series * per_series,
        "batches_per_s": round(len(samples) / spent_s, 1),
        "points_per_s": round(len(samples) * num_series * per_series / spent_s),
        "p50_ms": round(statistics.median(samples) * 1e3, 2),
        "p95_ms": round(statistics.quantiles(samples, n=20)[-1] * 1e3, 2),
        "web_cpu_ms_per_batch": round((_cpu_s(lab.web_pid) - cpu_before) / len(samples) * 1e3, 2),
    }


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Run both shapes and print one line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="of acknowledged work per shape")
    parser.add_argument("--out", type=Path, help="write the result as JSON here")
    args = parser.parse_args()
    with telemetry_lab() as lab:
        result = {
            "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "load": os.getloadavg()[0]},
            "bulk": measure(lab, rank=0, num_series=20, per_series=50, seconds=args.seconds),
            "live": measure(lab, rank=1, num_series=40, per_series=1, seconds=args.seconds),
        }
    for name in ("bulk", "live"):
        print(name, json.dumps(result[name]))
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""The comparison: the same runtime and spec under plain torchrun, with no control plane near it."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.lab import Spec


@dataclass(frozen=True)
class BareRun:
    """What one run left."""

    started_at: float
    """Seconds since the epoch when torchrun was started."""
    events: list[dict[str, Any]]

    def first_step_s(self) -> float:
        """Seconds from the start of torchrun to the end of the first training step."""
        first = next(event for event in self.events if event["type"] == "metrics" and "loss" in event["values"])
        return float(first["time_us"]) / 1e6 - self.started_at

    def points(self, key: str) -> tuple[list[int], list[float]]:
        """Steps and times in seconds at which ``key`` was reported."""
        rows = [event for event in self.events if event["type"] == "metrics" and key in event["values"]]
        return [row["step"] for row in rows], [row["time_us"] / 1e6 for row in rows]


def torchrun(spec: Spec, *, dataset: Path, folder: Path, num_ranks: int = 2) -> BareRun:
    """Run a spec under torchrun; its cache lies in ``folder`` and is shared by the runs there."""
    output = folder / f"run-{time.time_ns()}"
    output.mkdir(parents=True)
    run_file = output / "spec.json"
    run_file.write_text(
        json.dumps({
            "spec": dict(spec), "dataset_dir": str(dataset), "output_dir": str(output / "out"),
            "cache_dir": str(folder / "cache"),
        })
    )  # fmt: skip
    started = time.time()
    subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={num_ranks}",
            "-m", "workers.runtime", str(run_file),
        ],
        check=True,
        capture_output=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    lines = (output / "out" / "events" / "rank0.jsonl").read_text().splitlines()
    return BareRun(started, [json.loads(line) for line in lines])


def tokens_per_s(steps: list[int], times_s: list[float], tokens_per_step: int, *, skip: int = 10) -> float:
    """Training speed between the step after ``skip`` and the last one, by the clock: whatever costs time counts."""
    return (steps[-1] - steps[skip]) * tokens_per_step / (times_s[-1] - times_s[skip])

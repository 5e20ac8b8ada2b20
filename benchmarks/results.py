"""How results are stated: medians, the machine, one JSON line a benchmark."""

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path


def machine() -> dict[str, object]:
    """What a figure depends on: processor, cores, memory, Python."""
    text = Path("/proc/cpuinfo").read_text()
    model = next((line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")), "?")
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "memory_gib": round(memory_gib, 1),
        "python": platform.python_version(),
        "load": [round(value, 2) for value in os.getloadavg()],
    }


def spread(samples: Sequence[float]) -> dict[str, float | int]:
    """Median, extremes and count."""
    return {
        "median": round(statistics.median(samples), 4),
        "min": round(min(samples), 4),
        "max": round(max(samples), 4),
        "n": len(samples),
    }


def say(name: str, **figures: object) -> None:
    """Print one result as a line of JSON, with the machine beside it."""
    sys.stdout.write(json.dumps({"benchmark": name, **figures, "machine": machine()}) + "\n")
    sys.stdout.flush()


def repeat_option(description: str | None, *, default: int) -> int:
    """Read ``--repeat N`` from the command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--repeat", type=int, default=default)
    repeat: int = parser.parse_args().repeat
    return repeat

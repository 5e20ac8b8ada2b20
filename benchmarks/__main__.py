"""`make bench`: run the benchmarks one after another and keep what they print in docs/benchmarks.md.

    python -m benchmarks [NAME ...]

Without names all of them run, which takes about an hour and a half on two cores. Nothing else should run meanwhile.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.results import machine

BENCHMARKS = (
    "footprint", "start_latency", "recovery", "training", "ingest", "charts", "jobs_list", "strategies", "compression",
)  # fmt: skip
_PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
_START, _END = "<!-- {name}: start -->", "<!-- {name}: end -->"


def run(name: str) -> str:
    """Run one benchmark, show its output and return it.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    sys.stdout.write(f"== {name}\n")
    sys.stdout.flush()
    done = subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True, stdout=subprocess.PIPE, text=True)
    sys.stdout.write(done.stdout)
    return done.stdout


def keep(page: str, name: str, output: str) -> str:
    """Return the page with a benchmark's section replaced, or appended when it has none."""
    start, end = _START.format(name=name), _END.format(name=name)
    today = time.strftime("%Y-%m-%d", time.gmtime())
    facts = machine()
    where = f"{facts['cpu']}, {facts['cores']} cores, {facts['memory_gib']} GiB, Python {facts['python']}"
    section = f"{start}\n\n{today}, {where}\n\n```\n{output.strip()}\n```\n\n{end}"
    if start not in page:
        return f"{page.rstrip()}\n\n## {name}\n\n{section}\n"
    before, _, rest = page.partition(start)
    return before + section + rest.partition(end)[2]


def main() -> None:
    """Run what was named, or everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*BENCHMARKS, []], metavar="NAME")
    for name in parser.parse_args().names or BENCHMARKS:
        _PAGE.write_text(keep(_PAGE.read_text(), name, run(name)))


if __name__ == "__main__":
    main()

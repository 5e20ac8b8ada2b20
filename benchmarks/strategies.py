"""All ways of distributing one model on two ranks: what each sends, how fast it is, and what it learns.

The default model (2.2M parameters) on the standard library's source, every strategy on the same number of tokens, with
the same seed and order of samples, under bare torchrun. Bytes are what a rank sends in a step on average over the
whole run, warm-up included; memory is rank 0's largest resident size; staleness is the mean age, in
updates, of the weights or gradients used, and for ranks that train alone the steps between two meetings.

    python -m benchmarks.strategies [--tokens 2000000] [NAME ...]
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.bare import BareRun, tokens_per_s, torchrun
from benchmarks.lab import stdlib_files

RANKS = 2
MICRO_BATCH = 8
CONTEXT = 256
_TOKENS = 2_000_000
_FEWEST_STEPS = 50  # a round of DiLoCo
_FSDP = {"kind": "fsdp"}


@dataclass(frozen=True)
class Strategy:
    """One row of the table."""

    distribution: dict[str, Any]
    averaging: dict[str, Any] | None = None
    period: int | None = None
    """Steps between two meetings, of those that train alone."""

    @property
    def data_ranks(self) -> int:
        """Ranks that see different samples."""
        mesh: dict[str, int] = self.distribution.get("mesh", {})
        return RANKS // (mesh.get("tp", 1) * mesh.get("pp", 1))


def _method(kind: str, *, alone: int | None = None, **options: Any) -> Strategy:
    return Strategy({"communication": {"kind": kind} | options}, period=alone)


STRATEGIES: dict[str, Strategy] = {
    "ddp": Strategy({}),
    "zero1": Strategy({"data_parallel": {"kind": "zero1"}}),
    "fsdp": Strategy({"data_parallel": _FSDP}),
    "fsdp_not_resharded": Strategy({"data_parallel": _FSDP | {"reshard_after_forward": False}}),
    "tp": Strategy({"mesh": {"tp": 2}}),
    "tp_sequence": Strategy({"mesh": {"tp": 2}, "tensor_parallel": {"sequence_parallel": True}}),
    "pp_1f1b": Strategy({"mesh": {"pp": 2}, "pipeline": {"schedule": "1f1b", "micro_batches": 4}}),
    "pp_zero_bubble": Strategy({"mesh": {"pp": 2}, "pipeline": {"schedule": "zero_bubble"}}),
    "fp16": _method("fp16"),
    "bf16": _method("bf16"),
    "powersgd_4": _method("powersgd", rank=4),
    "topk_1pct": _method("topk", ratio=0.01),
    "local_sgd_8": _method("local_sgd", period=8, alone=8),
    "diloco_50": _method("diloco", inner_steps=50, alone=50),
    "diloco_50_fp16": _method("diloco", inner_steps=50, delta_dtype="fp16", alone=50),
    "diloco_50_int8": _method("diloco", inner_steps=50, delta_dtype="int8", alone=50),
    "delayed": _method("delayed"),
    "server_2": _method("parameter_server", staleness=2),
    "ddp_ema": Strategy({}, {"kind": "ema", "decay": 0.99}),
    "ddp_swa": Strategy({}, {"kind": "swa"}),
}
_HEADER = ("strategy", "val_loss", "MB/step", "bytes/token", "fewer x", "tokens/s", "GiB", "staleness")


def spec(strategy: Strategy, steps: int) -> dict[str, Any]:
    """Return the run; ranks that share their samples draw as many as two that do not."""
    optimizer = {"weight_averaging": strategy.averaging} if strategy.averaging else {}
    return {
        "kind": "train", "data": {"dataset": "stdlib", "context_length": CONTEXT}, "steps": steps,
        "micro_batch_size": MICRO_BATCH * RANKS // strategy.data_ranks, "validate_every_steps": steps,
        "checkpoint": {"every_steps": steps}, "distribution": strategy.distribution, "optimizer": optimizer,
    }  # fmt: skip


def values(run: BareRun, key: str) -> list[float]:
    """Values of a metric of rank 0, by step."""
    return [float(e["values"][key]) for e in run.events if e["type"] == "metrics" and key in e["values"]]


def row(name: str, strategy: Strategy, run: BareRun, ddp_bytes: float | None) -> tuple[list[str], float]:
    """Return the cells, and the bytes in a step."""
    per_step = MICRO_BATCH * RANKS * CONTEXT
    sent = values(run, "comm_bytes")
    mean = sum(sent) / len(sent)
    ages = values(run, "staleness")
    staleness = sum(ages) / len(ages) if ages else float((strategy.period or 1) - 1)
    cells = [
        name,
        f"{values(run, 'val_loss')[-1]:.4f}",
        f"{mean / 1e6:.3f}",
        f"{mean / per_step:,.1f}",
        f"{(ddp_bytes or mean) / mean:.1f}",
        f"{tokens_per_s(*run.points('learning_rate'), per_step, skip=1):,.0f}",
        f"{max(values(run, 'memory_gib')):.2f}",
        f"{staleness:.1f}",
    ]
    return cells, mean


def main() -> None:
    """Run the strategies one after another, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*STRATEGIES, []], metavar="NAME")
    parser.add_argument("--tokens", type=int, default=_TOKENS, help="training tokens of each strategy")
    args = parser.parse_args()
    steps = max(_FEWEST_STEPS, args.tokens // (MICRO_BATCH * RANKS * CONTEXT))
    say_row(_HEADER)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        text = stdlib_files(folder / "text", max_bytes=4_000_000)
        ddp_bytes: float | None = None
        for each in args.names or STRATEGIES:
            strategy = STRATEGIES[each]
            run = torchrun(spec(strategy, steps), dataset=text, folder=folder, num_ranks=RANKS)
            cells, sent = row(each, strategy, run, ddp_bytes)
            ddp_bytes = ddp_bytes or (sent if each == "ddp" else None)
            say_row(cells)


def say_row(cells: Sequence[str]) -> None:
    """Print a line of the table."""
    sys.stdout.write(f"{cells[0]:<20}" + "".join(f"{cell:>13}" for cell in cells[1:]) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

"""Submit to the end of the first training step: warm ranks, cached data, against bare torchrun in the same run.

Then from the death of a rank (SIGKILL) to the next training step of the attempt that follows, and the start again with
cold ranks.
"""

import os
import signal
import tempfile
import time
from pathlib import Path

from benchmarks.bare import torchrun
from benchmarks.lab import Lab, cold_node, open_lab, stdlib_files, wait_for_warm_ranks
from benchmarks.results import repeat_option, say, spread

SPEC = {
    "kind": "train",
    "data": {"dataset": "stdlib", "context_length": 256},
    "steps": 3,
    "validate_every_steps": 10_000,
    "checkpoint": {"every_steps": 10_000},
}
LONG = {**SPEC, "steps": 5_000, "micro_batch_size": 2, "checkpoint": {"every_steps": 10}}


def submit_to_first_step_s(lab: Lab, name: str, *, pool: str = "default") -> float:
    """Seconds from sending the POST to the end of step 1, by one machine's clock."""
    started = time.time()
    job = lab.client.jobs.submit(SPEC, name=name, slots_per_node=2, pool=pool)
    lab.client.jobs.wait(job.id, timeout_s=120)
    is_warm = all(allocation["is_warm"] for allocation in lab.last_attempt(job.id)["allocations"])
    if is_warm != (pool == "default"):
        raise RuntimeError(f"the ranks of {name} were {'warm' if is_warm else 'cold'}")
    return float(lab.points(job.id, "loss")["times_us"][0]) / 1e6 - started


def recovery_s(lab: Lab, name: str) -> float:
    """Seconds from killing rank 1 to the first step that the next attempt finishes."""
    job = lab.client.jobs.submit(LONG, name=name, slots_per_node=2)
    while lab.client.jobs.get(job.id).progress.step < 25:
        time.sleep(0.2)
    victim = lab.last_attempt(job.id)["allocations"][0]["pids"][1]
    killed = time.time()
    os.kill(victim, signal.SIGKILL)
    while lab.last_attempt(job.id)["number"] != 2:
        time.sleep(0.1)
    resumed_at: float | None = None
    while resumed_at is None:
        time.sleep(0.2)
        times = [time_us / 1e6 for time_us in lab.points(job.id, "loss")["times_us"]]
        resumed_at = next((at for at in times if at > killed + 0.5), None)
    lab.client.jobs.kill(job.id)
    while not lab.client.jobs.get(job.id).is_final:
        time.sleep(0.1)
    return resumed_at - killed


def cold_start(lab: Lab, text: Path, folder: Path, *, repeat: int) -> None:
    """Compare ranks that do not come from the fork server with torchrun, alternating."""
    cold: list[float] = []
    bare: list[float] = []
    with cold_node(lab, pool="cold"):
        submit_to_first_step_s(lab, "fills-the-cold-cache", pool="cold")
        for number in range(repeat):
            cold.append(submit_to_first_step_s(lab, f"cold-{number}", pool="cold"))
            bare.append(torchrun(SPEC, dataset=text, folder=folder).first_step_s())
    more_s = spread(cold)["median"] - spread(bare)["median"]
    say(
        "cold_start", submit_to_first_step_s=spread(cold), torchrun_to_first_step_s=spread(bare),
        more_than_torchrun_s=round(more_s, 3),
    )  # fmt: skip


def main() -> None:
    """Measure both, the bare runs in between."""
    repeat = repeat_option(__doc__, default=10)
    with tempfile.TemporaryDirectory() as name, open_lab() as lab:
        folder = Path(name)
        text = stdlib_files(folder / "text", max_bytes=4_000_000)
        version = lab.client.datasets.create("stdlib", [text])
        lab.client.datasets.wait(version.id)
        submit_to_first_step_s(lab, "fills-the-cache")
        torchrun(SPEC, dataset=text, folder=folder)
        warm: list[float] = []
        bare: list[float] = []
        for number in range(repeat):
            warm.append(submit_to_first_step_s(lab, f"warm-{number}"))
            if number % 2 == 0:
                bare.append(torchrun(SPEC, dataset=text, folder=folder).first_step_s())
        ratio = spread(warm)["median"] / spread(bare)["median"]
        say("start", submit_to_first_step_s=spread(warm), torchrun_to_first_step_s=spread(bare), ratio=round(ratio, 3))
        wait_for_warm_ranks(lab)
        say("recovery", kill_to_next_step_s=spread([recovery_s(lab, f"kill-{n}") for n in range(max(1, repeat // 2))]))
        cold_start(lab, text, folder, repeat=max(1, repeat // 2))


if __name__ == "__main__":
    main()

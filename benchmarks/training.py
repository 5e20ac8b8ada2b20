"""What the control plane costs a training job: the same spec through it and under bare torchrun, alternating.

Also the CPU the control plane itself uses meanwhile, in cores: web, scheduler, worker, Postgres, Redis and the agent
without its ranks, at one report a second.
"""

import tempfile
import time
from pathlib import Path

from benchmarks.bare import tokens_per_s, torchrun
from benchmarks.lab import Lab, cpu_seconds, open_lab, stdlib_files
from benchmarks.results import repeat_option, say, spread
from coxswain.stack.memory import descendants

NUM_STEPS = 120
MICRO_BATCH = 8
CONTEXT = 256
RANKS = 2
_LOOK_S = 5.0  # between two looks at how far the job is: each costs the web server a request

SPEC = {
    "kind": "train",
    "data": {"dataset": "stdlib", "context_length": CONTEXT},
    "steps": NUM_STEPS,
    "micro_batch_size": MICRO_BATCH,
    # About one report a second at the speed of two CPU cores.
    "report_every_steps": 3,
    "validate_every_steps": 10_000,
    "checkpoint": {"every_steps": 10_000},
}


def control_cpu_s(lab: Lab) -> float:
    """CPU seconds the control plane has used so far; ranks and fork server are the training, not the control."""
    total = 0.0
    for name, pid in lab.processes().items():
        total += cpu_seconds(pid)
        if name == "agent":
            total -= sum(cpu_seconds(child) for child in descendants(pid)[1:2])
    return total


def through_control_plane(lab: Lab, number: int) -> tuple[float, float]:
    """Run the job once; return tokens/s and the control plane's CPU in cores."""
    job = lab.client.jobs.submit(SPEC, name=f"bench-{number}", slots_per_node=RANKS)
    while (current := lab.client.jobs.get(job.id)).progress.step < 10 and not current.is_final:
        time.sleep(0.2)
    cpu, began = control_cpu_s(lab), time.monotonic()
    while (current := lab.client.jobs.get(job.id)).progress.step < NUM_STEPS - 10 and not current.is_final:
        time.sleep(_LOOK_S)
    cores = (control_cpu_s(lab) - cpu) / (time.monotonic() - began)
    lab.client.jobs.wait(job.id, timeout_s=600)
    series = lab.points(job.id, "loss")
    times_s = [time_us / 1e6 for time_us in series["times_us"]]
    return tokens_per_s(series["steps"], times_s, RANKS * MICRO_BATCH * CONTEXT, skip=3), cores


def main() -> None:
    """Alternate the two, and say the ratio of the medians."""
    repeat = repeat_option(__doc__, default=5)
    ours: list[float] = []
    bare: list[float] = []
    cores: list[float] = []
    with tempfile.TemporaryDirectory() as name, open_lab() as lab:
        folder = Path(name)
        text = stdlib_files(folder / "text", max_bytes=4_000_000)
        version = lab.client.datasets.create("stdlib", [text])
        lab.client.datasets.wait(version.id)
        for number in range(repeat):
            speed, used = through_control_plane(lab, number)
            ours.append(speed)
            cores.append(used)
            run = torchrun(SPEC, dataset=text, folder=folder)
            bare.append(tokens_per_s(*run.points("loss"), RANKS * MICRO_BATCH * CONTEXT, skip=3))
    ratio = spread(ours)["median"] / spread(bare)["median"]
    say(
        "training", control_plane_tokens_per_s=spread(ours), torchrun_tokens_per_s=spread(bare),
        ratio=round(ratio, 3), control_plane_cores=spread(cores),
    )  # fmt: skip


if __name__ == "__main__":
    main()

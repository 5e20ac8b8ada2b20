"""`make demo`: the main job end to end, over the same REST API that everybody uses.

Starts the embedded stack, sends the Python standard library's source as a dataset, trains a small Llama on it on two
ranks, samples a completion from the version that came out, and leaves the stack running until Ctrl-C.
With ``--exit`` it stops everything at the end; the exit code is 0 only if the model has learnt.
"""

import argparse
import contextlib
import signal
import sys
import tempfile
import time
from pathlib import Path
from statistics import fmean

from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn
from rich.text import Text

from coxswain.cli.watch import watch_job
from coxswain.client import Client, CoxswainError, DatasetVersion, Job
from coxswain.client.transfers import LocalFile, sha256_of
from coxswain.demo.corpus import write_corpus
from coxswain.demo.stack import NUM_RANKS, DemoStack, running_stack
from coxswain.stack.errors import StackError
from coxswain.stack.paths import StackPaths, default_data_dir
from workers.contract.manifest import FileRef, set_digest

DATASET = "standard-library"
MODEL = "stdlib-llama"
STEPS = 300
PROMPT = 'def read_lines(path):\n    """'
LARGEST_FINAL_SHARE = 0.7
"""Of the first losses, to count as learnt: an untrained model stays at 1, this one ends near a half."""
_EDGE_STEPS = 5

# The contract's defaults (2.2 million parameters), with points and checkpoints as often as a person likes to see them.
TRAIN_SPEC = {
    "kind": "train",
    "checkpoint": {"every_steps": 100},
    "validate_every_steps": 100,
    "report_every_steps": 2,
    "output_model": MODEL,
}


def send_dataset(client: Client, console: Console) -> DatasetVersion:
    """Send the corpus, or find the version that has the same content already; wait until it may be trained on."""
    with tempfile.TemporaryDirectory(prefix="coxswain-demo-") as folder:
        corpus = write_corpus(Path(folder))
        version = find_version(client, corpus)
        if version is None:
            columns = (TextColumn("Sending the dataset"), BarColumn(), DownloadColumn())
            with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
                task = progress.add_task("", total=corpus.size_bytes)
                version = client.datasets.create(
                    DATASET,
                    files=[corpus],
                    description="Source text of the Python standard library, without its tests",
                    format="jsonl",
                    on_bytes=lambda num_bytes: progress.advance(task, num_bytes),
                )
            console.print(f"Dataset {DATASET}@{version.number}: {corpus.size_bytes / 1e6:.1f} MB sent")
        else:
            console.print(f"Dataset {DATASET}@{version.number} has this content already")
    return client.datasets.wait(version.id)


def find_version(client: Client, corpus: LocalFile) -> DatasetVersion | None:
    """Find a version whose only file is this one, by its digest."""
    dataset = client.datasets.find(DATASET)
    if dataset is None:
        return None
    entry = FileRef(path=corpus.name, size_bytes=corpus.size_bytes, sha256=sha256_of(corpus.path))
    wanted = set_digest([entry])
    found = [item for item in client.datasets.versions(dataset.id) if item.digest == wanted and item.state != "failed"]
    return found[0] if found else None


def train(client: Client, version: DatasetVersion, console: Console, *, steps: int) -> Job:
    """Submit the training job and follow it in the terminal.

    Raises:
        CoxswainError: it did not succeed.
    """
    spec = {
        **TRAIN_SPEC,
        "data": {"dataset": f"{DATASET}@{version.number}", "validation_max_samples": 64},
        "steps": steps,
        "schedule": {"kind": "cosine", "warmup_steps": steps // 10},
    }
    job = client.jobs.submit(spec, name=MODEL, slots_per_node=NUM_RANKS)
    console.print(f"Watch it live: {client.url}/jobs/{job.id}\n", highlight=False)
    final = watch_job(client, job, console)
    if final.state != "succeeded":
        raise CoxswainError(f"The training job ended as {final.state}: {final.state_reason}")
    return final


def sample(client: Client, model_version: str, console: Console) -> None:
    """Sample a completion from the version that was trained."""
    spec = {"kind": "generate", "model": model_version, "prompt": PROMPT, "max_new_tokens": 96, "temperature": 0.7}
    job = client.jobs.wait(client.jobs.submit(spec, name=f"{model_version}-sample").id, timeout_s=300)
    completion = (job.result or {})["completions"][0]
    text = completion if completion.startswith(PROMPT) else PROMPT + completion
    console.print(Panel(Text(text), title=f"{model_version} completes", width=min(100, console.width)))


def has_learnt(losses: list[float]) -> bool:
    """Say whether the last losses are well below the first."""
    if len(losses) < 2 * _EDGE_STEPS:
        return False
    return fmean(losses[-_EDGE_STEPS:]) <= LARGEST_FINAL_SHARE * fmean(losses[:_EDGE_STEPS])


def demonstrate(stack: DemoStack, console: Console, *, steps: int) -> bool:
    """Run the whole story on a stack; answer whether the model has learnt."""
    console.print(f"\nDashboard: {stack.url}", highlight=False)
    if console.is_terminal:
        console.print(f"Sign in as {stack.username} with the password {stack.password()}\n", highlight=False)
    else:
        console.print(f"Sign in as {stack.username}; the password is in {stack.password_file}\n", highlight=False)
    with stack.client() as client:
        version = send_dataset(client, console)
        job = train(client, version, console, steps=steps)
        losses = client.jobs.losses(job.id)
        if not losses:
            raise CoxswainError("The job reported no loss")
        first, last = fmean(losses[:_EDGE_STEPS]), fmean(losses[-_EDGE_STEPS:])
        name = job.output_version_name
        if name is None:
            raise CoxswainError("The job made no model version")
        console.print(f"\nLoss {first:.3f} -> {last:.3f}; the result is the model version {name}")
        sample(client, name, console)
    if not has_learnt(losses):
        console.print("The model has not learnt: its last losses are not well below the first.", style="red")
        return False
    return True


def wait_for_interrupt() -> None:
    """Sleep until Ctrl-C or a signal to end."""
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            time.sleep(3600)


def main() -> int:
    """Run the demonstration; the exit code."""
    parser = argparse.ArgumentParser(prog="make demo", description="Train a small language model end to end.")
    parser.add_argument("--exit", action="store_true", help="stop everything at the end instead of at Ctrl-C")
    parser.add_argument("--steps", type=int, default=STEPS, help="training steps (default: %(default)s)")
    options = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 160)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a request to end stops the stack as Ctrl-C does
    console.print("Starting the stack", highlight=False)
    try:
        with running_stack(StackPaths(default_data_dir())) as stack:
            is_good = demonstrate(stack, console, steps=options.steps)
            if not options.exit:
                console.print(f"\nThe stack runs on at {stack.url}. Press Ctrl-C to stop.", highlight=False)
                wait_for_interrupt()
            return 0 if is_good else 1
    except (CoxswainError, StackError, TimeoutError) as error:
        sys.stderr.write(f"Error: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())

"""Following a job in the terminal: a progress bar and one line per reporting step."""

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from coxswain.client import Client, Job

# Metric, heading and format of the columns of a line, where the job reports them.
_COLUMNS = (
    ("loss", "loss", "{:.4f}"),
    ("val_loss", "val", "{:.4f}"),
    ("val_perplexity", "ppl", "{:.1f}"),
    ("learning_rate", "lr", "{:.2e}"),
    ("grad_norm", "grad", "{:.2f}"),
    ("tokens_per_s", "tok/s", "{:,.0f}"),
    ("step_time_s", "s/step", "{:.3f}"),
)


class _Screen:
    """The live part: a bar below the lines that have been printed."""

    def __init__(self, console: Console) -> None:
        self.console = console
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self.progress = Progress(*columns, console=console, disable=not console.is_terminal)
        self._tasks: dict[str, TaskID] = {}

    def phase(self, name: str, done: float, total: float) -> None:
        if name not in self._tasks:
            for task in self._tasks.values():
                self.progress.update(task, visible=False)
            self._tasks[name] = self.progress.add_task(name, total=total)
        self.progress.update(self._tasks[name], completed=done, total=total)

    def line(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False)


def watch_job(client: "Client", job: "Job", console: Console) -> "Job":
    """Print what happens to ``job`` until it has ended; answer it as it is then."""
    screen = _Screen(console)
    last_state = job.state
    screen.line(f"{job.name} #{job.number}: {job.state}")
    with screen.progress:
        _show_progress(screen, job.progress.model_dump())
        for item in client.jobs.follow(job.id, after=0):
            match item.get("kind"):
                case "metrics" if item.get("rank", 0) == 0:
                    _show_metrics(screen, item["series"])
                case "job":
                    state = item["job"]["state"]
                    if state != last_state:
                        reason = item["job"].get("state_reason") or ""
                        screen.line(f"{job.name} #{job.number}: {state}{f' ({reason})' if reason else ''}")
                        last_state = state
                    _show_progress(screen, item["job"].get("progress") or {})
                case "checkpoint":
                    step = item.get("step", item.get("checkpoint", {}).get("step"))
                    screen.line(f"checkpoint at step {step}")
    final = client.jobs.get(job.id)
    if final.state != last_state:
        screen.line(f"{job.name} #{job.number}: {final.state}")
    return final


def _show_progress(screen: _Screen, progress: dict[str, Any]) -> None:
    total_steps = progress.get("total_steps") or 0
    phase = progress.get("phase") or ""
    if total_steps:
        screen.phase("steps", progress.get("step") or 0, total_steps)
    elif phase:
        screen.phase(phase, (progress.get("phase_progress") or 0.0) * 100, 100)


def _show_metrics(screen: _Screen, series: list[dict[str, Any]]) -> None:
    by_step: dict[int, dict[str, Any]] = {}
    for line in series:
        for step, value in zip(line["steps"], line["values"], strict=True):
            by_step.setdefault(step, {})[line["key"]] = value
    for step, values in sorted(by_step.items()):
        parts = [f"{title} {_formatted(shape, values[key])}" for key, title, shape in _COLUMNS if key in values]
        if parts:
            screen.line(f"step {step:>6}  " + "  ".join(parts))


def _formatted(shape: str, value: object) -> str:
    return shape.format(value) if isinstance(value, int | float) else str(value)

"""`cox job ...`: submit, look at, follow and stop jobs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coxswain.cli.output import JsonFlag, print_json, print_lines, print_table, show, size_text

if TYPE_CHECKING:
    from coxswain.client import Client, Job

app = typer.Typer(help="Jobs.", no_args_is_help=True)

Reference = Annotated[str, typer.Argument(metavar="JOB", help="The job's id or number.")]
Project = Annotated[str | None, typer.Option(help="Project, by name or id. Default: your oldest one.")]


@contextmanager
def open_client(project: str | None = None) -> Iterator["Client"]:
    """Connect as the stored login or the environment says."""
    from coxswain.client import Client

    with Client(project=project) as client:
        yield client


@app.command()
def submit(
    spec: Annotated[Path, typer.Argument(help="A YAML or JSON file with the job's spec.", exists=True, dir_okay=False)],
    name: Annotated[str | None, typer.Option(help="Default: the file's name.")] = None,
    project: Project = None,
    pool: Annotated[str | None, typer.Option(help="Pool of nodes to run on.")] = None,
    nodes: Annotated[int | None, typer.Option(min=1)] = None,
    min_nodes: Annotated[int | None, typer.Option(min=1, help="Elastic: go on with so few.")] = None,
    max_nodes: Annotated[int | None, typer.Option(min=1, help="Elastic: grow to so many.")] = None,
    slots_per_node: Annotated[int | None, typer.Option(min=1, help="Ranks on each node.")] = None,
    priority: Annotated[int | None, typer.Option(help="Higher runs first.")] = None,
    source: Annotated[Path | None, typer.Option(help="Folder to send as the source of a script.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Follow the job; exits with 3 unless it succeeds.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Submit a job.

    The file holds the spec itself, or a whole request with the keys name, spec, resources and priority.
    """
    request = _read_request(spec)
    resources = request.get("resources", {})
    with open_client(project) as client:
        code = {"code": client.jobs.upload_source(source)} if source is not None else {}
        job = client.jobs.submit(
            request["spec"] | code,
            name=name or request.get("name") or spec.stem,
            pool=pool or resources.get("pool", "default"),
            nodes=nodes or resources.get("nodes", 1),
            min_nodes=min_nodes or resources.get("min_nodes"),
            max_nodes=max_nodes or resources.get("max_nodes"),
            slots_per_node=slots_per_node or resources.get("slots_per_node", 1),
            priority=priority if priority is not None else request.get("priority", 0),
        )
        if as_json:
            print_json(job.model_dump(mode="json"))
        else:
            print_lines(f"Submitted {job.name} #{job.number}  {client.url}/jobs/{job.id}")
        if watch:
            watch_to_end(client, job)


@app.command("list")
def list_jobs(
    state: Annotated[str | None, typer.Option(help="Only jobs in this state.")] = None,
    project: Annotated[str | None, typer.Option(help="Only jobs of this project, by id.")] = None,
    limit: Annotated[int, typer.Option(min=1)] = 50,
    as_json: JsonFlag = False,
) -> None:
    """List jobs, newest first."""
    with open_client() as client:
        jobs = client.jobs.list(limit=limit, state=state, project=project)
    columns = ("number", "name", "kind", "state", "step", "loss", "created", "id")
    show(jobs, as_json=as_json, columns=columns, row=_row)


@app.command("show")
def show_job(job: Reference, as_json: JsonFlag = False) -> None:
    """Show one job."""
    with open_client() as client:
        found = client.jobs.find(job)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    facts = {
        "name": f"{found.name} #{found.number}", "id": found.id, "kind": found.kind, "state": found.state,
        "reason": found.state_reason, "progress": _progress(found), "latest": found.latest,
        "result": found.result, "version": found.output_version_name, "created": found.created_at,
        "started": found.started_at, "ended": found.ended_at,
    }  # fmt: skip
    print_table(("", ""), [(key, value) for key, value in facts.items() if value is not None and value != ""])


@app.command()
def logs(
    job: Reference,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job has ended.")] = False,
    rank: Annotated[int, typer.Option(help="Which rank; -1 is the agent.")] = 0,
    stream: Annotated[str, typer.Option(help="stdout or stderr.")] = "stdout",
) -> None:
    """Print a rank's output."""
    from coxswain.cli.job_logs import print_logs

    with open_client() as client:
        print_logs(client, client.jobs.find(job), rank=rank, stream=stream, follow=follow)


@app.command()
def watch(job: Reference) -> None:
    """Follow a job: progress and one line per reporting step; exits with 3 unless it succeeds."""
    with open_client() as client:
        watch_to_end(client, client.jobs.find(job))


@app.command()
def cancel(job: Reference, as_json: JsonFlag = False) -> None:
    """Ask a job to save and stop."""
    _command(job, "cancel", as_json=as_json)


@app.command()
def kill(job: Reference, as_json: JsonFlag = False) -> None:
    """End a job now."""
    _command(job, "kill", as_json=as_json)


@app.command()
def rerun(job: Reference, as_json: JsonFlag = False) -> None:
    """Submit a job's spec again as a new job."""
    _command(job, "rerun", as_json=as_json)


@app.command()
def download(
    job: Reference,
    output_dir: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder to write to. Default: job-<number>.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Download what an export or a script has left, with the digests checked."""
    with open_client() as client:
        found = client.jobs.find(job)
        folder = output_dir or Path(f"job-{found.number}")
        written = client.jobs.download_output(found.id, folder)
    if as_json:
        print_json([str(path) for path in written])
    else:
        total = sum(path.stat().st_size for path in written)
        print_lines(f"{folder}: {len(written)} files, {size_text(total)}")


def _command(reference: str, verb: str, *, as_json: bool) -> None:
    with open_client() as client:
        found = client.jobs.find(reference)
        changed = getattr(client.jobs, verb)(found.id)
    if as_json:
        print_json(changed.model_dump(mode="json"))
    else:
        print_lines(f"{changed.name} #{changed.number}: {changed.state}  ({changed.id})")


def watch_to_end(client: "Client", job: "Job", *, is_silent: bool = False) -> None:
    """Follow a job to its end, and show how it goes unless ``is_silent``.

    Raises:
        JobDidNotSucceed: it ended otherwise than succeeded.
    """
    from coxswain.cli.watch import watch_job
    from coxswain.client import JobDidNotSucceed

    if is_silent:
        client.jobs.wait(job.id)
        return
    final = watch_job(client, job)
    if final.state != "succeeded":
        raise JobDidNotSucceed(f"{final.name} #{final.number} {final.state}: {final.state_reason}")


def _read_request(path: Path) -> dict[str, Any]:
    """Read a spec file: a bare spec becomes a request.

    Raises:
        CoxswainError: it is neither.
    """
    import yaml

    from coxswain.client import CoxswainError

    try:
        content = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CoxswainError(f"{path} is not YAML: {error}") from error
    if not isinstance(content, dict):
        raise CoxswainError(f"{path} holds no mapping")
    if "spec" in content:
        return content
    if "kind" not in content:
        raise CoxswainError(f"{path} has neither a `kind` (a spec) nor a `spec` (a whole request)")
    return {"spec": content}


def _progress(job: "Job") -> str:
    progress = job.progress
    return f"{progress.step}/{progress.total_steps}" if progress.total_steps else progress.phase


def _row(job: "Job") -> tuple[object, ...]:
    loss = (job.latest or {}).get("loss")
    shown = f"{loss:.3f}" if isinstance(loss, float) else loss
    return (job.number, job.name, job.kind, job.state, _progress(job), shown, job.created_at[:19], job.id)

"""`cox job ...`: submit, look at, follow and stop jobs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from coxswain.cli.completion import job_references
from coxswain.cli.connection import Project, open_client
from coxswain.cli.output import JsonFlag, print_item, print_json, print_lines, show, size_text

if TYPE_CHECKING:
    from coxswain.client import Client, Job

app = typer.Typer(help="Jobs.", no_args_is_help=True)

Reference = Annotated[
    str,
    typer.Argument(metavar="JOB", help="The job's number, id, or a name only it has.", autocompletion=job_references),
]
Rank = Annotated[int, typer.Option(help="Which rank; -1 is the agent.")]
Watch = Annotated[bool, typer.Option("--watch", help="Follow the job; exits with 3 unless it succeeds.")]


@app.command()
def submit(
    spec: Annotated[Path, typer.Argument(help="A YAML or JSON file with the job's spec.", exists=True, dir_okay=False)],
    name: Annotated[str | None, typer.Option(help="Default: the file's name.")] = None,
    project: Project = None,
    pool: Annotated[str | None, typer.Option(help="Pool of nodes to run on.")] = None,
    nodes: Annotated[int | None, typer.Option(min=1, help="How many nodes.")] = None,
    min_nodes: Annotated[int | None, typer.Option(min=1, help="Elastic: go on with so few.")] = None,
    max_nodes: Annotated[int | None, typer.Option(min=1, help="Elastic: grow to so many.")] = None,
    slots_per_node: Annotated[int | None, typer.Option(min=1, help="Ranks on each node.")] = None,
    priority: Annotated[int | None, typer.Option(help="Higher runs first.")] = None,
    source: Annotated[Path | None, typer.Option(help="Folder to send as the source of a script.")] = None,
    watch: Watch = False,
    as_json: JsonFlag = False,
) -> None:
    """Submit a job.

    The file holds the spec itself, or a whole request with the keys name, spec, resources and priority.
    """
    from coxswain.cli.spec_files import read_request

    request = read_request(spec)
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
        _announce(client, job, watch=watch, as_json=as_json)


@app.command("list")
def list_jobs(
    state: Annotated[str | None, typer.Option(help="Only jobs in this state, or in several: running,queued.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only jobs of this kind.")] = None,
    search: Annotated[str | None, typer.Option(help="Only jobs whose name holds this.")] = None,
    project: Annotated[str | None, typer.Option(help="Only jobs of this project, by name or id.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    as_json: JsonFlag = False,
) -> None:
    """List jobs, newest first."""
    with open_client(project) as client:
        filters = {"state": state, "kind": kind, "search": search}
        wanted = client.default_project() if project else None
        jobs = client.jobs.list(limit=limit, project=wanted, **filters)
    columns = ("number", "name", "kind", "state", "step", "loss", "created", "id")
    show(jobs, as_json=as_json, columns=columns, row=_row)


@app.command("show")
def show_job(job: Reference, as_json: JsonFlag = False) -> None:
    """Show one job."""
    with open_client() as client:
        found = client.jobs.find(job)
    facts = {
        "name": f"{found.name} #{found.number}", "id": found.id, "kind": found.kind, "state": found.state,
        "reason": found.state_reason, "progress": str(found.progress), "latest": found.latest,
        "result": found.result, "version": found.output_version_name, "created": found.created_at,
        "started": found.started_at, "ended": found.ended_at,
    }  # fmt: skip
    print_item(found, as_json=as_json, facts=facts)


@app.command()
def logs(
    job: Reference,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job has ended.")] = False,
    rank: Rank = 0,
    stream: Annotated[str, typer.Option(help="stdout or stderr.")] = "stdout",
    as_json: JsonFlag = False,
) -> None:
    """Print a rank's output; with --json one document a line, each with its place in bytes."""
    from coxswain.cli.job_logs import LogPrinter

    with open_client() as client:
        printer = LogPrinter(client, client.jobs.find(job), rank=rank, stream=stream, as_json=as_json)
        printer.print_all(follow=follow)


@app.command()
def watch(job: Reference, as_json: JsonFlag = False) -> None:
    """Follow a job: progress and one line per reporting step; exits with 3 unless it succeeds."""
    with open_client() as client:
        watch_to_end(client, client.jobs.find(job), as_json=as_json)


@app.command()
def cancel(job: Reference, as_json: JsonFlag = False) -> None:
    """Ask a job to save and stop."""
    _command(job, "cancel", as_json=as_json)


@app.command()
def kill(job: Reference, as_json: JsonFlag = False) -> None:
    """End a job now."""
    _command(job, "kill", as_json=as_json)


@app.command()
def rerun(
    job: Reference,
    edit: Annotated[bool, typer.Option("--edit", help="Open the request in $EDITOR first.")] = False,
    watch: Watch = False,
    as_json: JsonFlag = False,
) -> None:
    """Submit a job's spec again as a new job."""
    from coxswain.cli.editing import edit_and_submit

    with open_client() as client:
        found = client.jobs.find(job)
        again = edit_and_submit(client, found) if edit else client.jobs.rerun(found.id)
        _announce(client, again, watch=watch, as_json=as_json)


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


def _announce(client: "Client", job: "Job", *, watch: bool, as_json: bool) -> None:
    """Tell of a new job, then follow it where asked; as JSON, its last state is the one document."""
    if as_json and not watch:
        print_json(job.model_dump(mode="json"))
    elif not as_json:
        print_lines(f"Submitted {job.name} #{job.number}  {job.url}")
    if watch:
        watch_to_end(client, job, as_json=as_json)


def watch_to_end(client: "Client", job: "Job", *, as_json: bool = False) -> None:
    """Follow a job to its end and show how it goes; as JSON, its last state is the one document.

    Raises:
        JobDidNotSucceed: it ended otherwise than succeeded.
    """
    from rich.console import Console

    from coxswain.cli.watch import watch_job
    from coxswain.client import JobDidNotSucceed

    final = watch_job(client, job, Console(stderr=as_json))
    if as_json:
        print_json(final.model_dump(mode="json"))
    if final.state != "succeeded":
        raise JobDidNotSucceed(f"{final.name} #{final.number} {final.state}: {final.state_reason}")


def _row(job: "Job") -> tuple[object, ...]:
    loss = (job.latest or {}).get("loss")
    shown = f"{loss:.3f}" if isinstance(loss, float) else loss
    return (job.number, job.name, job.kind, job.state, job.progress, shown, job.created_at[:19], job.id)

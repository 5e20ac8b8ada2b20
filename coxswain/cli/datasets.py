"""`cox dataset ...`: create datasets from local files and look at them."""

from pathlib import Path
from typing import Annotated

import typer

from coxswain.cli.completion import dataset_names
from coxswain.cli.connection import Project, open_client
from coxswain.cli.output import JsonFlag, print_json, print_lines, print_table, show, size_text

app = typer.Typer(help="Datasets.", no_args_is_help=True)


@app.command()
def create(
    name: Annotated[
        str,
        typer.Argument(help="Name of the dataset; a new version when it exists.", autocompletion=dataset_names),
    ],
    paths: Annotated[list[Path], typer.Argument(help="Files or folders to send.")],
    project: Project = None,
    description: Annotated[str, typer.Option(help="Of a new dataset.")] = "",
    format: Annotated[str, typer.Option(help="auto, text, jsonl or parquet.")] = "auto",
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not wait until it has been read.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Create a dataset, or a new version of one, from local files."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    from coxswain.client.transfers import collect_files

    files = collect_files(paths)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with open_client(project) as client:
        with Progress(*columns, console=Console(stderr=True)) as progress:
            task = progress.add_task("Sending", total=sum(file.size_bytes for file in files))
            version = client.datasets.create(
                name, files=files, description=description, format=format,
                on_bytes=lambda num_bytes: progress.advance(task, num_bytes),
            )  # fmt: skip
        if not no_wait:
            version = client.datasets.wait(version.id)
    if as_json:
        print_json(version.model_dump(mode="json"))
    else:
        total = size_text(sum(file.size_bytes for file in files))
        print_lines(f"{name}@{version.number}: {len(files)} files, {total}, {version.state}")


@app.command("list")
def list_datasets(
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50, as_json: JsonFlag = False
) -> None:
    """List datasets, newest first."""
    with open_client() as client:
        found = client.datasets.list(limit=limit)
    show(
        found,
        as_json=as_json,
        columns=("name", "format", "description", "id"),
        row=lambda item: (item.name, item.format, item.description, item.id),
    )


@app.command("show")
def show_dataset(
    name: Annotated[str, typer.Argument(help="Name of the dataset.", autocompletion=dataset_names)],
    project: Project = None,
    as_json: JsonFlag = False,
) -> None:
    """Show a dataset and its versions, newest first."""
    from coxswain.client import NotFound

    with open_client(project) as client:
        dataset = client.datasets.find(name)
        if dataset is None:
            raise NotFound(f"There is no dataset {name!r}: `cox dataset list` shows what you may see")
        versions = client.datasets.versions(dataset.id)
    if as_json:
        documents = [version.model_dump(mode="json") for version in versions]
        print_json({**dataset.model_dump(mode="json"), "versions": documents})
        return
    print_lines(f"{dataset.name}  {dataset.format}  {dataset.description}")
    rows = [
        (
            f"{name}@{item.number}",
            item.state,
            item.num_files,
            size_text(item.size_bytes),
            item.created_at[:19],
            item.error,
        )
        for item in versions
    ]
    print_table(("version", "state", "files", "size", "created", "problem"), rows)

"""`cox model ...`: list and download model versions."""

from pathlib import Path
from typing import Annotated

import typer

from coxswain.cli.jobs import open_client
from coxswain.cli.output import JsonFlag, print_json, print_lines, show, size_text

app = typer.Typer(help="Model versions.", no_args_is_help=True)


@app.command("list")
def list_models(limit: Annotated[int, typer.Option(min=1)] = 50, as_json: JsonFlag = False) -> None:
    """List model versions, newest first."""
    with open_client() as client:
        found = client.models.list(limit=limit)
    show(
        found,
        as_json=as_json,
        columns=("version", "stage", "parameters", "id"),
        row=lambda item: (item.name, item.stage, f"{item.num_parameters:,}", item.id),
    )


@app.command()
def download(
    version: Annotated[str, typer.Argument(help="Name of the version, such as tiny_v3, or its id.")],
    output_dir: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder to write to. Default: the version's name.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Download all files of a version in the Hugging Face layout, with their digests checked."""
    folder = output_dir or Path(version)
    with open_client() as client:
        written = client.models.download(version, folder)
    if as_json:
        print_json([str(path) for path in written])
    else:
        total = sum(path.stat().st_size for path in written)
        print_lines(f"{folder}: {len(written)} files, {size_text(total)}")

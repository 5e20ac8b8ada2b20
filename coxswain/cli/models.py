"""`cox model ...`: look at model versions and download them."""

from pathlib import Path
from typing import Annotated

import typer

from coxswain.cli.completion import version_names
from coxswain.cli.connection import open_client
from coxswain.cli.output import JsonFlag, print_item, print_json, print_lines, print_table, show, size_text

app = typer.Typer(help="Model versions.", no_args_is_help=True)

Version = Annotated[
    str, typer.Argument(help="Name of the version, such as tiny_v3, or its id.", autocompletion=version_names)
]


@app.command("list")
def list_models(
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50, as_json: JsonFlag = False
) -> None:
    """List model versions, newest first."""
    with open_client() as client:
        found = client.models.list(limit=limit)
    show(
        found,
        as_json=as_json,
        columns=("version", "stage", "parameters", "id"),
        row=lambda item: (item.name, item.stage, f"{item.num_parameters:,}", item.id),
    )


@app.command("show")
def show_version(version: Version, as_json: JsonFlag = False) -> None:
    """Show a version: where it comes from, its metrics, its files."""
    with open_client() as client:
        found = client.models.get(version)
    facts = {
        "name": found.name, "id": found.id, "stage": found.stage, "parameters": f"{found.num_parameters:,}",
        "parent": found.parent, "trained on": found.dataset_version, "created": found.created_at[:19],
        **{name: f"{value:.4g}" if isinstance(value, float) else value for name, value in found.metrics.items()},
    }  # fmt: skip
    print_item(found, as_json=as_json, facts=facts)
    if not as_json:
        print_table(
            ("file", "size", "sha256"), [(file.path, size_text(file.size_bytes), file.sha256) for file in found.files]
        )


@app.command()
def download(
    version: Version,
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

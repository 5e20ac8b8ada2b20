"""`cox secret ...`: credentials for a project's jobs. Values are read from stdin or a prompt, never from arguments."""

import sys
from typing import Annotated

import typer

from coxswain.cli.completion import secret_names
from coxswain.cli.connection import Project, open_client
from coxswain.cli.output import JsonFlag, print_json, print_lines, show

app = typer.Typer(help="Secrets of a project.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name of the secret.", autocompletion=secret_names)]


@app.command("set")
def set_secret(name: Name, project: Project = None, as_json: JsonFlag = False) -> None:
    """Set a secret: `cox secret set deploy-key < key`, or type its value.

    A value of one line loses its newline; one of several lines, such as a key, is kept as it is.
    """
    value = _read_value()
    with open_client(project) as client:
        secret = client.secrets.set(name, value)
    if as_json:
        print_json(secret.model_dump(mode="json"))
    else:
        print_lines(f"{secret.name} is set")


@app.command("list")
def list_secrets(project: Project = None, as_json: JsonFlag = False) -> None:
    """List a project's secrets; their values are readable nowhere."""
    with open_client(project) as client:
        found = client.secrets.list()
    show(
        found,
        as_json=as_json,
        columns=("name", "set by", "set at"),
        row=lambda item: (item.name, item.set_by, item.set_at),
    )


@app.command()
def delete(name: Name, project: Project = None, as_json: JsonFlag = False) -> None:
    """Delete a secret with its value."""
    with open_client(project) as client:
        client.secrets.delete(name)
    if as_json:
        print_json({"deleted": name})
    else:
        print_lines(f"{name} is deleted")


def _read_value() -> str:
    """Read the value: stdin's whole text where it is no terminal, else what is typed, unseen, twice."""
    if sys.stdin.isatty():
        typed: str = typer.prompt("Value", hide_input=True, confirmation_prompt=True)
        return typed
    value = sys.stdin.read()
    return value.rstrip("\r\n") if value.count("\n") <= 1 else value

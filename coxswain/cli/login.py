"""`cox login`: remember a control plane and a token for it."""

import os
import platform
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from coxswain.cli.output import JsonFlag, print_json, print_lines

_DEFAULT_URL = "http://127.0.0.1:8700"


class TokenScope(StrEnum):
    """Each allows what the one before allows, and more; none more than its owner may."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


def login(
    url: Annotated[str, typer.Option(help="Address of the control plane.", envvar="COX_URL")] = _DEFAULT_URL,
    token: Annotated[
        str | None,
        typer.Option(
            help="An API token (cox_...). Without one, user name and password are asked for.", envvar="COX_TOKEN"
        ),
    ] = None,
    username: Annotated[str | None, typer.Option(help="User name, to create a token with.")] = None,
    password_file: Annotated[
        Path | None, typer.Option(help="A file with the password; it is asked for without one.")
    ] = None,
    stack: Annotated[
        bool, typer.Option("--stack", help="Sign in to the stack that runs on this machine, as its first user.")
    ] = False,
    scope: Annotated[TokenScope, typer.Option(help="What the new token allows.")] = TokenScope.WRITE,
    as_json: JsonFlag = False,
) -> None:
    """Store the address and a token in ~/.config/coxswain; COX_URL and COX_TOKEN override them."""
    from coxswain.client import Client
    from coxswain.client.session import create_token
    from coxswain.client.settings import Credentials, save_credentials

    if stack:
        url, username, password_file = _stack_credentials()
    if token is None:
        username = username or typer.prompt("User name")
        password = password_file.read_text().strip() if password_file else typer.prompt("Password", hide_input=True)
        name = f"cox on {platform.node()}"
        token = create_token(url, username=username, password=password, name=name, scopes=(scope.value,))
    with Client(url, token) as client:
        projects = client.projects()
    path = save_credentials(Credentials(url, token))
    if as_json:
        print_json({"url": url, "projects": [project.name for project in projects], "stored_in": str(path)})
        return
    print_lines(f"Signed in to {url} ({len(projects)} projects visible); the token is in {path}")
    if os.environ.get("COX_URL") or os.environ.get("COX_TOKEN"):
        print_lines("COX_URL or COX_TOKEN is set and will be used instead of it.")


def _stack_credentials() -> tuple[str, str, Path]:
    """Address, first user and password file of this machine's stack.

    Raises:
        StackError: none runs on the data directory.
    """
    from coxswain.stack.errors import StackError
    from coxswain.stack.paths import StackPaths, default_data_dir
    from coxswain.stack.plan import ADMIN_USERNAME
    from coxswain.stack.secrets import load_secrets
    from coxswain.stack.state import is_running, load_state

    paths = StackPaths(default_data_dir())
    if not is_running(paths):
        raise StackError(
            f"No stack runs on {paths.root}: start it with `cox up`, or set COX_DATA_DIR to where one does"
        )
    return load_state(paths.state).url, ADMIN_USERNAME, load_secrets(paths.secrets).admin_password_file

"""`cox login`: remember a control plane and a token for it."""

import os
import platform
from typing import Annotated

import typer

from coxswain.cli.output import print_lines

_DEFAULT_URL = "http://127.0.0.1:8700"


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
        str | None, typer.Option(help="A file with the password; it is asked for without one.")
    ] = None,
) -> None:
    """Store the address and a token in ~/.config/coxswain; COX_URL and COX_TOKEN override them."""
    from coxswain.client import Client
    from coxswain.client.session import create_token
    from coxswain.client.settings import Credentials, save_credentials

    if token is None:
        username = username or typer.prompt("User name")
        if password_file:
            with open(password_file) as stream:  # noqa: PTH123 (a plain read)
                password = stream.read().strip()
        else:
            password = typer.prompt("Password", hide_input=True)
        token = create_token(url, username=username, password=password, name=f"cox on {platform.node()}")
    with Client(url, token) as client:
        projects = client.projects()
    path = save_credentials(Credentials(url, token))
    print_lines(f"Signed in to {url} ({len(projects)} projects visible); the token is in {path}")
    if os.environ.get("COX_URL") or os.environ.get("COX_TOKEN"):
        print_lines("COX_URL or COX_TOKEN is set and will be used instead of it.")

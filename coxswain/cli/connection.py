"""What every command that talks to a control plane begins with."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from coxswain.client import Client

Project = Annotated[str | None, typer.Option(help="Project, by name or id. Default: your oldest one.")]


@contextmanager
def open_client(project: str | None = None) -> Iterator["Client"]:
    """Connect as the stored login or the environment says."""
    from coxswain.client import Client

    with Client(project=project) as client:
        yield client

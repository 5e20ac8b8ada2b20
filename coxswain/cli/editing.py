"""Editing a job's request in $EDITOR before it runs again. What was typed is never lost: a refusal keeps the file."""

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import typer
import yaml

from coxswain.cli.output import print_error
from coxswain.cli.spec_files import parse_request
from coxswain.client.errors import ApiError, CoxswainError

if TYPE_CHECKING:
    from coxswain.client import Client, Job

_HEADER = "# Change what you like, save, and leave the editor. Unchanged, nothing is submitted.\n"
_CLIENT_ERRORS = range(400, 500)


def edit_and_submit(client: "Client", job: "Job") -> "Job":
    """Let a person edit the request that made ``job``, and submit what they saved.

    What is refused is shown, in the file too, and may be edited again.

    Raises:
        CoxswainError: nothing was changed, the editor failed, or the person gave up; then the file is kept and named.
    """
    descriptor, name = tempfile.mkstemp(prefix=f"cox-{job.number}-", suffix=".yaml")
    os.close(descriptor)
    path = Path(name)
    original = yaml.safe_dump(
        {"name": job.name, "priority": job.priority, "resources": job.resources, "spec": job.spec}, sort_keys=False
    )
    path.write_text(_HEADER + original)
    while True:
        _open_editor(path)
        edited = _without_comments(path.read_text())
        if edited == original:
            path.unlink()
            raise CoxswainError("Nothing was changed, so nothing was submitted: without --edit the job runs as it was")
        try:
            submitted = _submit(client, job, edited)
        except (ValueError, ApiError) as error:
            if isinstance(error, ApiError) and error.status not in _CLIENT_ERRORS:
                raise CoxswainError(f"{error}\n  What you edited is in {path}") from error
            _show_refusal(path, edited, error)
            if not sys.stdin.isatty() or not typer.confirm("Edit again?", default=True, err=True):
                raise CoxswainError(f"Nothing was submitted. What you edited is in {path}") from error
        else:
            path.unlink()
            return submitted


def _submit(client: "Client", job: "Job", text: str) -> "Job":
    request = parse_request(text)
    return client.jobs.submit(
        request["spec"],
        name=request.get("name", job.name),
        project=(job.model_extra or {}).get("project"),
        priority=request.get("priority", job.priority),
        **request.get("resources", job.resources),
    )


def _open_editor(path: Path) -> None:
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        done = subprocess.run([*shlex.split(editor), str(path)], check=False)
    except FileNotFoundError as error:
        raise CoxswainError(f"The editor {editor!r} is not there: set EDITOR. The file is {path}") from error
    if done.returncode != 0:
        raise CoxswainError(f"The editor ended with {done.returncode}. What you edited is in {path}")


def _show_refusal(path: Path, text: str, error: Exception) -> None:
    print_error(str(error))
    comment = "".join(f"# {line}\n" for line in str(error).splitlines())
    path.write_text(_HEADER + comment + text)


def _without_comments(text: str) -> str:
    """``text`` without the lines at its top that we wrote."""
    lines = text.splitlines(keepends=True)
    while lines and lines[0].startswith("#"):
        lines.pop(0)
    return "".join(lines)

"""Every command of `cox`, from the command line's own description of itself."""

import inspect
from typing import Any

import typer.main

from coxswain.cli import output
from coxswain.cli.app import app
from scripts.docs_site.markdown import code, table


def page() -> str:
    """Write the page."""
    text = (
        "# Command line\n\nEvery command takes `--help`. Completion: `cox --install-completion`.\n\n## Exit codes\n\n"
    )
    text += (output.__doc__ or "").split("Exit codes:", 1)[1].strip().replace("; ", "\n- ").join(["- ", "\n\n"])
    return text + "".join(_commands(typer.main.get_command(app), "cox"))


def _commands(command: Any, name: str) -> list[str]:
    """Describe a command, or every command of a group."""
    if not hasattr(command, "commands"):
        return [_describe(command, name)]
    heading = (
        [f"## {name}\n\n{_text(command)}\n\n"]
        if name != "cox"
        else ["## cox\n\nThe embedded stack and signing in.\n\n"]
    )
    plain = [child for child in command.commands.items() if not hasattr(child[1], "commands")]
    groups = [child for child in command.commands.items() if hasattr(child[1], "commands")]
    return heading + [part for label, child in plain + groups for part in _commands(child, f"{name} {label}")]


def _describe(command: Any, name: str) -> str:
    context = typer.Context(command, info_name=name)
    records = [record for parameter in command.params if (record := parameter.get_help_record(context))]
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    described = table(("Argument or option", "Meaning"), [(code(names), text) for names, text in records])
    return f"### {name}\n\n{_text(command)}\n\n```text\n{usage}\n```\n\n{described}\n"


def _text(command: Any) -> str:
    return inspect.cleandoc(command.help or "")

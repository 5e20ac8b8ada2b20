"""What the commands print: tables for people, JSON for programs (errors too), errors on stderr with an exit code.

Exit codes: 0 done; 1 refused or failed; 2 wrong usage; 3 a job that was watched ended otherwise than succeeded;
4 no answer from the control plane; 5 no stack runs; 6 not there, or not yours to see or do; 130 interrupted.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import typer

EXIT_FAILED = 1
EXIT_JOB_FAILED = 3
EXIT_UNREACHABLE = 4
EXIT_NOT_RUNNING = 5
EXIT_NOT_FOUND = 6
EXIT_INTERRUPTED = 130

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def print_json(value: object) -> None:
    """Write one JSON document to stdout."""
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")


def print_lines(text: str) -> None:
    """Write text to stdout as it is: no markup is interpreted in it."""
    sys.stdout.write(text if text.endswith("\n") else text + "\n")


def print_json_line(value: object) -> None:
    """Write one JSON document on one line, at once: what follows a job is read as it comes."""
    sys.stdout.write(json.dumps(value, default=str) + "\n")
    sys.stdout.flush()


def print_item(item: Any, *, as_json: bool, facts: Mapping[str, object]) -> None:
    """Print one client model as JSON, or the named facts of it that there are."""
    if as_json:
        print_json(item.model_dump(mode="json"))
    else:
        print_table(("", ""), [(name, value) for name, value in facts.items() if value is not None and value != ""])


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Write a table to stdout."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    Console(soft_wrap=not sys.stdout.isatty(), width=None if sys.stdout.isatty() else 200).print(table)


def show(
    items: Sequence[Any], *, as_json: bool, columns: Sequence[str], row: Callable[[Any], Sequence[object]]
) -> None:
    """Print client models as JSON or as a table."""
    if as_json:
        print_json([item.model_dump(mode="json") for item in items])
    else:
        print_table(columns, [row(item) for item in items])


def print_error(message: str) -> None:
    """Write a message for a person to stderr."""
    sys.stderr.write(f"Error: {message}\n")


def size_text(num_bytes: float) -> str:
    """Write a number of bytes the way people read it."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if num_bytes < 1024:
            return f"{num_bytes:.0f} {unit}" if unit == "B" else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1024
    return f"{num_bytes:.1f} TiB"

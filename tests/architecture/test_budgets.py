"""Size budgets: a god file grows one reasonable line at a time, so a test counts.

An excess is split along a seam that has a name, or listed here with the reason why it is better whole.
"""

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from workers.contract.jobs import JOB_KINDS

ROOT = Path(__file__).parents[2]
MAX_PYTHON_LINES = 400
MAX_TORCH_LINES = 500
MAX_FUNCTION_LINES = 50
MAX_TSX_LINES = 200
MAX_TS_LINES = 300
MAX_SPEC_FIELDS = 15
"""Beside ``kind`` and ``version``, which every spec has."""

# Path or path::function -> why it is better whole.
EXCEPTIONS: dict[str, str] = {
    "train": "stored specs keep the flat fields they were written with; what is new is grouped in sections",
}

_FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "misc"}
_GENERATED = ("/migrations/", "frontend/src/lib/api-schema.d.ts")


def tracked(*patterns: str) -> list[str]:
    """List the project's files, new ones included, that match the patterns."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    found = sorted(path for path in set(listed) if (ROOT / path).is_file())
    return [path for path in found if not any(part in f"/{path}" for part in _GENERATED)]


def product_files() -> list[str]:
    """List the Python files that are no tests: a test may tell a long story, and its data may be in any script."""
    return [path for path in tracked("*.py") if not path.startswith("tests/")]


def num_lines(path: str) -> int:
    """Count the lines of a file."""
    return len((ROOT / path).read_text(encoding="utf-8").splitlines())


def functions(path: str) -> Iterator[tuple[str, int]]:
    """Yield every function of a file with its number of lines, decorators left out."""
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield f"{path}::{node.name}", node.end_lineno - node.lineno + 1


def excesses(sizes: dict[str, int], budget: int) -> list[str]:
    """Describe what is beyond the budget and not excused."""
    return [f"{name}: {size} > {budget}" for name, size in sizes.items() if size > budget and name not in EXCEPTIONS]


def python_files() -> tuple[dict[str, int], dict[str, int]]:
    """Lines of the runtime's files, and of all others."""
    torch = {path: num_lines(path) for path in tracked("workers/runtime/*.py")}
    return torch, {path: num_lines(path) for path in tracked("*.py") if path not in torch}


def function_sizes() -> dict[str, int]:
    """Lines of every function of the product."""
    return {name: size for path in product_files() for name, size in functions(path)}


def front_end_files(pattern: str) -> dict[str, int]:
    """Lines of the files that match and are no tests."""
    return {path: num_lines(path) for path in tracked(pattern) if ".test." not in path}


def spec_sizes() -> dict[str, int]:
    """Fields of each kind's spec."""
    return {kind: len(set(spec.model_fields) - {"kind", "version"}) for kind, spec in JOB_KINDS.items()}


def test_python_files_are_within_their_budget() -> None:
    torch, rest = python_files()
    assert excesses(torch, MAX_TORCH_LINES) + excesses(rest, MAX_PYTHON_LINES) == []


def test_functions_are_within_their_budget() -> None:
    assert excesses(function_sizes(), MAX_FUNCTION_LINES) == []


@pytest.mark.parametrize(("pattern", "budget"), [("frontend/*.tsx", MAX_TSX_LINES), ("frontend/*.ts", MAX_TS_LINES)])
def test_front_end_files_are_within_their_budget(pattern: str, budget: int) -> None:
    assert excesses(front_end_files(pattern), budget) == []


def test_specs_have_few_fields() -> None:
    assert excesses(spec_sizes(), MAX_SPEC_FIELDS) == []


def test_every_exception_is_still_needed_and_has_a_reason() -> None:
    torch, rest = python_files()
    measured = [
        (torch, MAX_TORCH_LINES), (rest, MAX_PYTHON_LINES), (function_sizes(), MAX_FUNCTION_LINES),
        (front_end_files("frontend/*.tsx"), MAX_TSX_LINES), (front_end_files("frontend/*.ts"), MAX_TS_LINES),
        (spec_sizes(), MAX_SPEC_FIELDS),
    ]  # fmt: skip
    beyond = {name for sizes, budget in measured for name, size in sizes.items() if size > budget}
    assert [name for name, reason in EXCEPTIONS.items() if name not in beyond or not reason] == []


def test_no_module_has_a_name_that_says_nothing() -> None:
    paths = tracked("*.py", "*.ts", "*.tsx")
    assert [path for path in paths if {part.split(".")[0] for part in Path(path).parts} & _FORBIDDEN_NAMES] == []


def test_every_module_says_what_it_is() -> None:
    def is_silent(path: str) -> bool:
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        return bool(tree.body) and ast.get_docstring(tree) is None

    assert [path for path in tracked("*.py") if is_silent(path)] == []


def test_python_sources_are_ascii() -> None:
    assert [path for path in product_files() if not (ROOT / path).read_bytes().isascii()] == []

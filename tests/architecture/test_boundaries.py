"""Boundaries that a reader of import statements cannot see: what is loaded at run time, and what is registered."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from workers.contract.jobs import JOB_KINDS

ROOT = Path(__file__).parents[2]

_LOADED = "import sys, json; {imports}; print(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
_HANDLED = """
import json
import workers.runtime.jobs
from workers.runtime.jobs import compress, evaluate, generate, train
from workers.runtime.jobs.registry import HANDLERS
print(json.dumps(sorted(spec.model_fields["kind"].default for spec in HANDLERS)))
"""


def answer_of(code: str) -> list[str]:
    """Run ``code`` in a fresh interpreter and answer the JSON list it prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize(
    "imports",
    [
        "import controlplane.asgi, controlplane.celery",
        "import workers.agent.__main__",
        "import coxswain.cli.app, coxswain.client",
        "import django; django.setup(); import apps.jobs.management.commands.scheduler",
    ],
)
def test_process_without_ranks_never_loads_torch(imports: str) -> None:
    assert not {"torch", "transformers"} & set(answer_of(_LOADED.format(imports=imports)))


def test_agent_never_loads_the_server() -> None:
    loaded = answer_of(_LOADED.format(imports="import workers.agent.__main__"))
    assert not {"apps", "controlplane", "rest_framework", "channels"} & set(loaded)


def test_command_line_starts_without_what_its_commands_need() -> None:
    loaded = answer_of(_LOADED.format(imports="import coxswain.cli.app"))
    assert not {"httpx", "pydantic", "psycopg", "yaml"} & set(loaded)


def test_what_scripts_import_needs_the_standard_library_alone() -> None:
    for name in ("__init__", "run", "run_files", "run_stop"):
        tree = ast.parse((ROOT / "coxswain" / f"{name}.py").read_text())
        imported = [
            (node.module or "") if isinstance(node, ast.ImportFrom) else node.names[0].name
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
        ]
        strangers = [module for module in imported if module.split(".")[0] not in sys.stdlib_module_names]
        assert all(module.startswith("coxswain.run") for module in strangers), (name, strangers)


def test_every_kind_of_job_has_a_handler_and_every_handler_a_kind() -> None:
    """But a script, which is a program of its own."""
    assert answer_of(_HANDLED) == sorted(set(JOB_KINDS) - {"script"})

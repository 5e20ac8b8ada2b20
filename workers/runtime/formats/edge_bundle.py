"""A zip file that answers prompts on a bare machine: graph, tokenizer, a program without torch, and their digests.

Before it is kept it is unpacked elsewhere and asked something, by a Python that cannot import the training stack.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from workers.runtime.errors import UserError
from workers.runtime.files import sha256_of_file

BUNDLE_FILE = "edge-bundle.zip"
PROGRAM_FILE = "run.py"
_FOLDER = "edge-bundle"
_MANIFEST = "manifest.json"
_NEEDS = ("numpy", "onnxruntime", "tokenizers")
_BEGINNING = (1980, 1, 1, 0, 0, 0)  # the same bytes for the same content
_PROMPT = "The"
_TIMEOUT_S = 600
_WITHOUT_TORCH = """
import runpy, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "transformers", "safetensors", "onnx", "workers", "coxswain"}:
            raise ImportError(f"{name} is not on a bare machine")

sys.meta_path.insert(0, Absent())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def pack(bundle: Path, graph_dir: Path, facts: Mapping[str, object]) -> None:
    """Make the zip file of the graph and tokenizer in ``graph_dir`` and all they need; ``facts`` go into its manifest.

    ``facts`` must have ``max_length`` and ``end_of_text_id``, which the program reads.
    """
    shutil.copyfile(Path(__file__).with_name("edge_runner.py"), graph_dir / PROGRAM_FILE)
    pinned = "".join(f"{name}=={version(name)}\n" for name in _NEEDS)
    (graph_dir / "requirements.txt").write_text(pinned, encoding="ascii")
    names = sorted(path.name for path in graph_dir.iterdir() if path.name != _MANIFEST)
    digests = {name: sha256_of_file(graph_dir / name) for name in names}
    manifest = json.dumps({**facts, "files": digests}, indent=1, sort_keys=True) + "\n"
    (graph_dir / _MANIFEST).write_text(manifest, encoding="utf-8")
    with zipfile.ZipFile(bundle, "w", zipfile.ZIP_STORED) as archive:  # weights do not get smaller
        for name in (*names, _MANIFEST):
            entry = zipfile.ZipInfo(f"{_FOLDER}/{name}", _BEGINNING)
            entry.external_attr = 0o644 << 16
            entry.file_size = (graph_dir / name).stat().st_size
            with (graph_dir / name).open("rb") as source, archive.open(entry, "w") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)


def ask(bundle: Path, *, prompt: str = _PROMPT, tokens: int = 8) -> str:
    """Unpack the bundle and let its program complete a prompt, greedily and without torch; return what it prints.

    Raises:
        UserError: it fails.
    """
    with tempfile.TemporaryDirectory(prefix=".ask-", dir=bundle.parent) as name:
        with zipfile.ZipFile(bundle) as archive:
            archive.extractall(name)
        program = str(Path(name, _FOLDER, PROGRAM_FILE))
        arguments = (program, prompt, "--tokens", str(tokens), "--temperature", "0", "--verify")
        try:
            done = subprocess.run(
                [sys.executable, "-I", "-c", _WITHOUT_TORCH, *arguments],
                cwd=name, env={"PATH": os.environ.get("PATH", ""), "PYTHONIOENCODING": "utf-8"}, capture_output=True,
                encoding="utf-8", timeout=_TIMEOUT_S, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise UserError(f"the bundle's program has not answered within {_TIMEOUT_S:g} s") from error
    if done.returncode:
        raise UserError(f"the bundle's program fails without torch: {done.stderr.strip()[-500:]}")
    return done.stdout.rstrip("\n")

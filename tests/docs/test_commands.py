"""Every command of the documentation, run in its order as a reader types it, against a stack that the pages start.

What the reader has is made here: a folder with texts, and the project's examples with fewer steps. The stack has a free
port in place of 8700. Backing up and restoring comes last, and what was there before the loss must be there after it.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from coxswain.stack.ports import choose_port
from tests.docs.blocks import DOCS, blocks_of, pages, script_of

pytestmark = [pytest.mark.faults, pytest.mark.timeout(580)]

ROOT = Path(__file__).parents[2]
ORDER = (
    "tutorial.md",
    "user-guide.md",
    "how-to/own-dataset.md",
    "how-to/own-node.md",
    "how-to/nginx-tls.md",
    "operator-guide.md",
    "index.md",
    "how-to/backup-restore.md",
)
_INHERITED = ("PATH", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE")


class Reader:
    """Somebody with a home of their own who follows the pages."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = choose_port()
        env = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        self.env = env | {
            "HOME": str(home),
            "COX_DATA_DIR": str(home / "data"),
            "COX_PORT": str(self.port),
            "PATH": f"{Path(sys.executable).parent}:{env['PATH']}",
        }

    def follow(self, page: str) -> str:
        """Do what a page says; what was printed."""
        script = script_of(DOCS / page).replace("127.0.0.1:8700", f"127.0.0.1:{self.port}")
        script = script.replace("\nmake setup\n", f"\nmake -C {ROOT} --silent setup\n")
        script = script.replace('export PATH="$PWD/.venv/bin:$PATH"\n', "")  # the project's, which is in it already
        return self.run(script, name=page)

    def run(self, script: str, *, name: str) -> str:
        """Run a script; what it printed."""
        done = subprocess.run(
            ["bash", "-c", script], cwd=self.home, env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{name} ended with {done.returncode}:\n{done.stdout[-6000:]}"
        return done.stdout


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    with tempfile.TemporaryDirectory(prefix="cox-docs-") as name:
        home = Path(name)
        home.chmod(0o711)  # Postgres passes through it as another account when the tests run as root
        shutil.copytree(ROOT / "examples", home / "examples")
        spec = home / "examples" / "tiny-llama.yaml"
        small = spec.read_text().replace("steps: 500", "steps: 4").replace("warmup_steps: 50", "warmup_steps: 1")
        spec.write_text(
            small.replace("context_length: 256", "context_length: 32").replace("vocab_size: 2048", "vocab_size: 300")
        )
        (home / "notes").mkdir()
        (home / "notes" / "first.txt").write_text("Words of a first note, again and again. " * 200)
        (home / "more.jsonl").write_text('{"text": "and a line of another file"}\n' * 50)
        (home / "git-token.txt").write_text("not-a-real-token\n")
        reader = Reader(home)
        try:
            yield reader
        finally:
            reader.run("cox down", name="the end")


def test_every_page_has_its_turn() -> None:
    assert {str(page.relative_to(DOCS)) for page in pages() if blocks_of(page)} <= set(ORDER)


def test_what_the_pages_say_is_so(reader: Reader) -> None:
    printed = {page: reader.follow(page) for page in ORDER}
    assert "river-llama_v1" in printed["tutorial.md"]
    before, after = _lists(printed["how-to/backup-restore.md"])
    assert before == after
    assert len(after) == 3
    assert "river-llama_v1" in printed["how-to/backup-restore.md"]


def _lists(printed: str) -> tuple[list[str], list[str]]:
    """The lines of the jobs' table before the loss and after it."""
    lines = [line.split() for line in printed.splitlines()]
    rows = [" ".join(words) for words in lines if words and words[0].isdigit()]
    return rows[: len(rows) // 2], rows[len(rows) // 2 :]

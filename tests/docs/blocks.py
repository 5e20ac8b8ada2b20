"""The fenced blocks of the documentation's pages, and what each is for.

``sh`` and ``python`` are run in the order of the page; a block with a title is the file of that name; ``text`` is
output or a synopsis. No other fence may hold a command.
"""

import re
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
LANGUAGES = {"sh", "python", "yaml", "text", "ini", "nginx"}

_FENCE = re.compile(
    r'^```(?P<language>\w*)(?: title="(?P<title>[^"]+)")?\n(?P<body>.*?)^```$', re.DOTALL | re.MULTILINE
)


@dataclass(frozen=True)
class Block:
    """One fenced block of one page."""

    page: str
    line: int
    language: str
    title: str | None
    body: str


def blocks_of(page: Path) -> list[Block]:
    """Read the blocks of a page in their order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            str(page.relative_to(DOCS)), text.count("\n", 0, found.start()) + 1, found["language"], found["title"],
            found["body"],
        )
        for found in _FENCE.finditer(text)
    ]  # fmt: skip


def pages() -> list[Path]:
    """Every page that is written, not generated; the benchmarks hold figures."""
    return [page for page in sorted(DOCS.rglob("*.md")) if page.name != "benchmarks.md"]


def script_of(page: Path) -> str:
    """One shell script that does what a reader of the page does, saying before each block which it is."""
    parts = ["set -euo pipefail"]
    for block in blocks_of(page):
        place = f"{block.page}:{block.line}"
        if block.title is not None and not block.title.startswith("/"):
            parts.append(f"cat > {block.title} <<'END_OF_FILE'\n{block.body}END_OF_FILE")
        elif block.language == "sh":
            parts.append(f"echo '## {place}' >&2\n{block.body}")
        elif block.language == "python" and "import coxswain\n" not in block.body:  # that is the inside of a script job
            parts.append(f"echo '## {place}' >&2\npython - <<'END_OF_FILE'\n{block.body}END_OF_FILE")
    return "\n".join(parts)

"""mkdocs hook: adds the pages that are generated from the code, each time the site is built. None is committed."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # mkdocs loads hooks by their path

from scripts.docs_site import cli, rest, settings, specs  # noqa: E402

# Links of pages that live at the root of the repository, where they lead on the site.
_ROOT_LINKS = {"CONTRIBUTING.md": "contributing.md", "ARCHITECTURE.md": "architecture.md", "docs/": "index.md"}


def page_of_root(name: str) -> str:
    """Read a page of the repository's root with its links made the site's."""

    def moved(link: re.Match[str]) -> str:
        target = link.group(1)
        return f"]({_ROOT_LINKS.get(target, target.removeprefix('docs/'))})"

    return re.sub(r"\]\(([^)#:]+)\)", moved, (ROOT / name).read_text(encoding="utf-8"))


PAGES: dict[str, Callable[[], str]] = {
    "architecture.md": lambda: page_of_root("ARCHITECTURE.md"),
    "contributing.md": lambda: page_of_root("CONTRIBUTING.md"),
    "reference/cli.md": cli.page,
    "reference/rest.md": rest.page,
    "reference/settings.md": settings.page,
    "reference/specs.md": specs.page,
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Put the generated pages beside the written ones."""
    for address, write in PAGES.items():
        files.append(File.generated(config, address, content=write()))
    return files

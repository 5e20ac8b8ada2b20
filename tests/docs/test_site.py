"""The documentation as a site: it builds without a warning, tells of everything the code has, and needs no network."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import typer.main

from controlplane.settings import environment
from coxswain.cli.app import app
from workers.contract.jobs import JOB_KINDS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build it as `make docs` does; a dead link, anchor or page outside the navigation fails it."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    env = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def text_of(site: Path, page: str) -> str:
    """Read a built page."""
    return (site / page / "index.html").read_text(encoding="utf-8")


def commands(command: Any, name: str = "cox") -> Iterator[str]:
    """Every command by its full name."""
    for label, child in getattr(command, "commands", {}).items():
        yield from commands(child, f"{name} {label}") if hasattr(child, "commands") else [f"{name} {label}"]


def test_reference_tells_of_every_command_setting_kind_and_address(site: Path) -> None:
    command_line = text_of(site, "reference/cli")
    assert [name for name in commands(typer.main.get_command(app)) if f">{name}<" not in command_line] == []
    settings = text_of(site, "reference/settings")
    assert [setting.name for setting in environment.SETTINGS if setting.name not in settings] == []
    specs = text_of(site, "reference/specs")
    assert [kind for kind in JOB_KINDS if f'<h2 id="{kind}">' not in specs] == []
    fields = {name for kind in JOB_KINDS.values() for name in kind.model_fields}
    assert [name for name in fields if f"<code>{name}</code>" not in specs] == []
    rest = text_of(site, "reference/rest")
    addresses = re.findall(r'"(/api/v1/[^"]+)": \{', (ROOT / "frontend/src/lib/api-schema.d.ts").read_text())
    assert addresses
    assert [address for address in addresses if address not in rest] == []


class Fetched(HTMLParser):
    """Collects what a browser would fetch from elsewhere by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Look at one tag: links that a person follows are theirs to follow."""
        for name, value in attributes:
            if tag != "a" and name in {"src", "href"} and (value or "").startswith(("http:", "https:", "//")):
                self.addresses.append(f"{tag} {value}")


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        fetched = Fetched()
        fetched.feed(page.read_text(encoding="utf-8"))
        assert fetched.addresses == [], page
    for style in site.rglob("*.css"):
        assert not re.search(r"(?:@import|url\()[\s\"'(]*(?:https?:)?//", style.read_text(encoding="utf-8")), style

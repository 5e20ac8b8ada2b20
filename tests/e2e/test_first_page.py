"""What a browser must load before the first page works: budgets on the built dashboard. Needs no browser."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.e2e

_DIST = Path(__file__).parents[2] / "frontend/dist"
_MAX_BYTES = 280 * 1000
_LATER = ("src/features/new-job/spec-form.tsx", "src/features/jobs/job-charts.tsx", "src/app/command-palette.tsx")


def _needed(manifest: dict[str, Any], roots: tuple[str, ...]) -> set[str]:
    """The chunks that ``roots`` import without being asked for them later."""
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += manifest[name].get("imports", [])
    return found


def test_first_page_stays_small_and_loads_forms_charts_and_palette_later() -> None:
    manifest = json.loads((_DIST / ".vite/manifest.json").read_bytes())
    needed = _needed(manifest, ("index.html", "src/features/home/home-page.tsx"))
    scripts = [_DIST / manifest[name]["file"] for name in needed]
    size = sum(len(gzip.compress(path.read_bytes())) for path in scripts if path.suffix == ".js")
    assert 50_000 < size <= _MAX_BYTES, f"{size} bytes of JavaScript, gzipped"
    for name in _LATER:
        assert manifest[name]["isDynamicEntry"]
        assert name not in needed

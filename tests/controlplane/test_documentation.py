"""The documentation at /docs/: open to all, nothing outside the site, its own inline scripts and no others."""

import base64
import hashlib
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

SCRIPT = "theme = 1"


@pytest.fixture
def site(tmp_path: Path, settings: Any) -> Path:
    """Return a small built site, and a file beside it that is none of its business."""
    settings.DOCS_SITE = tmp_path / "site"
    (tmp_path / "site" / "how-to").mkdir(parents=True)
    (tmp_path / "secret.html").write_text("secret")
    (tmp_path / "site" / "index.html").write_text(f"<script>{SCRIPT}</script>Home")
    (tmp_path / "site" / "how-to" / "index.html").write_text("Node")
    (tmp_path / "site" / "style.css").write_text("a {}")
    return tmp_path / "site"


def body(client: Client, address: str, **headers: str) -> tuple[int, bytes]:
    """GET; the status and the whole answer."""
    answer = client.get(address, headers=headers)
    return answer.status_code, answer.getvalue()


def test_pages_are_served_without_a_login(client: Client, site: Path) -> None:
    assert client.get("/docs").headers["Location"] == "/docs/"
    assert body(client, "/docs/") == (200, f"<script>{SCRIPT}</script>Home".encode())
    assert client.get("/docs/how-to").headers["Location"] == "/docs/how-to/"
    assert body(client, "/docs/how-to/") == (200, b"Node")
    style = client.get("/docs/style.css")
    assert style["Content-Type"] == "text/css"
    unchanged = client.get("/docs/style.css", headers={"If-Modified-Since": style["Last-Modified"]})
    assert unchanged.status_code == 304


@pytest.mark.parametrize(
    "path", ["absent/", "absent.html", "../secret.html", "..%2fsecret.html", "/etc/passwd", "how-to/x"]
)
def test_what_is_not_of_the_site_is_not_found(client: Client, site: Path, path: str) -> None:
    assert client.get(f"/docs/{path}").status_code == 404


def test_only_scripts_that_are_in_the_page_may_run(client: Client, site: Path) -> None:
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    policy = client.get("/docs/")["Content-Security-Policy"]
    assert f"'sha256-{digest}'" in policy
    assert "script-src 'self'" in policy
    assert "'unsafe-inline'" not in policy.split("script-src")[1].split(";")[0]
    assert "sha256" not in client.get("/docs/how-to/")["Content-Security-Policy"]


def test_without_a_build_the_way_to_one_is_told(client: Client, tmp_path: Path, settings: Any) -> None:
    settings.DOCS_SITE = tmp_path / "absent"
    assert body(client, "/docs/") == (503, b"The documentation is not built yet. Run `make docs`.\n")

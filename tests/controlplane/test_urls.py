"""Addresses outside the API proper: health, schema, docs, dashboard, and the headers of all."""

from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from apps.core.health import SCHEDULER, beat
from controlplane.discovery import patterns_of


def test_healthz_touches_nothing(client: Client) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}  # without the database fixture a query would raise


@pytest.mark.django_db
def test_readyz_names_what_is_not_ready(client: Client, settings: Any) -> None:
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["parts"]) == (
        503,
        {"database": "ok", "broker": "ok", "scheduler": "not seen"},
    )
    beat(SCHEDULER)
    assert (client.get("/readyz").status_code, client.get("/readyz").json()["status"]) == (200, "ok")
    settings.BROKER_URL = "redis://127.0.0.1:1/0"
    assert client.get("/readyz").json()["parts"]["broker"] == "unavailable"


def test_schema_is_openapi_with_problems_and_no_node_api(client: Client) -> None:
    schema = client.get("/api/schema/").json()
    assert schema["openapi"].startswith("3.1")
    assert "Problem" in schema["components"]["schemas"]
    assert all(path.startswith("/api/v1/") for path in schema["paths"])
    listing = schema["paths"]["/api/v1/projects"]["get"]
    assert {"400", "401", "403"} <= set(listing["responses"])
    assert {"cursor", "page_size", "ordering"} <= {parameter["name"] for parameter in listing["parameters"]}
    security = {name for item in listing["security"] for name in item}
    assert security == {"apiToken", "session"}


def test_swagger_opens_under_the_content_policy(client: Client) -> None:
    page = client.get("/api/docs/")
    assert page.status_code == 200
    assert b"<script>" not in page.content  # inline scripts would not run
    assert "script" not in page["Content-Security-Policy"].replace("script-src 'self'", "")


@pytest.fixture
def dist(tmp_path: Path, settings: Any) -> Path:
    """Return a front end's build."""
    settings.FRONTEND_DIST = tmp_path
    (tmp_path / "index.html").write_text("<title>Coxswain</title>")
    return tmp_path


@pytest.mark.parametrize("address", ["/", "/login", "/jobs/123", "/apiary", "/administration"])
def test_other_addresses_are_the_dashboards(client: Client, dist: Path, address: str) -> None:
    answer = client.get(address)
    assert (answer.status_code, answer.content) == (200, b"<title>Coxswain</title>")
    assert answer["Cache-Control"] == "no-cache"
    assert "frame-ancestors 'none'" in answer["Content-Security-Policy"]
    assert answer["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("address", ["/static/nothing.js", "/ws/nothing", "/api/nothing", "/admin"])
def test_what_belongs_to_others_is_not_the_dashboards(client: Client, dist: Path, address: str) -> None:
    assert b"<title>Coxswain</title>" not in client.get(address).content


def test_dashboard_not_built_says_what_to_do(client: Client, dist: Path) -> None:
    (dist / "index.html").unlink()
    answer = client.get("/")
    assert answer.status_code == 503
    assert b"npm run build" in answer.content


def test_every_app_with_urls_is_found() -> None:
    names = {getattr(pattern, "name", "") for pattern in patterns_of("urls", "urlpatterns")}
    assert {"project-list", "token-list", "auth-login"} <= names

"""axe-core finds nothing serious on any page, in either theme; every page has its content and no scroll sideways."""

from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.live.api import Api

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

_AXE = Path(__file__).parents[2] / "frontend/node_modules/axe-core/axe.min.js"
_RUN = """async () => {
  const { violations } = await axe.run(document, { resultTypes: ["violations"] });
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html.slice(0, 200)}`));
}"""
_OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def addresses(api: Api, job_id: str) -> list[str]:
    """Every page, with something on it where there is something."""
    version = api.job(job_id)["output_version"]
    dataset = api.get("datasets")["results"][0]["id"]
    tabs = ("charts", "logs", "system", "timeline", "checkpoints", "configuration", "artifacts")
    return [
        "/", "/jobs", "/jobs/new", "/jobs/new?kind=generate", f"/jobs/compare?jobs={job_id}",
        *(f"/jobs/{job_id}?tab={tab}" for tab in tabs),
        "/datasets", f"/datasets/{dataset}", "/models", f"/models/{version['model']}",
        f"/model-versions/{version['id']}", "/cluster", "/settings", "/no-such-page",
    ]  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_are_accessible_and_fit(page: Page, api: Api, long_job: str, scheme: str) -> None:
    page.evaluate(f"localStorage.setItem('mantine-color-scheme-value', '{scheme}')")
    source = _AXE.read_text(encoding="utf-8")
    found: list[str] = []
    for address in addresses(api, long_job):
        page.set_viewport_size({"width": 1280, "height": 900})
        page.goto(address)
        page.get_by_role("heading", level=1).or_(page.get_by_text("There is no such page")).first.wait_for()
        page.wait_for_function("document.querySelector('[aria-label=Loading]') === null")
        page.evaluate(source)
        found += [f"{address} {problem}" for problem in page.evaluate(_RUN)]
        page.set_viewport_size({"width": 400, "height": 800})
        if (overflow := page.evaluate(_OVERFLOW)) > 0:
            found.append(f"{address} is {overflow} px wider than a screen of 400 px")
    assert found == []

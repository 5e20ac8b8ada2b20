"""axe-core (WCAG rules) finds nothing serious on any page, in either theme, and every page fits a screen of 400 px."""

from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.live.api import Api

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

_AXE = Path(__file__).parents[2] / "frontend/node_modules/axe-core/axe.min.js"
_RUN = """async (rules) => {
  const { violations } = await axe.run(document, { resultTypes: ["violations"], ...(rules && { runOnly: rules }) });
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => `${id}: ${html} ${failureSummary}`));
}"""
_PAINTED = "new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))"
# Charts take their new width a frame or two after the page has.
_OVERFLOW = """async () => {
  const overflow = () => document.documentElement.scrollWidth - document.documentElement.clientWidth;
  for (let frame = 0; frame < 30 && overflow() > 0; frame += 1) await new Promise(requestAnimationFrame);
  return overflow();
}"""


def addresses(api: Api, job_id: str) -> list[str]:
    """Every page, with something on it where there is something."""
    version = api.job(job_id)["output_version"]
    dataset = api.get("datasets")["results"][0]["id"]
    kinds = [f"/jobs/new?kind={entry['kind']}" for entry in api.get("catalog/")]
    tabs = ("charts", "logs", "system", "timeline", "checkpoints", "configuration", "artifacts")
    return [
        "/", "/jobs", f"/jobs?selected={job_id}", *kinds,
        f"/jobs/compare?jobs={job_id}", *(f"/jobs/{job_id}?tab={tab}" for tab in tabs),
        "/datasets", f"/datasets/{dataset}", "/models", f"/models/{version['model']}",
        f"/model-versions/{version['id']}", "/cluster", "/settings", "/no-such-page",
    ]  # fmt: skip


def problems(page: Page) -> list[str]:
    """What axe finds in the light theme by all its rules, and in the dark one by those of colour."""
    page.evaluate(_AXE.read_text(encoding="utf-8"))
    found: list[str] = page.evaluate(_RUN)
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    page.locator("html[data-mantine-color-scheme=dark]").wait_for()
    page.evaluate(_PAINTED)
    found += page.evaluate(_RUN, ["color-contrast", "link-in-text-block"])
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    return found


def test_pages_are_accessible_and_fit(page: Page, api: Api, long_job: str) -> None:
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    found: list[str] = []
    for address in addresses(api, long_job):
        page.set_viewport_size({"width": 1280, "height": 900})
        page.goto(address)
        page.get_by_role("heading", level=1).or_(page.get_by_text("There is no such page")).first.wait_for()
        page.wait_for_function("document.querySelector('[aria-label=Loading]') === null")
        found += [f"{address} {problem}" for problem in problems(page)]
        page.set_viewport_size({"width": 400, "height": 800})
        if (overflow := page.evaluate(_OVERFLOW)) > 0:
            found.append(f"{address} is {overflow} px wider than a screen of 400 px")
    page.context.clear_cookies()
    page.goto("/login")
    page.get_by_label("Username").wait_for()
    found += [f"/login {problem}" for problem in problems(page)]
    assert found == [], "\n".join(found[:20])


def test_the_palette_is_accessible(page: Page) -> None:
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    page.keyboard.press("Control+k")
    page.get_by_role("dialog").get_by_role("option", name="New job").wait_for()
    assert problems(page) == []

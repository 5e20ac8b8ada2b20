"""Several jobs at once: ticked in the table, compared, cancelled together; and one run again with edits."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.test_dashboard import slow_spec
from tests.live.api import FINAL, Api
from tests.live.stack import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


def test_edit_and_run_then_compare_what_differs(page: Page, api: Api, long_job: str) -> None:
    page.goto(f"/jobs/{long_job}")
    page.get_by_role("link", name="Edit and run").click()
    form = page.get_by_test_id("new-job-form")
    form.get_by_label("Steps", exact=True).first.fill("20")
    page.get_by_role("button", name="Submit job").click()
    page.wait_for_url(re.compile(r"/jobs/[0-9a-f-]{36}"))
    edited_id = page.url.split("/jobs/")[1][:36]
    edited = api.wait_final(edited_id)
    assert edited["spec"] == {**api.job(long_job)["spec"], "steps": 20}

    page.goto("/jobs")
    for job_id in (long_job, edited_id):
        page.locator(f'[data-row="{job_id}"]').get_by_role("checkbox").check()
    page.get_by_test_id("selection-bar").get_by_role("link", name="Compare").click()
    page.wait_for_url(re.compile(r"/jobs/compare\?jobs="))
    parameters = page.get_by_test_id("compare-parameters")
    expect(parameters.locator("tbody tr")).to_have_count(1)
    expect(parameters.locator('[data-row="steps"]')).to_contain_text(re.compile("1500.*20"))
    loss = page.locator('[data-testid="chart"][data-chart="Loss"]')
    expect(loss).to_be_visible()
    eventually(lambda: int(loss.get_attribute("data-points") or 0), lambda count: count > 600)
    row = page.get_by_test_id("compare-metrics").locator('[data-row="loss"]')
    expect(row).to_contain_text("%")
    page.get_by_label(re.compile("Measure against from|Measure against long")).last.check()
    expect(page).to_have_url(re.compile(f"base={edited_id}"))

    page.goto(f"/jobs/{edited_id}?tab=configuration&against={long_job}")
    expect(page.get_by_test_id("job-differences").locator("tbody tr")).to_have_count(1)
    page.goto(f"/jobs/{edited_id}?tab=artifacts")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download config.json of model").click()
    assert download.value.path().read_bytes().startswith(b"{")


def test_cancel_several_at_once(page: Page, api: Api, dataset: str) -> None:
    ids = [api.submit(f"bulk-{index}", slow_spec(dataset, steps=100_000)) for index in range(3)]
    page.goto("/jobs?search=bulk-")
    expect(page.locator("[data-row]")).to_have_count(3)
    page.get_by_label("Select all on this page").check()
    page.get_by_test_id("selection-bar").get_by_role("button", name="Cancel 3 jobs").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel 3 jobs").click()
    for job_id in ids:
        eventually(lambda job_id=job_id: api.job(job_id)["state"], lambda state: state in FINAL)  # type: ignore[misc]
    expect(page.get_by_test_id("selection-bar")).to_have_count(0)


def test_the_palette_finds_jobs_and_pages_by_keyboard(page: Page, long_job: str) -> None:
    page.keyboard.press("Control+k")
    search = page.get_by_label("Search everything").last
    search.fill("clus")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/cluster$"))
    page.get_by_role("button", name="Search everything").click()
    search.fill("long")
    page.get_by_role("button", name=re.compile("^long #")).first.click()
    page.wait_for_url(re.compile(r"/jobs/[0-9a-f-]{36}"))

"""Several jobs at once, ticked in the table: compared, cancelled together; and the palette that finds one."""

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.test_dashboard import slow_spec
from tests.live.api import FINAL, Api
from tests.live.stack import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


def tick(page: Page, job_id: str) -> None:
    """Tick a job's row: the box must be ticked as soon as the click is over."""
    page.locator(f'[data-row="{job_id}"]').get_by_role("checkbox").check()


def short_spec(dataset: str, steps: int) -> dict[str, Any]:
    """A job that is over at once."""
    return {
        "kind": "train",
        "model": {"source": "config", "hidden_size": 8, "num_layers": 1, "num_heads": 1, "intermediate_size": 8},
        "tokenizer": {"source": "bpe", "vocab_size": 300},
        "data": {"dataset": dataset, "context_length": 8},
        "steps": steps,
        "micro_batch_size": 1,
    }


def test_ticked_jobs_are_compared(page: Page, api: Api, dataset: str) -> None:
    first, second = (api.submit(f"pair-{steps}", short_spec(dataset, steps), slots=1) for steps in (5, 8))
    for job_id in (first, second):
        assert api.wait_final(job_id)["state"] == "succeeded"
    page.goto("/jobs?search=pair-")
    tick(page, first)
    tick(page, second)
    expect(page.get_by_label("Select all on this page")).to_be_checked()
    page.reload()  # the address holds what is ticked
    bar = page.get_by_test_id("selection-bar")
    expect(bar).to_contain_text("2 jobs selected")
    page.locator(f'[data-row="{second}"]').get_by_role("checkbox").uncheck()
    expect(bar).to_contain_text("1 job selected")
    tick(page, second)

    bar.get_by_role("link", name="Compare").click()
    page.wait_for_url(re.compile(r"/jobs/compare\?jobs="))
    parameters = page.get_by_test_id("compare-parameters")
    expect(parameters.locator("tbody tr")).to_have_count(1)
    expect(parameters.locator('[data-row="steps"]')).to_contain_text(re.compile("5.*8"))
    expect(page.get_by_test_id("compare-metrics").locator('[data-row="loss"]')).to_contain_text("%")
    page.get_by_label(re.compile("^Measure against pair-8")).check()
    expect(page).to_have_url(re.compile(f"base={second}"))
    page.get_by_label("Log scale").check()
    expect(page).to_have_url(re.compile("log=1"))


def test_ticked_jobs_are_cancelled_together(page: Page, api: Api, dataset: str) -> None:
    ids = [api.submit(f"bulk-{index}", slow_spec(dataset, steps=100_000)) for index in range(3)]
    page.goto("/jobs?search=bulk-")
    expect(page.locator("[data-row]")).to_have_count(3)
    page.get_by_label("Select all on this page").check()
    page.get_by_test_id("selection-bar").get_by_role("button", name="Cancel 3 jobs").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel 3 jobs").click()
    eventually(lambda: {api.job(job_id)["state"] for job_id in ids}, lambda states: states <= FINAL)
    expect(page.get_by_test_id("selection-bar")).to_have_count(0)
    expect(page.get_by_role("checkbox", checked=True)).to_have_count(0)


def test_the_palette_finds_pages_and_jobs_by_the_keyboard_alone(page: Page, api: Api, dataset: str) -> None:
    job_id = api.submit("sought", short_spec(dataset, 3), slots=1)
    page.keyboard.press("Control+k")
    dialog = page.get_by_role("dialog", name="Command palette")
    chosen = dialog.get_by_role("option", selected=True)
    expect(dialog.get_by_role("option", name=re.compile("^sought #"))).to_be_visible()
    page.keyboard.type("clus")
    page.keyboard.press("ArrowDown")  # one page is called that: round to it, not to a job that was listed before
    expect(chosen).to_have_text(re.compile("^Cluster"))
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/cluster$"))
    expect(dialog).to_have_count(0)

    page.keyboard.press("Control+k")
    expect(dialog.get_by_label("Search everything")).to_be_focused()
    page.keyboard.type("so")
    page.keyboard.press("ArrowDown")
    page.keyboard.type("ught")
    expect(chosen).to_have_text(re.compile("^sought #"))
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(f"/jobs/{job_id}"))

    page.get_by_role("button", name="Search everything").click()
    dialog.get_by_role("option", name=re.compile("^Datasets")).click()
    page.wait_for_url(re.compile(r"/datasets$"))
    assert api.wait_final(job_id)["state"] == "succeeded"

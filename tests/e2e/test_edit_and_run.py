"""A job that is run again with edits."""

import re

import pytest
from playwright.sync_api import Page

from tests.live.api import Api

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


def test_edit_and_run_submits_the_same_but_for_what_was_edited(page: Page, api: Api, long_job: str) -> None:
    page.goto(f"/jobs/{long_job}")
    page.get_by_role("link", name="Edit and run").click()
    form = page.get_by_test_id("new-job-form")
    form.get_by_label("Steps", exact=True).first.fill("20")
    page.get_by_role("button", name="Submit job").click()
    page.wait_for_url(re.compile(r"/jobs/[0-9a-f-]{36}"))
    edited_id = page.url.split("/jobs/")[1][:36]
    edited = api.wait_final(edited_id)
    assert edited["spec"] == {**api.job(long_job)["spec"], "steps": 20}

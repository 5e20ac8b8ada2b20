"""Every button that changes something, clicked, and its effect seen on the server."""

import re

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.e2e.test_dashboard import chart_points, expect_state, slow_spec
from tests.live.api import FINAL, Api
from tests.live.stack import LiveStack, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


def confirm(page: Page, label: str) -> None:
    """Answer the question that a destructive action asks first."""
    page.get_by_role("dialog").get_by_role("button", name=label, exact=True).click()


def test_kill_ends_a_job_without_saving(page: Page, api: Api, dataset: str) -> None:
    job_id = api.submit("to-kill", slow_spec(dataset, steps=100_000))
    page.goto(f"/jobs/{job_id}")
    expect_state(page, "running")
    eventually(lambda: chart_points(page), lambda count: count >= 2)
    page.get_by_role("button", name="Kill", exact=True).click()
    expect(page.get_by_role("dialog")).to_contain_text("without saving")
    confirm(page, "Kill job")
    expect_state(page, "cancelled", timeout_s=60)
    job = api.job(job_id)
    assert job["kill_requested"]
    assert api.get(f"jobs/{job_id}/checkpoints")["results"] == []


def test_rerun_then_cancel_from_the_table_then_delete(page: Page, api: Api, long_job: str) -> None:
    page.goto(f"/jobs/{long_job}")
    page.get_by_role("button", name="Run again", exact=True).click()
    page.wait_for_url(re.compile(rf"/jobs/(?!{long_job})[0-9a-f-]{{36}}"))
    rerun_id = page.url.split("/jobs/")[1][:36]
    job = api.job(rerun_id)
    assert job["origin"] == long_job
    assert job["spec"] == api.job(long_job)["spec"]

    page.goto("/jobs")
    page.get_by_role("button", name=f"Actions for {job['name']} #{job['number']}", exact=True).click()
    page.get_by_role("menuitem", name="Cancel").click()
    confirm(page, "Cancel job")
    eventually(lambda: api.job(rerun_id)["state"], lambda state: state in FINAL)

    page.goto(f"/jobs/{rerun_id}")
    page.get_by_role("button", name="Delete", exact=True).click()
    confirm(page, "Delete job")
    page.wait_for_url(re.compile(r"/jobs$"))
    assert api.http.get(f"jobs/{rerun_id}").status_code == 404
    expect(page.locator(f'[data-row="{rerun_id}"]')).to_have_count(0)


def test_drain_a_node_and_use_it_again(page: Page, api: Api) -> None:
    page.goto("/cluster")
    node = page.locator('[data-testid^="node-"]').filter(has=page.get_by_role("button", name="Drain")).first
    node.get_by_role("button", name="Drain", exact=True).click()
    confirm(page, "Drain node")
    badge = page.get_by_test_id("node-badge").first
    expect(badge).to_contain_text("Draining")
    assert [row["is_draining"] for row in api.get("nodes")["results"]] == [True]
    page.get_by_role("button", name="Use again", exact=True).click()
    expect(badge).to_contain_text("Ready")
    assert [row["is_draining"] for row in api.get("nodes")["results"]] == [False]


def test_a_token_works_until_it_is_revoked(page: Page, live_stack: LiveStack) -> None:
    page.goto("/settings")
    page.get_by_role("button", name="New token").click()
    page.get_by_role("textbox", name="Name").fill("notebook")
    page.get_by_role("button", name="Create token").click()
    token = page.get_by_test_id("new-token").locator("code").inner_text()
    page.get_by_role("button", name="Done").click()

    def status() -> int:
        return httpx.get(f"{live_stack.url}/api/v1/jobs", headers={"Authorization": f"Bearer {token}"}).status_code

    assert status() == 200
    page.get_by_role("button", name="Revoke notebook").click()
    confirm(page, "Revoke token")
    expect(page.get_by_role("button", name="Revoke notebook")).to_have_count(0)
    assert status() == 401


def test_yaml_and_form_are_one_job(page: Page, api: Api, dataset: str) -> None:
    page.goto("/jobs/new?kind=train")
    yaml = page.get_by_label("Job as YAML")
    form = page.get_by_test_id("new-job-form")
    steps = form.get_by_label("Steps", exact=True).first
    steps.fill("9")
    expect(yaml).to_have_value(re.compile(r"^  steps: 9$", re.MULTILINE))

    text = yaml.input_value()
    yaml.fill(text + "\n  - broken")
    expect(page.get_by_test_id("yaml-pane").get_by_role("alert")).to_be_visible()
    small = "hidden_size: 8\n    num_heads: 1\n    num_layers: 1\n    intermediate_size: 8"
    yaml.fill(
        f"name: from-yaml\nresources:\n  slots_per_node: 1\nspec:\n  kind: train\n  version: 1\n  steps: 3\n"
        f"  model:\n    source: config\n    {small}\n  tokenizer:\n    source: bpe\n    vocab_size: 300\n"
        f"  data:\n    dataset: {dataset}\n    context_length: 8\n"
    )
    expect(page.get_by_test_id("yaml-pane").get_by_role("alert")).to_have_count(0)
    expect(steps).to_have_value("3")
    expect(form.get_by_label("Name", exact=False).first).to_have_value("from-yaml")
    page.get_by_role("button", name="Submit job").click()
    page.wait_for_url(re.compile(r"/jobs/[0-9a-f-]{36}"))
    job = api.wait_final(page.url.split("/jobs/")[1][:36])
    assert (job["name"], job["spec"]["steps"], job["state"]) == ("from-yaml", 3, "succeeded")


def test_zoom_brings_every_point_of_the_window(page: Page, long_job: str) -> None:
    page.goto(f"/jobs/{long_job}")
    chart = page.locator('[data-testid="chart"][data-chart="Loss"]')
    eventually(lambda: chart_points(page), lambda count: count > 600)
    sent = chart_points(page)
    assert sent < 1500, "the server sends a long curve thinned"
    box = chart.locator(".u-over").bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.4, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, middle, steps=5)
    page.mouse.up()
    page.wait_for_url(re.compile(r"zoom="))
    first, last = (float(part) for part in page.url.split("zoom=")[1].split("&")[0].replace("%7E", "~").split("~"))
    inside = int(last) - int(first)
    assert 240 < inside < 360
    eventually(lambda: int(chart.get_attribute("data-visible") or 0), lambda count: count == inside)

    page.reload()  # the address holds what is seen
    eventually(lambda: int(chart.get_attribute("data-visible") or 0), lambda count: count == inside)
    page.get_by_role("button", name="Show all").click()
    eventually(lambda: int(chart.get_attribute("data-visible") or 0), lambda count: count == sent)


def test_the_log_is_searched(page: Page, long_job: str) -> None:
    page.goto(f"/jobs/{long_job}?tab=logs")
    log = page.get_by_test_id("log-lines")
    expect(log).to_contain_text("step 1500/1500")
    everything = int(log.get_attribute("data-lines") or 0)
    page.get_by_label("Search the log").fill("step 1499/")
    expect(log).to_have_attribute("data-lines", "1")
    page.get_by_label("Search the log").fill("no such words")
    expect(log).to_contain_text("No line contains that.")
    page.get_by_label("Search the log").fill("")
    expect(log).to_have_attribute("data-lines", str(everything))

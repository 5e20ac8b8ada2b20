"""The main job as a person does it in the browser, with the server taken away underneath."""

import re
import time
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.live.api import Api, stdlib_files
from tests.live.stack import LiveStack, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(420)]

NUM_STEPS = 60


def chart_points(page: Page, title: str = "Loss") -> int:
    """How many points the chart shows."""
    return int(page.locator(f'[data-testid="chart"][data-chart="{title}"]').get_attribute("data-points") or 0)


def expect_state(page: Page, state: str, *, timeout_s: float = 120) -> None:
    """Wait for the badge in the page's header."""
    expect(page.get_by_test_id("state-badge").first).to_have_attribute("data-state", state, timeout=timeout_s * 1000)


def slow_spec(dataset: str, steps: int) -> dict[str, object]:
    """A job that a person can watch: about a tenth of a second a step."""
    return {
        "kind": "train",
        "model": {"source": "config", "hidden_size": 64, "num_layers": 2, "num_heads": 2, "intermediate_size": 128},
        "tokenizer": {"source": "bpe", "vocab_size": 512},
        "data": {"dataset": dataset, "context_length": 128},
        "steps": steps,
        "micro_batch_size": 8,
        "gradient_accumulation": 4,
        "checkpoint": {"every_steps": 50},
    }


def test_wrong_password_says_so(page: Page, live_stack: LiveStack) -> None:
    page.context.clear_cookies()
    page.goto("/")
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password", exact=True).fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("Sign-in refused")


def test_upload_submit_watch_and_find_the_version(page: Page, live_stack: LiveStack, api: Api, tmp_path: Path) -> None:
    files = stdlib_files(20)
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)

    page.goto("/datasets")
    page.get_by_role("button", name=re.compile("new dataset", re.IGNORECASE)).first.click()
    page.get_by_role("textbox", name="Name").fill("library")
    page.locator('[data-testid="new-dataset-form"] input[type="file"]').first.set_input_files(
        [tmp_path / name for name in files]
    )
    page.get_by_role("button", name="Create dataset").click()
    eventually(
        lambda: api.get("datasets")["results"],
        lambda rows: any(
            row["name"] == "library" and (row["latest_version"] or {}).get("state") == "ready" for row in rows
        ),
    )

    page.goto("/jobs/new")
    page.get_by_test_id("kind-train").click()
    form = page.get_by_test_id("new-job-form")
    form.get_by_label("Name", exact=False).first.fill("watched")
    form.get_by_label("Slots per node").fill("2")
    yaml = page.get_by_label("Job as YAML")
    text = yaml.input_value()
    assert "kind: train" in text
    form.get_by_label("Dataset").first.fill("library")
    form.get_by_label("Steps", exact=True).first.fill(str(NUM_STEPS))
    page.get_by_role("button", name=re.compile("submit", re.IGNORECASE)).first.click()
    page.wait_for_url(re.compile(r"/jobs/[0-9a-f-]{36}"))
    job_id = page.url.rstrip("/").split("/")[-1].split("?")[0]

    expect_state(page, "running")
    eventually(lambda: chart_points(page), lambda count: count >= 5, timeout_s=90)
    seen = chart_points(page)
    eventually(lambda: chart_points(page), lambda count: count > seen + 2, timeout_s=30)

    page.evaluate("window.untouched = true")
    live_stack.kill("web")
    expect(page.get_by_test_id("connection").first).not_to_have_attribute("data-connection", "live", timeout=20_000)
    time.sleep(3)
    live_stack.start("web")
    expect(page.get_by_test_id("connection").first).to_have_attribute("data-connection", "live", timeout=60_000)

    expect_state(page, "succeeded", timeout_s=240)
    losses = api.curve(job_id)
    assert sorted(losses) == list(range(1, NUM_STEPS + 1))
    eventually(lambda: chart_points(page), lambda count: count == NUM_STEPS, timeout_s=20)
    assert page.evaluate("window.untouched"), "the page caught up without being loaded again"

    page.goto("/models")
    page.get_by_text("watched").first.click()
    expect(page.get_by_text("watched_v1").first).to_be_visible()


def test_cancel_from_the_job_page(page: Page, api: Api) -> None:
    dataset = api.dataset("for-cancel", stdlib_files(12))
    job_id = api.submit("to-cancel", slow_spec(dataset, steps=100_000))
    page.goto(f"/jobs/{job_id}")
    expect_state(page, "running")
    eventually(lambda: chart_points(page), lambda count: count >= 3, timeout_s=60)
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name=re.compile("cancel", re.IGNORECASE)).click()
    expect_state(page, "cancelled", timeout_s=60)

"""From two measured versions to the one in production, on the model's pages."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.live.api import Api

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


def _succeed(api: Api, name: str, spec: dict[str, object]) -> None:
    job = api.wait_final(api.submit(name, spec, slots=1))
    assert job["state"] == "succeeded", job["state_reason"]


def test_versions_are_compared_promoted_and_looked_back_on(page: Page, api: Api, dataset: str) -> None:
    train = {
        "kind": "train",
        "model": {"source": "config", "hidden_size": 32, "num_layers": 2, "num_heads": 2, "intermediate_size": 64},
        "tokenizer": {"source": "bpe", "vocab_size": 512},
        "data": {"dataset": dataset, "context_length": 64},
        "steps": 5,
        "micro_batch_size": 4,
        "output_model": "plotted",
    }
    _succeed(api, "train", train)
    recipe = [{"method": "rtn", "bits": 4, "group_size": 16}]
    _succeed(api, "compress", {"kind": "compress", "model": "plotted_v1", "recipe": recipe})
    timing = {"prompt_tokens": 16, "new_tokens": 4, "repeats": 2}
    for version in ("plotted_v1", "plotted_v2"):
        sampling = {"length": 32, "num_samples": 8, "generation": timing}
        _succeed(api, "evaluate", {"kind": "evaluate", "model": version, "dataset": dataset, **sampling})
    model = api.get("model-versions/plotted_v1")["model"]

    page.goto(f"/models/{model}")
    difference = page.get_by_test_id("difference-plotted_v2-size_on_disk_bytes")
    expect(difference).to_have_text(re.compile(r"^-[0-9.]+%$"))
    page.get_by_role("link", name=re.compile(r"^plotted_v1: .* on the front$")).click()
    page.wait_for_url("**/model-versions/*")

    page.get_by_role("button", name="Promote").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("The model has no rules.")
    dialog.get_by_label("Reason").fill("the first one")
    dialog.get_by_role("button", name="Promote").click()
    expect(page.get_by_test_id("version-promotions")).to_contain_text("the first one")

    api.post(f"models/{model}/rules", {"metric": "size_on_disk_bytes", "against": "number", "bound": 1})
    page.goto("/model-versions/plotted_v2")
    page.get_by_role("button", name="Promote").click()
    expect(dialog).to_contain_text("It will replace plotted_v1.")
    expect(dialog.get_by_test_id("verdict-size_on_disk_bytes")).to_contain_text("Not met.")
    dialog.get_by_role("button", name="Promote").click()
    expect(dialog.get_by_role("alert")).to_contain_text("Not met: size_on_disk_bytes.")
    dialog.get_by_label(re.compile("^Promote although")).check()
    dialog.get_by_label(re.compile("^Reason")).fill("smaller")
    dialog.get_by_role("button", name="Promote").click()
    expect(page.get_by_test_id("version-promotions")).to_contain_text("although rules were not met")

    page.goto(f"/models/{model}")
    history = page.get_by_test_id("stage-history")
    expect(history.get_by_text("validated to production")).to_have_count(2)
    expect(history).to_contain_text("the first one")
    expect(history).to_contain_text("smaller")

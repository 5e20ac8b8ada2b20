"""Takes a picture of every page, in both themes, at 1280 and at 400 pixels.

A stack of its own runs in a temporary folder and works: it trains, compresses, samples, fails and waits, so that every
page has something to show. All pictures go to ``build/screenshots/<page>-<theme>-<width>.png``, to be looked at after a
change of the dashboard; those that README and docs use go to ``docs/images/<page>.png`` and ``<page>-dark.png``.
"""

import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright
from rich.console import Console

from coxswain.client import Client, Job
from coxswain.demo.__main__ import DATASET, MODEL, PROMPT, send_dataset
from coxswain.demo.stack import NUM_RANKS, DemoStack, running_stack
from coxswain.stack.paths import StackPaths

ROOT = Path(__file__).parents[1]
ALL = ROOT / "build" / "screenshots"
DOCS = ROOT / "docs" / "images"
IN_THE_DOCS = {"jobs", "job", "compare", "new-job", "models", "version", "cluster"}
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
SIZES: tuple[ViewportSize, ...] = ({"width": 1280, "height": 900}, {"width": 400, "height": 800})
STEPS = 80
_TIMEOUT_S = 600
_FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
_SETTLED = """async () => {
  await document.fonts.ready;
  for (let frame = 0; frame < 12; frame += 1) await new Promise(requestAnimationFrame);
}"""
_TABS = ("charts", "logs", "system", "timeline", "checkpoints", "configuration", "artifacts")


@dataclass(frozen=True)
class Scene:
    """What there is to see."""

    trained: Job
    variant: Job
    compressed: Job
    sampled: Job
    failed: Job
    running: Job

    def pages(self, client: Client) -> dict[str, str]:
        """Addresses by the name of the picture."""
        version, small = (client.jobs.get(job.id).output_version for job in (self.trained, self.compressed))
        dataset = client.datasets.find(DATASET)
        assert dataset is not None
        return {
            "home": "/",
            "jobs": "/jobs",
            "jobs-none": "/jobs?search=no-such-name",
            "jobs-selected": f"/jobs?selected={self.trained.id},{self.variant.id}",
            "compare": f"/jobs/compare?jobs={self.trained.id},{self.variant.id}",
            "compare-none": "/jobs/compare",
            "job": f"/jobs/{self.trained.id}",
            **{f"job-{tab}": f"/jobs/{self.trained.id}?tab={tab}" for tab in _TABS[1:]},
            "job-running": f"/jobs/{self.running.id}",
            "job-failed": f"/jobs/{self.failed.id}?tab=timeline",
            "job-compressed": f"/jobs/{self.compressed.id}",
            "job-sampled": f"/jobs/{self.sampled.id}",
            "new-job": "/jobs/new?kind=train",
            **{f"new-{kind}": f"/jobs/new?kind={kind}" for kind in ("generate", "compress", "script")},
            "datasets": "/datasets",
            "dataset": f"/datasets/{dataset.id}",
            "models": "/models",
            "model": f"/models/{version['model']}",
            "version": f"/model-versions/{version['id']}",
            "version-compressed": f"/model-versions/{small['id']}",
            "cluster": "/cluster",
            "settings": "/settings",
            "not-found": "/no-such-page",
        }


def train_spec(dataset: str, **changes: Any) -> dict[str, Any]:
    """Describe a training run that is over in half a minute."""
    return {
        "kind": "train",
        "model": {"source": "config", "hidden_size": 96, "num_layers": 3, "num_heads": 4, "intermediate_size": 256},
        "data": {"dataset": dataset, "context_length": 128, "validation_max_samples": 32},
        "steps": STEPS,
        "micro_batch_size": 4,
        "schedule": {"kind": "cosine", "warmup_steps": 15},
        "validate_every_steps": 20,
        "checkpoint": {"every_steps": 40},
        "output_model": MODEL,
    } | changes


def play(client: Client, console: Console) -> Scene:
    """Fill the stack; two jobs are left, one running and one waiting behind it."""
    version = send_dataset(client, console)
    dataset = f"{DATASET}@{version.number}"
    submit, wait = client.jobs.submit, client.jobs.wait
    trained = submit(train_spec(dataset), name=MODEL, slots_per_node=NUM_RANKS)
    optimizer = {"learning_rate": 1e-3}
    variant = submit(train_spec(dataset, optimizer=optimizer), name=f"{MODEL}-slow", slots_per_node=NUM_RANKS)
    trained = wait(trained.id, timeout_s=_TIMEOUT_S)
    model = trained.output_version_name
    recipe = [{"method": "rtn", "bits": 8, "group_size": 32}]
    compressed = submit({"kind": "compress", "model": model, "recipe": recipe}, name="8-bit")
    sample = {"kind": "generate", "model": model, "prompt": PROMPT, "max_new_tokens": 48, "num_samples": 2}
    sampled = submit(sample, name="try-it")
    source = {"source": "pretrained", "model": model}
    data = {"dataset": dataset, "context_length": 8192}  # beyond the model's positions
    broken = train_spec(dataset, model=source, tokenizer={"source": "model"}, data=data)
    failed = submit(broken, name="too-long")
    for job in (variant, compressed, sampled):
        wait(job.id, timeout_s=_TIMEOUT_S)
    while not failed.is_final:
        failed = client.jobs.get(failed.id)
    running = submit(train_spec(dataset, steps=100_000), name="long-run", slots_per_node=NUM_RANKS)
    submit(train_spec(dataset), name="next-in-line", slots_per_node=NUM_RANKS)
    while running.progress.step < STEPS // 2 and not running.is_final:
        running = client.jobs.get(running.id)
    return Scene(trained, variant, compressed, sampled, failed, running)


def open_page(browser: Browser, stack: DemoStack, *, is_signed_in: bool) -> Page:
    """Open a tab, at the login page or past it."""
    page = browser.new_context(base_url=stack.url, reduced_motion="reduce").new_page()
    page.goto("/")
    page.get_by_label("Username").wait_for()
    if is_signed_in:
        page.get_by_label("Username").fill(stack.username)
        page.get_by_label("Password", exact=True).fill(stack.password())
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("navigation", name="Main").first.wait_for()
    return page


def take(page: Page, name: str) -> None:
    """Take the open page in both themes and sizes."""
    page.wait_for_function("document.querySelector('[aria-label=Loading]') === null")
    for size in SIZES:
        page.set_viewport_size(size)
        for theme in THEMES:
            page.emulate_media(color_scheme=theme, reduced_motion="reduce")
            page.evaluate(_SETTLED)
            page.screenshot(path=ALL / f"{name}-{theme}-{size['width']}.png", full_page=True)
            if name in IN_THE_DOCS and size is SIZES[0]:
                page.screenshot(path=DOCS / (f"{name}.png" if theme == "light" else f"{name}-dark.png"))


def visit(browser: Browser, stack: DemoStack, addresses: dict[str, str]) -> None:
    """Take every page, and what opens over one."""
    take(open_page(browser, stack, is_signed_in=False), "login")
    page = open_page(browser, stack, is_signed_in=True)
    for name, address in addresses.items():
        page.set_viewport_size(SIZES[0])
        page.goto(address)
        page.get_by_role("navigation", name="Main").first.wait_for()  # a blank page is a failure, not a picture
        page.wait_for_load_state("networkidle")
        take(page, name)
    page.set_viewport_size(SIZES[0])
    page.keyboard.press("Control+k")
    page.get_by_role("dialog").get_by_role("option", name=MODEL).first.wait_for()
    take(page, "palette")


def main() -> int:
    """Take all pictures; the exit code."""
    browser_path = shutil.which("chromium")
    if browser_path is None:
        sys.stderr.write("Install the Debian package chromium.\n")
        return 1
    for folder in (ALL, DOCS):
        folder.mkdir(parents=True, exist_ok=True)
    os.environ["COX_PORT"] = "0"
    with tempfile.TemporaryDirectory(prefix="cox-screenshots-") as name:
        root = Path(name)
        root.chmod(0o711)  # Postgres enters it as another account when this runs as root
        with running_stack(StackPaths(root / "data")) as stack, sync_playwright() as playwright:
            with stack.client() as client:
                addresses = play(client, Console()).pages(client)
            browser = playwright.chromium.launch(executable_path=browser_path, args=list(_FLAGS))
            visit(browser, stack, addresses)
            browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())

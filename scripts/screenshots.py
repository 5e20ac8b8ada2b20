"""Takes the pictures of the documentation: a demonstration runs, and a browser looks at it.

Starts a stack of its own in a temporary folder, trains, and writes ``docs/images/<page>.png``.
"""

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright
from rich.console import Console

from coxswain.client import Client
from coxswain.demo.__main__ import MODEL, send_dataset
from coxswain.demo.stack import NUM_RANKS, DemoStack, running_stack
from coxswain.stack.paths import StackPaths

IMAGES = Path(__file__).parents[1] / "docs" / "images"
STEPS = 150
_PICTURE_AT_STEP = 60
_SETTLE_S = 1.5
_FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")


def sign_in(page: Page, stack: DemoStack) -> None:
    """Sign in through the login page."""
    page.goto("/")
    page.get_by_label("Username").fill(stack.username)
    page.get_by_label("Password", exact=True).fill(stack.password())
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("navigation", name="Main").first.wait_for()


def take(page: Page, address: str, name: str) -> None:
    """Open a page, let it settle, and keep a picture of it."""
    page.goto(address)
    page.get_by_role("navigation", name="Main").first.wait_for()  # a blank page is a failure, not a picture
    time.sleep(_SETTLE_S)
    page.screenshot(path=IMAGES / f"{name}.png")


def start_training(client: Client, console: Console) -> str:
    """Submit a job and wait until its curves have a shape; answer its id."""
    version = send_dataset(client, console)
    spec = {
        "kind": "train",
        "data": {"dataset": f"standard-library@{version.number}"},
        "steps": STEPS,
        "schedule": {"kind": "cosine", "warmup_steps": 15},
        "validate_every_steps": 25,
        "output_model": MODEL,
    }
    job = client.jobs.submit(spec, name=MODEL, slots_per_node=NUM_RANKS)
    while job.progress.step < _PICTURE_AT_STEP and not job.is_final:
        time.sleep(1)
        job = client.jobs.get(job.id)
    return job.id


def main() -> int:
    """Take all pictures; the exit code."""
    browser_path = shutil.which("chromium")
    if browser_path is None:
        sys.stderr.write("Install the Debian package chromium.\n")
        return 1
    IMAGES.mkdir(parents=True, exist_ok=True)
    os.environ["COX_PORT"] = "0"
    console = Console()
    with tempfile.TemporaryDirectory(prefix="cox-screenshots-") as folder:
        Path(folder).chmod(0o711)  # Postgres enters it as another account when this runs as root
        with running_stack(StackPaths(Path(folder) / "data")) as stack, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=browser_path, args=list(_FLAGS))
            page = browser.new_context(base_url=stack.url, viewport={"width": 1440, "height": 900}).new_page()
            sign_in(page, stack)
            with stack.client() as client:
                job_id = start_training(client, console)
                take(page, f"/jobs/{job_id}", "dashboard")
                take(page, "/jobs", "jobs")
                take(page, "/cluster", "cluster")
                client.jobs.wait(job_id, timeout_s=1800)
                take(page, "/models", "models")
            browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())

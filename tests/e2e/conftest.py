"""One live stack and one browser for all end-to-end tests of the dashboard.

Chromium must be there (Debian's package ``chromium``): a missing browser is an error, not a skip.
"""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Response, sync_playwright

from tests.live.api import Api, stdlib_files
from tests.live.stack import LiveStack

_CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# What the browser itself says of a request that was refused or not answered: tests ask for both on purpose.
_OF_THE_NETWORK = ("Failed to load resource", "WebSocket connection to")


@pytest.fixture(scope="session")
def live_stack() -> Iterator[LiveStack]:
    assert (Path(__file__).parents[2] / "frontend/dist/index.html").exists(), "build the dashboard first: make setup"
    with tempfile.TemporaryDirectory(prefix="cox-e2e-") as folder:
        root = Path(folder)
        root.chmod(0o711)  # Postgres enters it as another account when the tests run as root
        stack = LiveStack(root / "data")
        try:
            stack.start_all()
            yield stack
        finally:
            stack.stop_all()


@pytest.fixture(scope="session")
def api(live_stack: LiveStack) -> Api:
    return Api(live_stack.url, username="admin", password=live_stack.admin_password)


@pytest.fixture(scope="session")
def dataset(api: Api) -> str:
    """A dataset that may be trained on, by name."""
    return api.dataset("corpus", stdlib_files(12))


@pytest.fixture(scope="session")
def long_job(api: Api, dataset: str) -> str:
    """A finished job with more points than a chart is sent at first; its id."""
    spec = {
        "kind": "train",
        "model": {"source": "config", "hidden_size": 8, "num_layers": 1, "num_heads": 1, "intermediate_size": 8},
        "tokenizer": {"source": "bpe", "vocab_size": 300},
        "data": {"dataset": dataset, "context_length": 8},
        "steps": 1500,
        "micro_batch_size": 1,
        "validate_every_steps": 500,
    }
    job_id = api.submit("long", spec, slots=1)
    assert api.wait_final(job_id)["state"] == "succeeded"
    return job_id


@pytest.fixture(scope="module")  # Playwright's event loop runs until then: asynchronous tests cannot follow it
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert path, "no Chromium: install the package chromium (Debian: apt-get install chromium)"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(_CHROMIUM_FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser, live_stack: LiveStack) -> Iterator[BrowserContext]:
    context = browser.new_context(base_url=live_stack.url, viewport={"width": 1280, "height": 900})
    context.set_default_timeout(30_000)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext, live_stack: LiveStack) -> Iterator[Page]:
    """A page of somebody who is logged in; at the end, nothing may have gone wrong in its console or on the server."""
    page = context.new_page()
    errors = watch_errors(page)
    log_in(page, live_stack)
    yield page
    assert errors == []


def watch_errors(page: Page) -> list[str]:
    """Collect what goes wrong on a page: exceptions, console errors, answers that say the server failed."""
    errors: list[str] = []

    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith(_OF_THE_NETWORK):
            errors.append(message.text)

    def on_response(response: Response) -> None:
        if response.status >= 500 or (response.status >= 400 and "/static/" in response.url):
            errors.append(f"{response.status} {response.url}")

    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", on_console)
    page.on("response", on_response)
    return errors


def log_in(page: Page, stack: LiveStack) -> None:
    """Log in through the login page."""
    page.goto("/")
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password", exact=True).fill(stack.admin_password)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("navigation", name="Main").first.wait_for()

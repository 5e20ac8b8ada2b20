"""A live stack, a real browser, and a person who has logged in."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.live.api import Api
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
    """A page of somebody who is logged in; at the end, nothing may have gone wrong in its console."""
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    log_in(page, live_stack)
    yield page
    assert errors == []


def log_in(page: Page, stack: LiveStack) -> None:
    """Log in through the login page."""
    page.goto("/")
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password", exact=True).fill(stack.admin_password)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("navigation", name="Main").first.wait_for()

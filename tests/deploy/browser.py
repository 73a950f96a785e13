"""A headless Chromium, and where its screenshots are kept."""

import os
import shutil
import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

# Kept for a look after the run; ignored by git
ARTEFACTS = Path(__file__).parents[2] / "runs" / "artefacts"
RUNTIME = Path(__file__).parents[2] / "runs" / "litertjs"  # fetched once
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1200,1000",
)


@contextmanager
def chromium(profile: Path, *flags: str):
    """Start Debian's Chromium with an empty profile; skip where it is not."""
    webdriver = pytest.importorskip("selenium.webdriver")
    driver = shutil.which("chromedriver")
    binary = shutil.which("chromium") or shutil.which("google-chrome")
    if not driver or not binary:
        pytest.skip("no Chromium: apt-get install chromium chromium-driver")
    profile.mkdir()
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (*FLAGS, *flags, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(driver)
    browser = webdriver.Chrome(options=options, service=service)
    browser.set_script_timeout(600)
    try:
        yield browser
    finally:
        browser.quit()


@contextmanager
def serve(folder: Path):
    """Serve a folder on loopback, as `python -m http.server` does."""

    class Quiet(SimpleHTTPRequestHandler):
        requests = []

        def log_message(self, *_):
            pass

        def parse_request(self):
            done = super().parse_request()
            self.requests.append((self.command, self.path))
            return done

    handler = partial(Quiet, directory=os.fspath(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/", Quiet.requests
        finally:
            server.shutdown()


def keep(browser, name: str) -> Path:
    """Keep a screenshot of the whole page among the run's artefacts."""
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    path = ARTEFACTS / f"{name}.png"
    browser.save_screenshot(str(path))
    return path

"""The system's Chromium without a window, driven by WebDriver; a test that needs it is skipped where there is none."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service


@contextmanager
def browser(width: int = 1400, height: int = 1000, *, dark: bool = False) -> Iterator[webdriver.Chrome]:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("no browser here: on Debian, apt-get install chromium chromium-driver")
    options = Options()
    options.binary_location = chromium
    # Without a sandbox, since the tests may run as root, where there is none.
    for word in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", f"--window-size={width},{height}"):
        options.add_argument(word)
    if dark:
        options.add_argument("--force-dark-mode")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    try:
        chrome = webdriver.Chrome(options=options, service=Service(driver))
    except WebDriverException as error:
        pytest.skip(f"the browser does not start here: {(error.msg or '').splitlines()[:1]}")
    try:
        if dark:
            wanted = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
            chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", wanted)
        yield chrome
    finally:
        chrome.quit()

"""A headless Chromium for tests of pages, and what such a test asks of it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

WHY = "no browser: install Debian's chromium and chromium-driver (BPX_REQUIRE_BROWSER=1 makes this a failure)"
SWITCHES = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run")


def missing(reason: str) -> NoReturn:
    """Skip, or fail where a browser is required."""
    if os.environ.get("BPX_REQUIRE_BROWSER") == "1":
        pytest.fail(f"BPX_REQUIRE_BROWSER=1, but {reason}")
    pytest.skip(reason)


def start() -> Any:
    """A driver; both programs are named, so that selenium looks for nothing and downloads nothing."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    browser = next((path for name in names if (path := shutil.which(name))), None)
    driver = shutil.which("chromedriver")
    if browser is None or driver is None:
        missing(WHY)
    try:
        from selenium import webdriver
        from selenium.common.exceptions import WebDriverException
    except ModuleNotFoundError:
        missing("no browser test: selenium is not installed; pip install -e '.[test]'")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for switch in SWITCHES:
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    try:
        return webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    except WebDriverException as error:
        missing(f"no browser: {browser} did not start ({str(error).splitlines()[0]})")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """One browser for a module, without a network."""
    driver = start()
    driver.execute_cdp_cmd("Network.enable", {})
    offline = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
    driver.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
    yield driver
    driver.quit()


class Page:
    """A page on the disk, opened."""

    def __init__(self, driver: Any, path: Path, width: int = 1280, height: int = 800, **media: str) -> None:
        self.driver = driver
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        # A calm page shows its numbers at once.
        wishes = {"prefers-reduced-motion": "reduce"} | {name.replace("_", "-"): value for name, value in media.items()}
        features = [{"name": name, "value": value} for name, value in wishes.items()]
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        self.url = path.resolve().as_uri()
        driver.get_log("browser")
        driver.get_log("performance")
        driver.get(self.url)

    def js(self, script: str, *arguments: Any) -> Any:
        """What a function's body returns."""
        return self.driver.execute_script(script, *arguments)

    def text(self, selector: str) -> str:
        return str(self.js("return document.querySelector(arguments[0]).textContent", selector))

    def click(self, selector: str) -> None:
        self.driver.find_element("css selector", selector).click()

    def press(self, key: str) -> None:
        self.driver.switch_to.active_element.send_keys(key)

    def choose(self, selector: str, value: str) -> None:
        """Choose from a list, or move a slider, as a reader does."""
        script = """const e = document.querySelector(arguments[0]); e.value = arguments[1];
            for (const name of ["input", "change"]) e.dispatchEvent(new Event(name, {bubbles: true}));"""
        self.js(script, selector, value)

    @property
    def stage(self) -> int:
        return int(self.js("return document.body.dataset.stage"))

    @property
    def stages(self) -> int:
        return int(self.js("return document.getElementById('slider').max")) + 1

    def complaints(self) -> list[str]:
        """What the console holds, errors and refusals of the security policy among it."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> set[str]:
        """Every address that was asked for since the page was opened, by the page or for it."""
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        return {m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"}

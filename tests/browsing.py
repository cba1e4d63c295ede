"""The page in a real browser."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from atomstream_service.demo import Launched

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")

Theme = Literal["dark", "light"]
_QUALITY = 30


@contextlib.contextmanager
def launched_browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"])
        yield started
        started.close()


@contextlib.contextmanager
def opened_page(browser: Browser, service: Launched, size: tuple[int, int] = (1366, 768), theme: Theme = "dark") -> Iterator[Page]:
    """The page at a service that answers frames; nothing wrong may come into its console."""
    errors: list[str] = []
    opened = browser.new_page(viewport={"width": size[0], "height": size[1]}, color_scheme=theme)
    opened.set_default_timeout(30_000)
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("console", lambda message: errors.append(message.text) if _is_wrong(message) else None)
    opened.goto(service.url)
    expect(opened.locator(".counts")).to_contain_text("atoms", timeout=30_000)
    yield opened
    opened.close()
    assert errors == []


def keep_picture(page: Page, name: str) -> None:
    """Into the folder that SCREENSHOTS names, where it names one."""
    if folder := os.environ.get("SCREENSHOTS"):
        picture = cv2.imdecode(np.frombuffer(page.screenshot(), np.uint8), cv2.IMREAD_COLOR)
        assert cv2.imwrite(str(Path(folder) / f"{name}.webp"), np.asarray(picture), [cv2.IMWRITE_WEBP_QUALITY, _QUALITY])


def said_generation(page: Page) -> int:
    """From which what was done holds, as the page has just said."""
    told = page.locator("#toasts .toast").last
    expect(told).to_contain_text("generation")
    found = re.search(r"generation (\d+)", told.inner_text())
    assert found is not None
    return int(found[1])


def _is_wrong(message: ConsoleMessage) -> bool:
    """Whether a line of the console is an error of the page; a browser also tells of answers that are refusals."""
    return message.type == "error" and "Failed to load resource" not in message.text

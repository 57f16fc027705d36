"""`gynbtnet review` in a separate process, and its page in a real browser."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, Request

CHROMIUM = next((path for name in ("chromium", "chromium-browser") if (path := shutil.which(name))), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (apt-get install chromium)")


class Served:
    """`gynbtnet review` in a separate process, and a page that was opened with its link."""

    def __init__(self, folder: Path, browser: Browser, *options: str) -> None:
        self.folder, self.browser, self.options = folder, browser, options
        self.foreign: list[str] = []
        self.errors: list[str] = []
        self.console: list[str] = []
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "gynbtnet", "review", str(self.folder), "--no-browser", *self.options]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env={**os.environ, "COLUMNS": "400"}
        )
        line = self.process.stdout.readline()
        assert "http://127.0.0.1:" in line, line
        self.link = line.split()[-1]
        self.page = self.open()

    def open(self) -> Page:
        context = self.browser.new_context(viewport={"width": 1100, "height": 700})
        context.set_default_timeout(120_000)
        page = context.new_page()
        page.on("request", self._request)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda message: self._console(message))
        page.goto(self.link)
        return page

    @property
    def address(self) -> str:
        return self.link.partition("open?")[0]

    def _request(self, request: Request) -> None:
        if not request.url.startswith(self.address):
            self.foreign.append(request.url)

    def _console(self, message: Any) -> None:
        self.console.append(message.text)
        if message.type == "error" and not any(
            word in message.text for word in ("409", "422", "ERR_CONNECTION_REFUSED")
        ):
            self.errors.append(message.text)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()
        self.page.context.close()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(120)
        self.process.stdout.close()


def ready(page: Page) -> None:
    page.wait_for_selector("body[data-ready]")


def settled(page: Page) -> None:
    page.wait_for_timeout(20)
    page.evaluate("gynbtnetReview.settled()")
    page.wait_for_selector("body[data-state=saved]")


def go_to(page: Page, voxel: list[int]) -> None:
    page.evaluate("voxel => gynbtnetReview.moveTo(voxel)", voxel)


def drag(page: Page, plane: str, *voxels: list[int]) -> None:
    """Draw with the present tool from voxel to voxel of the shown plane."""
    pixels = [page.evaluate("([plane, voxel]) => gynbtnetReview.pixelOf(plane, voxel)", [plane, v]) for v in voxels]
    page.mouse.move(*pixels[0])
    page.mouse.down()
    for pixel in pixels:
        page.mouse.move(*pixel)
    page.mouse.up()
    settled(page)


def mask(page: Page, structure: int) -> np.ndarray:
    """Return a mask of the page in display orientation."""
    shape, voxels = page.evaluate(
        "i => { const c = gynbtnetReview.page.case; const on = []; c.masks[i].forEach((v, at) => v && on.push(at));"
        " return [c.shape, on]; }",
        structure,
    )
    array = np.zeros(shape, bool)
    array.ravel()[voxels] = True
    return array

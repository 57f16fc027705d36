"""Pictures of the review page in docs: python docs/review_pictures.py PREDICTION

The scan of the prediction should have a dose. They are taken in Chromium at two widths, 1,400 and 800 pixels.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

IMAGES = Path(__file__).parent / "images"


def main(prediction: Path) -> None:
    """Take all pictures; the review of the prediction is left as it was."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("Chromium was not found, and the pictures need it; install it, or keep the old pictures.")
    command = [sys.executable, "-m", "gynbtnet", "review", str(prediction), "--no-browser"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        link = server.stdout.readline().split()[-1]
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1400, "height": 860})
            page.set_default_timeout(60_000)
            page.goto(link)
            page.wait_for_selector("body[data-ready]")
            page.keyboard.press("g")
            take(page, "review")
            page.keyboard.press("1")
            page.keyboard.press("g")
            page.keyboard.press("d")
            page.wait_for_selector("#dose-metrics td")
            take(page, "review_dose")
            page.keyboard.press("d")
            page.keyboard.press("4")
            page.keyboard.press("g")
            page.set_viewport_size({"width": 800, "height": 900})
            take(page, "review_narrow")
            browser.close()
    finally:
        server.terminate()
        server.communicate()


def take(page: Page, name: str) -> None:
    """Take one picture after everything was drawn."""
    page.wait_for_timeout(1000)
    page.screenshot(path=IMAGES / f"{name}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

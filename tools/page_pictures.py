"""Every page of the built book as a picture, taken by Chromium with the network switched off.

    python tools/page_pictures.py results/book/_build/html /tmp/pages

For looking at the book before handing it out. It fails if a page asks for anything outside its
folder, logs an error, leaves mathematics unset, or holds an image that does not load.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]

BROKEN_IMAGES = """() => [...document.images]
    .filter(image => !image.complete || image.naturalWidth === 0).map(image => image.src)"""
# MathJax's own errors, and the raw TeX of formulas that it has not reached.
UNSET_MATHS = """() => document.querySelectorAll('mjx-merror').length
    + [...document.querySelectorAll('.math')]
        .filter(formula => !formula.querySelector('mjx-container')).length"""
MATHS_DONE = """() => !document.querySelector('.math')
    || (window.MathJax && MathJax.startup && MathJax.startup.promise.then(() => true))"""
WIDER_THAN_PAGE = "() => document.documentElement.scrollWidth > window.innerWidth + 1"


def browser_path() -> str | None:
    """An installed Chromium, or None for playwright's own."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for name in names if (path := shutil.which(name))), None)


def visit(page: Page, file: Path, picture: Path) -> list[str]:
    """Open one page, save its picture, and return what is wrong with it."""
    problems: list[str] = []

    def local_only(route) -> None:
        if route.request.url.startswith(("file:", "data:", "blob:")):
            route.continue_()
        else:
            problems.append(f"asks for {route.request.url}")
            route.abort()

    def note(message) -> None:
        if message.type == "error":
            problems.append(f"console: {message.text}")

    page.route("**/*", local_only)
    page.on("console", note)
    page.on("pageerror", lambda error: problems.append(f"script: {error}"))
    page.goto(file.resolve().as_uri(), wait_until="load")
    # Images below the fold are loaded when they are looked at.
    page.evaluate("() => document.querySelectorAll('img').forEach(i => i.loading = 'eager')")
    page.wait_for_function(MATHS_DONE, timeout=30_000)
    page.wait_for_timeout(300)
    problems += [f"image does not load: {source}" for source in page.evaluate(BROKEN_IMAGES)]
    if unset := page.evaluate(UNSET_MATHS):
        problems.append(f"{unset} formulas are not set")
    if page.evaluate(WIDER_THAN_PAGE):
        problems.append("wider than the window")
    picture.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=str(picture), full_page=True)
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("html", type=Path, help="folder of the built book")
    parser.add_argument("pictures", type=Path, help="folder for the pictures")
    parser.add_argument("--width", type=int, default=1280, help="of the window, in pixels")
    options = parser.parse_args()

    files = sorted(options.html.glob("book/**/*.html"))
    if not files:
        print(f"no pages in {options.html}: build the book first", file=sys.stderr)
        return 2
    failed = 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=FLAGS)
        for file in files:
            name = file.relative_to(options.html)
            page = browser.new_page(viewport={"width": options.width, "height": 900})
            problems = visit(page, file, options.pictures / name.with_suffix(".png"))
            page.close()
            print(f"{name}: {'; '.join(problems) or 'ok'}")
            failed += bool(problems)
        browser.close()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""The two pictures of a report in the book, taken by Chromium from a report of a rendered clip.

    mcx detect CLIP.mp4 --weights demo --report /tmp/report.html
    python tools/report_pictures.py /tmp/report.html book/static

CLIP is a video of the demonstration's test part, such as data/demo/videos/FaceForensics++/
manipulated_sequences/Face2Face/c23/videos/800_803.mp4. It refuses a report of other weights than
the demonstration's, because no real face may lie in the repository, and writes into both pictures
that the faces are rendered.
"""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

from page_pictures import FLAGS, browser_path
from PIL import Image
from playwright.sync_api import sync_playwright

WIDTH = 900
LABEL = "Rendered faces: synthetic demonstration data"
PARTS = {"report_verdict": ("header", "#next"), "report_faces": ("#people", "#people")}
"""Picture -> its first and its last element."""

MARK = """([last, text]) => {
    const mark = document.createElement('p');
    mark.textContent = text;
    mark.style.fontWeight = 'bold';
    document.querySelector(last).append(mark);
}"""
BOX = """([first, last]) => {
    const top = document.querySelector(first).getBoundingClientRect().top + scrollY;
    const bottom = document.querySelector(last).getBoundingClientRect().bottom + scrollY;
    return {x: 0, y: Math.max(0, top - 8), width: innerWidth, height: bottom - top + 16};
}"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("report", type=Path)
    parser.add_argument("folder", type=Path, help="for the pictures")
    options = parser.parse_args()
    if "Synthetic demonstration data" not in options.report.read_text(encoding="utf-8"):
        print(f"{options.report} is not of the demonstration's weights", file=sys.stderr)
        return 2
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=FLAGS)
        page = browser.new_page(viewport={"width": WIDTH, "height": 900}, color_scheme="light")
        page.goto(options.report.resolve().as_uri())
        for _, last in PARTS.values():
            page.evaluate(MARK, [last, LABEL])
        for name, (first, last) in PARTS.items():
            box = page.evaluate(BOX, [first, last])
            taken = page.screenshot(full_page=True, clip=box)
            path = options.folder / f"{name}.webp"
            with Image.open(io.BytesIO(taken)) as picture:
                picture.convert("RGB").save(path, quality=85, method=6)
            print(f"{path}: {path.stat().st_size // 1000} kB")
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())

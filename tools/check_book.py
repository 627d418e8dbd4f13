"""What must hold for every page of the built book, checked in its HTML.

    python tools/check_book.py results/book/_build/html

- every image has an alternative text that says something, and its file exists;
- no script, style, font or image comes from another machine;
- every link and anchor inside the book leads somewhere;
- a page that holds a measurement says where it comes from;
- no output of a notebook is a traceback.
"""

from __future__ import annotations

import argparse
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

SYNTHETIC = "synthetic demonstration data"

MIN_ALT = 15
"""Characters that an alternative text needs at least to say anything."""

# "BOSC" or "AUC" and a value near it, in a page's text.
_MEASUREMENT = re.compile(r"\b(?:BOSC|AUC)\b.{0,80}?(?<![\w.])(?:0\.\d{2,}|\d{2}\.\d{1,2})\b", re.I)
# File names and digests that tools put where a text should be.
_MEANINGLESS = re.compile(r"[\w./\\:-]*\.(?:png|jpe?g|svg|gif)|[0-9a-f]{16,}|_?images?/.*", re.I)
_LOADED = {"script": "src", "img": "src", "source": "src", "iframe": "src", "video": "src"}
_LOADED_RELS = {"stylesheet", "preload", "icon", "shortcut", "modulepreload", "prefetch"}
_CSS_REMOTE = re.compile(r"""(?:url\(\s*['"]?|@import\s+['"])((?:https?:)?//[^'")\s]+)""")


class Page(HTMLParser):
    """One HTML file: its images, what it loads, its links, anchors and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.images: list[tuple[str, str | None]] = []
        self.loads: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.article: list[str] = []
        self.traceback = False
        self._depth = 0
        self._hidden = 0
        self._style = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if name := given.get("id") or (given.get("name") if tag == "a" else None):
            self.anchors.add(name)
        if tag == "img":
            self.images.append((given.get("src") or "", given.get("alt")))
        if source := given.get(_LOADED.get(tag, "")):
            self.loads.append(source)
        href = given.get("href")
        if tag == "link" and href and _LOADED_RELS & set((given.get("rel") or "").split()):
            self.loads.append(href)
        if tag == "a" and href:
            self.links.append(href)
        classes = (given.get("class") or "").split()
        self.traceback |= "traceback" in classes
        if tag == "article":
            self._depth += 1
        if tag in ("script", "style"):
            self._hidden += 1
            self._style = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        if tag == "article":
            self._depth -= 1
        if tag in ("script", "style"):
            self._hidden -= 1
            self._style = False

    def handle_data(self, data: str) -> None:
        if self._style:
            self.loads += _CSS_REMOTE.findall(data)
        if self._depth and not self._hidden:
            self.article.append(data)

    @property
    def text(self) -> str:
        """The words of the page's own content, without menus and banner."""
        return " ".join(" ".join(self.article).split())


def is_remote(address: str) -> bool:
    """Whether loading this address would leave the book's folder for another machine."""
    return bool(re.match(r"(?:[a-z][a-z0-9+.-]*:)?//", address, re.I)) and not address.startswith(
        "file:"
    )


def image_problems(images: list[tuple[str, str | None]]) -> list[str]:
    """Images whose alternative text is missing, too short, a file name or a digest."""
    problems = []
    for source, alt in images:
        words = (alt or "").strip()
        if len(words) < MIN_ALT or _MEANINGLESS.fullmatch(words):
            problems.append(f"image {source[:80]} has no alternative text worth it: {alt!r}")
    return problems


def link_problems(file: Path, page: Page, pages: dict[Path, Page]) -> list[str]:
    """Links and images inside the book that lead nowhere; ``pages`` maps files to pages."""
    problems = []
    images = [source for source, _ in page.images]
    for address in [*page.links, *images]:
        parts = urlsplit(address)
        if parts.scheme or parts.netloc:
            continue
        target = file
        if parts.path:
            target = (file.parent / unquote(parts.path)).resolve()
            target = target / "index.html" if target.is_dir() else target
        if not target.is_file():
            problems.append(f"link to a missing file: {address}")
        elif parts.fragment and target in pages:
            # "#" and "#top" are the top of every page.
            anchor = unquote(parts.fragment)
            if anchor != "top" and anchor not in pages[target].anchors:
                problems.append(f"link to a missing anchor: {address}")
    return problems


def page_problems(file: Path, page: Page, pages: dict[Path, Page]) -> list[str]:
    """Everything that is wrong with one page of the book."""
    problems = image_problems(page.images)
    problems += [f"loads {address}" for address in page.loads if is_remote(address)]
    problems += link_problems(file, page, pages)
    if page.traceback:
        problems.append("shows the error of a notebook cell")
    if _MEASUREMENT.search(page.text) and SYNTHETIC not in page.text.lower():
        problems.append(f"holds a measurement and does not say {SYNTHETIC!r}")
    return problems


def check(html: Path) -> dict[str, list[str]]:
    """Problems of each page and style sheet below ``html``, by its path; empty if all is well.

    Raises:
        FileNotFoundError: if the folder holds no page.
    """
    html = Path(html).resolve()
    files = sorted(html.rglob("*.html"))
    # Frames and fragments that a package brings along are not pages of the book.
    files = [file for file in files if "_static" not in file.relative_to(html).parts]
    if not files:
        raise FileNotFoundError(f"no page in {html}: build the book first")
    pages = {file: Page(file.read_text(encoding="utf-8")) for file in files}
    found = {str(f.relative_to(html)): page_problems(f, page, pages) for f, page in pages.items()}
    for sheet in sorted(html.rglob("*.css")):
        remote = _CSS_REMOTE.findall(sheet.read_text(encoding="utf-8", errors="replace"))
        found[str(sheet.relative_to(html))] = [f"loads {address}" for address in remote]
    return {name: problems for name, problems in found.items() if problems}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("html", type=Path, help="folder of the built book")
    html = parser.parse_args().html
    try:
        found = check(html)
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 2
    for name, problems in found.items():
        for problem in problems:
            print(f"{name}: {problem}")
    print(f"{sum(map(len, found.values()))} problems in {html}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

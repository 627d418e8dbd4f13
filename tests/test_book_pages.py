"""Every page of the built book in a browser: light, dark, on a phone, and as it is printed.

`make test-book` runs this, `make test` does not. It walks the book that `make` has built, or a
quick one (:mod:`quick_book`) where there is none.
"""

from __future__ import annotations

import re
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import quick_book
import yaml
from browser import barriers, launched, visited
from test_book import ROOT, check_book

pytestmark = pytest.mark.book

MADE = ROOT / "results/book/_build/html"
WAIT = 30_000  # ms

CONTENTS = yaml.safe_load((ROOT / "book/_toc.yml").read_text(encoding="utf-8"))
PAGES = [CONTENTS["root"]] + [c["file"] for part in CONTENTS["parts"] for c in part["chapters"]]

MODES = {"light": ("desktop", "light"), "dark": ("desktop", "dark"), "phone": ("phone", "light")}

# Of A4 within the margins that book.css sets, at 96 px an inch: upright, and across.
UPRIGHT, ACROSS = (210 - 24) / 25.4 * 96, (297 - 20) / 25.4 * 96

SETTLED = """() => document.readyState === 'complete'
    && (!document.querySelector('.math') || !!window.MathJax?.startup?.promise)"""
MATHS = "() => window.MathJax?.startup?.promise?.then(() => true) ?? true"
BROKEN = """() => [...document.images]
    .filter((i) => !i.complete || i.naturalWidth === 0).map((i) => i.src)"""

# Tables, pictures, output and commands that reach over their box without a way to what is cut off.
CUT = """() => {
  const found = [];
  const all = 'article table, figure.wide, .cell_output figure, .cell_output pre, '
      + '.highlight-bash pre';
  for (const table of document.querySelectorAll(all)) {
    let box = table;
    const scrolls = (e) => ['auto', 'scroll'].includes(getComputedStyle(e).overflowX);
    while (box && !scrolls(box)) box = box.parentElement;
    const wide = box && box !== document.body && box.scrollWidth > box.clientWidth + 1;
    const right = (box ?? table).getBoundingClientRect().right;
    if (right > innerWidth + 1) found.push('beyond the window: ' + table.innerText.slice(0, 60));
    if (!table.checkVisibility() || !wide) continue;
    const outer = box.matches('pre') ? box.closest("div[class*='highlight-']") ?? box : box;
    const hint = outer.previousElementSibling;
    if (!hint?.classList.contains('scroll-hint') || !hint.checkVisibility())
      found.push('scrolls without a hint: ' + table.innerText.slice(0, 60));
    if (box.tabIndex < 0) found.push('no key reaches it: ' + table.innerText.slice(0, 60));
  }
  return found;
}"""
TABLES = """() => [...document.querySelectorAll('article table')].map((t) => ({
    across: t.classList.contains('results'),
    right: t.getBoundingClientRect().right,
    text: t.innerText.slice(0, 50),
}))"""
WIDER = "() => document.documentElement.scrollWidth > innerWidth + 1"


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    if (MADE / "index.html").is_file():
        return MADE
    return quick_book.build(tmp_path_factory.mktemp("quick book ä"))


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address(html):
    """The book over http, as a server would give it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(html)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def browser():
    with launched() as found:
        yield found


def opened(page, address):
    """Go to a page and wait until all of it, formulas and late pictures too, is there."""
    failed = []
    page.on("response", lambda r: failed.append(f"{r.status} {r.url}") if r.status > 399 else None)
    page.goto(address, wait_until="load", timeout=WAIT)
    page.wait_for_function(SETTLED, timeout=WAIT)
    page.evaluate(MATHS)
    page.evaluate("() => document.querySelectorAll('img').forEach((i) => (i.loading = 'eager'))")
    page.wait_for_function("() => [...document.images].every((i) => i.complete)", timeout=WAIT)
    return failed


def test_links_images_and_texts(html):
    assert check_book.check(html) == {}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", PAGES)
def test_page(browser, address, name, mode):
    with visited(browser, *MODES[mode]) as (page, asked, errors):
        if mode == "dark":
            # The theme's own switch, as a reader has left it; a framed page has no storage.
            page.add_init_script(
                "if (window === top) localStorage.mode = localStorage.theme = 'dark'"
            )
        failed = opened(page, f"{address}/{name}.html")
        theme = page.evaluate("() => document.documentElement.dataset.theme")
        assert theme == ("dark" if mode == "dark" else "light")
        assert failed == []
        assert errors == []
        away = [url for url in asked if urlsplit(url).scheme in ("http", "https", "ws", "wss")]
        assert [url for url in away if not url.startswith(f"{address}/")] == []
        assert page.evaluate(BROKEN) == []
        assert page.evaluate(CUT) == []
        assert not page.evaluate(WIDER), "the page is wider than the window"
        assert barriers(page) == []


@pytest.mark.parametrize("name", PAGES)
def test_page_on_paper(browser, address, name):
    """Tables of results have a page across, all else is upright; nothing may be wider."""
    for width, wanted in ((UPRIGHT, False), (ACROSS, True)):
        with visited(browser) as (page, _, _):
            page.set_viewport_size({"width": int(width), "height": 1000})
            opened(page, f"{address}/{name}.html")
            page.emulate_media(media="print")
            page.wait_for_function("() => matchMedia('print').matches", timeout=WAIT)
            tables = page.evaluate(TABLES)
            cut = [t["text"] for t in tables if t["across"] == wanted and t["right"] > width + 1]
            assert cut == []
            boxes = page.evaluate("""() => [...document.querySelectorAll(
                '.pst-scrollable-table-container, .results-scroll')].map(
                (box) => getComputedStyle(box).overflowX)""")
            assert set(boxes) <= {"visible"}
            assert not page.locator(".scroll-hint:visible").count()


def test_numbers_of_equations_stand_beside_no_formula(browser, address):
    with visited(browser, "phone") as (page, _, _):
        opened(page, f"{address}/book/method.html")
        overlaps = page.evaluate("""() => [...document.querySelectorAll('div.math > .eqno')].map(
            (number) => {
              const a = number.getBoundingClientRect();
              const b = number.parentElement.querySelector('mjx-container').getBoundingClientRect();
              return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
            })""")
        assert overlaps == [False] * 5


def test_the_keyboard_is_seen_wherever_it_is(browser, address):
    """From the top of a page to its end of menus: each control that has the focus shows it."""
    with visited(browser) as (page, _, _):
        opened(page, f"{address}/book/results.html")
        seen, blind = set(), set()
        for _ in range(60):
            page.keyboard.press("Tab")
            name, shown = page.evaluate("""() => {
                const e = document.activeElement, s = getComputedStyle(e);
                const name = e.tagName + ' ' + (e.ariaLabel || e.innerText || e.className);
                const ring = s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) > 1;
                return [name.slice(0, 60), ring || e === document.body];
            }""")
            seen.add(name)
            if not shown:
                blind.add(name)
        assert len(seen) > 20
        assert blind == set()


def test_search_finds_a_word_of_each_page(browser, address, html):
    """The rarest long word of a page's own text, by the index that the book brings along."""
    texts = {name: words_of(html / f"{name}.html") for name in PAGES}
    missed = []
    with visited(browser) as (page, _, errors):
        for name, words in texts.items():
            rare = min(
                words, key=lambda w: (sum(w in other for other in texts.values()), -len(w), w)
            )
            page.goto(f"{address}/search.html?q={rare}", timeout=WAIT)
            try:
                page.wait_for_selector(f"ul.search a[href*='{name}.html']", timeout=10_000)
            except Exception:  # playwright's own kinds of time-out
                missed.append(f"{rare} of {name}")
        assert errors == []
    assert missed == []


def words_of(file: Path) -> set[str]:
    text = check_book.Page(file.read_text(encoding="utf-8")).text
    return {word.lower() for word in re.findall(r"(?<![\w-])[A-Za-z]{8,}(?![\w-])", text)}

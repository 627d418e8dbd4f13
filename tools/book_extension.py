"""What the book's builder lacks, as a Sphinx extension (named in ``_config.yml``).

- Tables of class ``results``: empty cells of the first header row widen the cell at their left,
  measured columns and groups of columns get classes, a row of one filled cell becomes a heading.
- Citations and the list of references carry the same label, authors and year.
- Roles and attributes without which screen readers and keyboards lose their way.
- Of MathJax only what a page can ask for is kept, a fifth of its size; maps for debugging the
  theme's own files go too.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from docutils import nodes
from pybtex.plugin import register_plugin
from pybtex.richtext import Text
from pybtex.style.formatting.plain import Style as PlainStyle
from pybtex.style.labels import BaseLabelStyle
from sphinx.application import Sphinx

MATHJAX = (
    "tex-chtml.js",
    "input/tex/extensions",
    "output/chtml",
    "a11y",
    "ui",
    "sre/mathmaps/base.json",
    "sre/mathmaps/en.json",
)
"""What tex-chtml.js is and can load: extensions of TeX, fonts, its menu and speech."""


# -- tables -----------------------------------------------------------------------------------


def lay_out_tables(app: Sphinx, doctree: nodes.document) -> None:
    """Join and mark the cells of every table of class ``results``."""
    for table in doctree.findall(nodes.table):
        if "results" in table["classes"]:
            lay_out(table)


def lay_out(table: nodes.table) -> None:
    """Join and mark the cells of one table, in place."""
    head, body = next(table.findall(nodes.thead), None), next(table.findall(nodes.tbody))
    starts, measured = [0], set()
    if head is not None and len(head.children) == 2:
        groups = head.children[0]
        names = [cell.astext().strip() for cell in groups.children]
        starts = [place for place, name in enumerate(names) if name]
        ends = [*starts[1:], len(names)]
        for start, end in zip(starts, ends, strict=True):
            if "measured" in names[start]:
                measured |= set(range(start, end))
        mark(groups.children, starts, measured)
        mark(head.children[1].children, starts, measured)
        cells = list(groups.children)
        for start, end in zip(starts, ends, strict=True):
            widen(groups, cells[start], cells[start + 1 : end])
    for row in body.children:
        cells = list(row.children)
        if len(cells) > 1 and not any(cell.astext().strip() for cell in cells[1:]):
            row["classes"].append("heading")
            widen(row, cells[0], cells[1:])
        else:
            mark(cells, starts, measured)


def mark(cells: list[nodes.Node], starts: list[int], measured: set[int]) -> None:
    """Say of each cell whether it begins a group of columns, and whether it is measured."""
    for place, cell in enumerate(cells):
        if place in measured:
            cell["classes"].append("measured")
        if place in starts:
            cell["classes"].append("group-start")


def widen(row: nodes.row, cell: nodes.entry, others: list[nodes.entry]) -> None:
    """Let a cell cover the columns of those at its right, which go."""
    if others:
        cell["morecols"] = len(others)
        cell["classes"].append("group")
    for other in others:
        row.remove(other)


# -- references -------------------------------------------------------------------------------


def label_of(entry: Any) -> str:
    """Authors and year, as a citation in the text has them: "Chollet, 2017"."""
    people = [" ".join([*p.prelast_names, *p.last_names]) for p in entry.persons.get("author", [])]
    people = [str(Text.from_latex(name)) for name in people] or [entry.key]
    if len(people) > 2:
        people = [f"{people[0]} et al."]
    return f"{' and '.join(people)}, {entry.fields.get('year', 'no year')}"


class AuthorYear(BaseLabelStyle):
    """Labels of the list of references; two that would be the same get a letter."""

    def format_labels(self, sorted_entries):
        labels = [label_of(entry) for entry in sorted_entries]
        for place, label in enumerate(labels):
            before = labels[:place].count(label)
            yield f"{label}{chr(ord('a') + before)}" if labels.count(label) > 1 else label


class BookStyle(PlainStyle):
    """The plain style with those labels."""

    default_label_style = AuthorYear


# -- pages ------------------------------------------------------------------------------------


def mend_page(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Set right in a page's HTML what would keep people out."""
    if body := context.get("body"):
        # A list may hold list items only; this role is another one.
        context["body"] = body.replace('role="doc-biblioentry"', 'role="listitem"')


def prune_static(app: Sphinx, error: Exception | None) -> None:
    """Remove what no page of this book loads."""
    static = Path(app.outdir) / "_static"
    if error is None and (static / "mathjax").is_dir():
        prune(static / "mathjax")
        for file in static.rglob("*.map"):
            file.unlink()


def prune(folder: Path) -> None:
    """Keep in a copy of MathJax what :data:`MATHJAX` names, and nothing else.

    Raises:
        ValueError: the copy lacks a part that is to be kept, so another release lies there.
    """
    if missing := [name for name in MATHJAX if not (folder / name).exists()]:
        raise ValueError(
            f"{folder} lacks {', '.join(missing)}; see MATHJAX in {Path(__file__).name}"
        )
    kept = [folder / name for name in MATHJAX]
    for path in sorted(folder.rglob("*"), reverse=True):
        inside = any(path == one or one in path.parents for one in kept)
        above = any(path in one.parents for one in kept)
        if not inside and not above:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect everything above."""
    register_plugin("pybtex.style.formatting", "book", BookStyle)
    app.connect("doctree-read", lay_out_tables)
    app.connect("html-page-context", mend_page)
    # After the extension that copies it.
    app.connect("build-finished", prune_static, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

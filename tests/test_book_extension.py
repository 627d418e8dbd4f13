"""What the book's builder is taught: tables of two header rows, labels of references, less to
carry."""

from __future__ import annotations

import pytest
from docutils.core import publish_doctree
from docutils.nodes import table as table_node
from pybtex.database import parse_string
from test_book import BOOK, load_tool, read

extension = load_tool("book_extension")

TABLE = """
.. csv-table:: A table
   :header-rows: 2
   :stub-columns: 1
   :class: results

   "","DF, paper","","DF, measured",""
   Method,BOSC,AUC,BOSC,AUC
   Heading,"","","",""
   one,1,2,3,4
   two,5,"",7,8
"""


@pytest.fixture
def laid_out():
    (found,) = publish_doctree(TABLE).findall(table_node)
    extension.lay_out(found)
    return found


def rows(table):
    """Of each row: (text, columns, classes) a cell."""
    return [
        [(c.astext(), 1 + c.get("morecols", 0), set(c["classes"])) for c in row.children]
        for part in ("thead", "tbody")
        for group in table.findall()
        if group.tagname == part
        for row in group.children
    ]


def test_groups_of_columns_are_one_cell_and_measured_ones_are_marked(laid_out):
    groups, columns, heading, one, two = rows(laid_out)
    assert [(text, wide) for text, wide, _ in groups] == [
        ("", 1),
        ("DF, paper", 2),
        ("DF, measured", 2),
    ]
    assert [text for text, *_ in columns] == ["Method", "BOSC", "AUC", "BOSC", "AUC"]
    for row in (columns, one, two):
        assert ["measured" in classes for *_, classes in row] == [False] * 3 + [True] * 2
        starts = ["group-start" in classes for *_, classes in row]
        assert starts == [False, True, False, True, False]
    assert [(text, wide) for text, wide, _ in heading] == [("Heading", 5)]
    # An empty cell within a row stays one.
    assert [wide for _, wide, _ in two] == [1] * 5


def test_a_table_with_one_header_row_stays_as_it_is():
    text = TABLE.replace(":header-rows: 2", ":header-rows: 1").replace('"","DF, paper"', "a,b")
    (found,) = publish_doctree(text.replace("Heading,", "x,y")).findall(table_node)
    before = [[cell[:2] for cell in row] for row in rows(found)]
    extension.lay_out(found)
    assert [[cell[:2] for cell in row] for row in rows(found)] == before
    assert not any("measured" in cell[2] for row in rows(found) for cell in row)


@pytest.mark.parametrize(
    ("authors", "label"),
    [
        ("Chollet, Fran{\\c{c}}ois", "Chollet, 2017"),
        ("Draelos, Rachel Lea and Carin, Lawrence", "Draelos and Carin, 2017"),
        ('R{\\"o}ssler, Andreas and Cozzolino, Davide and Riess, C.', "Rössler et al., 2017"),
        ("van der Maaten, Laurens and Hinton, Geoffrey", "van der Maaten and Hinton, 2017"),
    ],
)
def test_labels_are_authors_and_year(authors, label):
    text = f"@misc{{a, author = {{{authors}}}, title = {{T}}, year = {{2017}}}}"
    (entry,) = parse_string(text, "bibtex").entries.values()
    assert extension.label_of(entry) == label


def test_labels_of_the_list_are_all_different():
    entries = list(parse_string(read(BOOK / "references.bib"), "bibtex").entries.values())
    labels = list(extension.AuthorYear().format_labels(entries))
    assert len(labels) == len(entries) > 20
    assert len(set(labels)) == len(labels)
    # Citations in the text have no letters: the list must not need any.
    assert labels == [extension.label_of(entry) for entry in entries]
    twice = [entries[0], entries[0], entries[1]]
    first = extension.label_of(entries[0])
    assert list(extension.AuthorYear().format_labels(twice))[:2] == [f"{first}a", f"{first}b"]


def copy_of_mathjax(folder):
    for name in ("tex-chtml.js", "tex-svg.js", "sre/mathmaps/base.json", "sre/mathmaps/en.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    for name in ("input/tex/extensions/ams.js", "output/chtml/fonts/a.woff", "output/svg/b.js"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    for name in ("a11y/sre.js", "ui/menu.js", "sre/mathmaps/fr.json", "mml-chtml.js"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    return folder


def test_of_mathjax_only_what_is_loaded_stays(tmp_path):
    folder = copy_of_mathjax(tmp_path / "mathjax")
    extension.prune(folder)
    left = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    assert left == {
        "tex-chtml.js",
        "input/tex/extensions/ams.js",
        "output/chtml/fonts/a.woff",
        "a11y/sre.js",
        "ui/menu.js",
        "sre/mathmaps/base.json",
        "sre/mathmaps/en.json",
    }
    assert not (folder / "output/svg").exists()


def test_another_release_of_mathjax_is_not_cut_to_pieces(tmp_path):
    folder = copy_of_mathjax(tmp_path / "mathjax")
    (folder / "tex-chtml.js").rename(folder / "tex-chtml-4.js")
    with pytest.raises(ValueError, match=r"lacks tex-chtml\.js"):
        extension.prune(folder)
    assert (folder / "tex-svg.js").exists()

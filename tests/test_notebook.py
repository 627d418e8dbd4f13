"""Notebook parameters: good ones become a configuration, everything else is refused by name; and
each committed notebook is small, executed, and checks more than it ignores."""

import json
import re
from pathlib import Path

import nbformat
import pytest

from mcxlib import notebook
from mcxlib.config import load
from mcxlib.settings import matrix

FOLDER = Path(__file__).parents[1] / "notebooks"


def test_parameters_become_the_configuration():
    namespace = {
        "preset": "test",
        "colorspace": "rgb+hsv",
        "epochs": None,
        "_i1": "x = 1",
        "In": [],
    }
    config = notebook.configure(namespace, "preset", "colorspace", "epochs")
    assert config == load("test", colorspace="rgb+hsv")


def test_misspelt_parameter_is_refused():
    namespace = {"preset": "test", "colorspace": "rgb", "colourspace": "hsv"}
    with pytest.raises(ValueError, match=r"no parameter 'colourspace'; did you mean 'colorspace'"):
        notebook.configure(namespace, "preset", "colorspace")


def test_parameters_of_the_notebook_alone_are_known_but_no_settings():
    namespace = {"preset": "test", "perplexity": 5.0}
    assert notebook.configure(namespace, "preset", also=("perplexity",)) == load("test")
    with pytest.raises(ValueError, match="perplexity"):
        notebook.configure(namespace, "preset")


def test_modules_and_functions_are_no_parameters():
    namespace = {"preset": "test", "np": json, "f": print, "Path": Path}
    assert notebook.configure(namespace, "preset") == load("test")


def test_unknown_notebook():
    with pytest.raises(ValueError, match=r"unknown notebook '07_x'; valid: 00_method, 01_data"):
        notebook.execute("07_x")


def test_matrix_is_the_papers_nine_its_base_architecture_and_the_rows_without_pairs():
    runs = notebook.matrix(load("demo"))
    assert [r.colorspace for r in runs if r.detector == "mcx-api"] == [
        *("rgb", "hsv", "lab", "ycbcr", "rgb+hsv", "rgb+lab", "rgb+ycbcr"),
        *("rgb+hsv+lab", "rgb+lab+ycbcr"),
    ]
    assert [r.run_id for r in runs if r.detector != "mcx-api"] == [
        "api-net_rgb_seed0",
        "xception_rgb_seed0",
        "supcon_rgb_seed0",
        "mesonet_rgb_seed0",
        "bayar_rgb_seed0",
        "cozzolino_rgb_seed0",
    ]
    assert runs[5].label == "MCX-API(RGB+CIELab)"
    assert [row.run_id(0) for row in matrix.rows("demo")] == [run.run_id for run in runs]


def test_differences_are_those_of_the_preset():
    table = notebook.differences(load("demo", epochs=2)).set_index("setting")
    assert table.loc["epochs"].tolist() == ["100", "2"]
    assert table.loc["crop_size"].tolist() == ["512", "96"]
    assert "margin" not in table.index
    assert notebook.differences(load("paper")).empty


def _closing(cell):
    return "notebook.saw(" in cell.source or _prompt(cell).startswith("Solution")


def _prompt(cell):
    return cell.metadata.get("mystnb", {}).get("code_prompt_show", "")


@pytest.mark.parametrize("name", notebook.names())
def test_a_notebook_opens_with_a_question_in_a_cell_that_stays(name):
    """The first cell says which run this copy shows; it is dropped where that is not true."""
    book = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    first, opening = book.cells[0].source, book.cells[1].source
    assert len(first.splitlines()) == 1
    assert opening.startswith("# ")
    assert opening.split("\n\n")[1].rstrip("*").endswith("?"), "it opens with a question"


@pytest.mark.parametrize("name", notebook.names())
def test_a_notebook_ends_with_what_was_seen(name):
    book = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    text = [c.source for c in book.cells if c.cell_type == "markdown"]
    assert sum(t.startswith("## What we saw") for t in text) == 1
    (last,) = [t for t in text if t.startswith("**Caveat.**")]
    assert len(re.findall(r"^\d\. ", last.split("## Exercises")[1], re.M)) == 2
    code = [c for c in book.cells if c.cell_type == "code"]
    (saw,) = [c for c in code if "notebook.saw(" in c.source]
    sentences = saw.outputs[-1]["data"]["text/markdown"].splitlines()
    assert len(sentences) == 3
    assert all(line.startswith("- ") and line.endswith(".") for line in sentences)
    solutions = code[-2:]
    assert [_prompt(c)[:10] for c in solutions] == ["Solution 1", "Solution 2"]
    assert all("hide-cell" in c.metadata["tags"] and c.outputs for c in solutions)


@pytest.mark.parametrize("name", notebook.names())
def test_committed_notebooks(name):
    path = FOLDER / f"{name}.ipynb"
    assert path.stat().st_size < 1_000_000
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    code = [c for c in book.cells if c.cell_type == "code"]
    assert len(code) <= 15, "a notebook this long is a module that has not been written yet"
    assert all(c.execution_count for c in code), "nbval passes a cell without a count unchecked"
    # The last sentences and the solutions hold numbers that differ between machines.
    body = [c for c in code if not _closing(c)]
    ignored = [c for c in body if "nbval-ignore-output" in c.metadata.get("tags", [])]
    assert len(ignored) <= len(body) / 2
    compared = [c for c in body if c not in ignored and c.outputs]
    assert len(compared) >= len(body) / 2 - 2, "imports and parameters print nothing"
    parameters = [c for c in code if "parameters" in c.metadata.get("tags", [])]
    assert len(parameters) == 1
    first = book.cells[0].source.splitlines()[0]
    assert "preset `test`" in first, "a copy of a few people's run says so in its first line"
    kinds = ("nothing", "crops", "pair", "scores", "ablation", "robustness", "traces")
    assert book.metadata["mcx"]["needs"] in kinds
    said = "".join(o.get("text", "") for c in code for o in c.outputs)
    assert ": True" not in said, "a reader wants to see the number"
    assert '"demo"' in parameters[0].source
    assert not any("class " in line[:6] for c in code for line in c.source.splitlines())
    for cell in code:
        if any({"image/svg+xml", "image/png"} & set(o.get("data", {})) for o in cell.outputs):
            mystnb = cell.metadata["mystnb"]
            assert len(mystnb["image"]["alt"]) > 40
            assert mystnb["figure"]["name"].startswith(f"fig-{name[:2]}")
            assert "ynthetic demonstration data" in mystnb["figure"]["caption"]


def test_two_figures_of_one_cell_share_no_name(tmp_path):
    """Of a name that stands twice, the book cannot be made."""

    def cell(figures):
        outputs = [
            {"data": {notebook.SVG: "<svg/>"}, "metadata": {notebook.SVG: {"alt": f"picture {n}"}}}
            for n in range(figures)
        ]
        about = {"mystnb": {"figure": {"caption": "c", "name": "fig-1"}}}
        return {"cell_type": "code", "metadata": about, "outputs": outputs, "source": []}

    file = tmp_path / "n.ipynb"
    file.write_text(json.dumps({"cells": [cell(1), cell(2)]}))
    notebook.tidy(file, "test")
    one, two = (cell["metadata"]["mystnb"] for cell in json.loads(file.read_text())["cells"])
    assert one == {"figure": {"caption": "c", "name": "fig-1"}, "image": {"alt": "picture 0"}}
    assert two == {"figure": {"caption": "c"}, "image": {"alt": "picture 0 And: picture 1"}}

"""The book's sources are whole, and the checker of the built pages finds what it should."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from mcxlib import detectors, paper
from mcxlib.config import load
from mcxlib.method.interaction import interact
from mcxlib.method.losses import pair_loss
from mcxlib.method.pairs import mine_pairs

ROOT = Path(__file__).parents[1]
BOOK = ROOT / "book"
PAGES = sorted(BOOK.glob("*.md"))
SYNTHETIC = "synthetic demonstration data"


def load_tool(name: str):
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


check_book = load_tool("check_book")


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def directives(text: str, *names: str) -> list[tuple[str, str, dict[str, str], str]]:
    """(name, argument, options, body) of each MyST directive of these names."""
    pattern = rf"^(`{{3,}}|:{{3,}})\{{({'|'.join(names)})\}} ?(.*?)\n(.*?)^\1\s*$"
    found = []
    for _, name, argument, inside in re.findall(pattern, text, re.M | re.S):
        options = dict(re.findall(r"^:([\w-]+): ?(.*)$", inside, re.M))
        found.append((name, argument.strip(), options, inside))
    return found


@pytest.fixture(scope="module")
def toc() -> list[str]:
    table = yaml.safe_load(read(BOOK / "_toc.yml"))
    chapters = [chapter["file"] for part in table["parts"] for chapter in part["chapters"]]
    return [table["root"], *chapters]


@pytest.fixture(scope="module")
def config() -> dict:
    return yaml.safe_load(read(ROOT / "_config.yml"))


# -- sources ----------------------------------------------------------------------------------


def test_contents_list_every_page_and_only_what_exists(toc):
    assert len(toc) == len(set(toc))
    pages = {entry for entry in toc if not entry.startswith("book/generated/")}
    assert pages == {f"book/{page.stem}" for page in PAGES}


def test_contents_list_every_notebook(toc):
    made = [Path(entry) for entry in toc if entry.startswith("book/generated/")]
    assert {entry.parent.as_posix() for entry in made} == {"book/generated/notebooks"}
    # In the order in which they are read.
    assert [entry.name for entry in made] == [
        p.stem for p in sorted(ROOT.glob("notebooks/*.ipynb"))
    ]


def test_configuration_runs_nothing_and_loads_nothing_from_elsewhere(config):
    assert config["execute"]["execute_notebooks"] == "off"
    assert config["only_build_toc_files"] is True
    assert SYNTHETIC in config["html"]["announcement"]
    sphinx = config["sphinx"]["config"]
    extensions = sphinx["extensions"]
    assert "sphinx-mathjax-offline" in extensions
    # These two reach for other machines: unpkg.com on every page, inventories at every build.
    assert not {"sphinx_thebe", "sphinx.ext.intersphinx"} & set(extensions)
    assert sphinx["nb_ipywidgets_js"] == {}
    assert config["launch_buttons"]["thebe"] is False
    assert not re.search(r"https?://", yaml.safe_dump(config))
    for folder in sphinx["html_static_path"]:
        for file in sphinx["html_css_files"]:
            assert not re.search(r"https?://|@import", read(ROOT / folder / file))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_images_have_alternative_texts(page):
    text = read(page)
    shown = [
        (arg, options.get("alt")) for _, arg, options, _ in directives(text, "figure", "image")
    ]
    shown += [(source, alt) for alt, source in re.findall(r"!\[([^\]]*)\]\(([^)\s]+)", text)]
    assert check_book.image_problems(shown) == []
    missing = [
        source
        for source, _ in shown
        if not source.startswith("generated/") and not (BOOK / source).is_file()
    ]
    assert missing == []


def test_pages_with_images_were_found():
    """The test above would pass on pages it cannot read."""
    names = [name for page in PAGES for name, *_ in directives(read(page), "figure", "csv-table")]
    assert names.count("csv-table") == 7
    assert names.count("figure") >= 5


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_measured_tables_and_figures_are_named_and_say_what_they_are(page):
    for kind, argument, options, body in directives(read(page), "figure", "csv-table"):
        source = options["file"] if kind == "csv-table" else argument
        if not source.startswith("generated/"):
            continue
        assert options.get("name"), f"{source} has no name to refer to"
        caption = argument if kind == "csv-table" else body
        assert SYNTHETIC in " ".join(caption.lower().split()), f"{source}: whose numbers are these?"


def test_references_lead_somewhere():
    text = {page: read(page) for page in PAGES}
    labels = {
        options["name"]
        for page in PAGES
        for *_, options, _ in directives(text[page], "figure", "csv-table", "literalinclude")
        if "name" in options
    }
    targets = [
        found
        for words in text.values()
        for found in re.findall(r"^\(([\w-]+)\)=\n(.)", words, re.M)
    ]
    # Only a heading lends its title to a reference without words of its own.
    headings = {name for name, first in targets if first == "#"}
    equations = {
        name for words in text.values() for name in re.findall(r"^\$\$ \((eq-\w+)\)", words, re.M)
    }
    for page, words in text.items():
        wanted = set(re.findall(r"\{numref\}`([^`<>]+)`", words))
        assert wanted <= labels, f"{page.name}: {wanted - labels}"
        wanted = set(re.findall(r"\{ref\}`([^`<>]+)`", words))
        assert wanted <= headings, f"{page.name}: {wanted - headings}"
        wanted = set(re.findall(r"\{ref\}`[^`<>]+<([^`<>]+)>`", words))
        assert wanted <= {name for name, _ in targets}, f"{page.name}: {wanted}"
        wanted = set(re.findall(r"\{eq\}`([^`<>]+)`", words))
        assert wanted <= equations, f"{page.name}: {wanted - equations}"
    # The paper's equations, in the paper's order, so that they carry the paper's numbers.
    method = re.findall(r"^\$\$ \((eq-\w+)\)", text[BOOK / "method.md"], re.M)
    assert method == ["eq-gates", "eq-interaction", "eq-ce", "eq-rank", "eq-loss"]


def test_tables_and_figures_are_all_referred_to():
    """A numbered thing that no sentence mentions is one nobody is told to look at."""
    text = "\n".join(map(read, PAGES))
    named = {
        options["name"]
        for _, source, options, _ in directives(text, "csv-table", "figure")
        if options["name"].startswith(("table-", "fig-cam", "fig-tsne", "fig-layercam"))
    }
    assert named <= set(re.findall(r"\{numref\}`([^`<>]+)`", text)) | {"fig-cam-mcx-api"}


def test_citations_are_in_the_bibliography():
    keys = re.findall(r"^@\w+\{([^,]+),", read(BOOK / "references.bib"), re.M)
    assert len(keys) == len(set(keys))
    cited = {
        key.strip()
        for page in PAGES
        for group in re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", read(page))
        for key in group.split(",")
    }
    assert cited <= set(keys)
    # What nobody cites does not belong into the list.
    assert set(keys) <= cited


INCLUDES = [
    (page.name, argument, options)
    for page in PAGES
    for _, argument, options, _ in directives(read(page), "literalinclude")
]


def find_object(source: str, dotted: str) -> ast.AST | None:
    """Where a Python source defines ``name`` or ``Class.name``."""
    node: ast.AST | None = ast.parse(source)
    for name in dotted.split("."):
        node = next((n for n in node.body if getattr(n, "name", None) == name), None)
        if node is None:
            return None
    return node


def shown_lines(source: str, options: dict[str, str]) -> list[str]:
    """The lines that a page shows, by its own reading of the options the pages use."""
    known = {"language", "caption", "name", "dedent", "append", "pyobject"}
    assert set(options) <= known | {"start-at", "end-at", "end-before"}
    lines = source.splitlines()
    if wanted := options.get("pyobject"):
        node = find_object(source, wanted)
        assert node is not None, f"no {wanted}"
        return lines[node.lineno - 1 : node.end_lineno]
    begin, end = 0, len(lines)
    for option in ("start-at", "end-at", "end-before"):
        if option in options:
            words = options[option].strip('"')
            hits = [n for n, line in enumerate(lines) if n >= begin and words in line]
            assert hits, f"no line with {words!r}"
            if option == "start-at":
                assert len(hits) == 1, f"{len(hits)} lines with {words!r}: which one is meant?"
                begin = hits[0]
            else:
                end = hits[0] + (option == "end-at")
    return lines[begin:end]


@pytest.mark.parametrize(
    ("page", "file", "options"), INCLUDES, ids=[f"{i[0]}-{n}" for n, i in enumerate(INCLUDES)]
)
def test_shown_code_is_still_there(page, file, options):
    """A page shows code by name or by its first words: renaming the code must reach the page."""
    lines = shown_lines(read((BOOK / file).resolve()), options)
    # Half a function or a file without an end would be shown without a complaint.
    assert 1 <= len(lines) <= 45
    margin = " " * int(options.get("dedent", 0))
    cut = [line for line in lines if line.strip() and not line.startswith(margin)]
    assert cut == [], f"{file}: less than {len(margin)} columns in front of {cut[:1]}"
    shown = "\n".join([*(line[len(margin) :] for line in lines), options.get("append", "")])
    assert not shown.startswith(" "), f"{file}: shown with a margin"


@pytest.mark.parametrize(
    ("page", "file", "options"), INCLUDES, ids=[f"{i[0]}-{n}" for n, i in enumerate(INCLUDES)]
)
def test_captions_name_the_file_they_show(page, file, options):
    caption = options["caption"].replace("\\_", "_")
    assert caption.split(",")[0] == file.removeprefix("../")


def test_everything_that_section_three_computes_is_shown_from_its_own_file():
    shown = {file.removeprefix("../mcxlib/") for _, file, _ in INCLUDES}
    assert {
        "method/colorspace/__init__.py",
        "method/interaction.py",
        "method/losses.py",
        "method/pairs.py",
        "method/sampler.py",
        "detectors/mcx_api.py",
        "engine/fit.py",
        "evaluate/metrics.py",
    } <= shown


def test_code_is_shown_for_every_equation():
    assert len(INCLUDES) >= 8
    shown = {options.get("pyobject") or options.get("start-at", "") for *_, options in INCLUDES}
    assert any("mutual" in words for words in shown)  # eq. 1
    assert any("first_gate" in words for words in shown)
    assert any("Interaction" in words for words in shown)  # eq. 2
    assert any("self_log_p" in words for words in shown)  # eq. 3 to 5


def test_named_settings_exist():
    """`name="value"` in the comparison with the released code is a setting that can be given, of
    every detector that has it."""
    table = read(BOOK / "method.md").partition("(choices)=")[2]
    named = re.findall(r"`(\w+)=([^`]+)`", table)
    assert len(named) >= 6
    # Each detector's settings, as another package's users would look them up.
    settings = {name: set(load("paper", detector=name).flat()) for name in detectors.modules()}
    for name, value in named:
        value = ast.literal_eval(value)
        if name == "detector":
            assert value in settings
            continue
        having = [detector for detector, known in settings.items() if name in known]
        assert having, f"no detector has a setting {name}"
        for detector in having:
            assert load("paper", detector=detector, **{name: value}).flat()[name] == value


def test_the_pair_worked_by_hand_is_what_the_package_computes():
    """Each row of the table, to its four digits; the steps before the softmax also by NumPy."""
    page = read(BOOK / "method.md").partition("(by-hand)=")[2].partition("## One step")[0]
    rows = [line.strip("|").split("|") for line in page.splitlines() if line.startswith("|")]
    printed = [[float(n) for n in re.findall(r"-?\d+\.\d+", row[2])] for row in rows[2:]]
    assert len(printed) == 10
    one, two, mutual = (torch.tensor([v]) for v in ((1.0, 2.0), (2.0, -1.0), (0.5, 1.0)))
    out = interact(one, two, mutual)
    gates = [1 / (1 + np.exp(-mutual.numpy() * x.numpy()))[0] for x in (one, two)]
    four = [t[0].tolist() for t in (out.first_self, out.first_other)]
    four += [t[0].tolist() for t in (out.second_self, out.second_other)]
    classes = (1, 1, 0, 0)  # image 1 is fake
    chosen = [
        torch.softmax(torch.tensor(x), 0)[c].item() for x, c in zip(four, classes, strict=True)
    ]
    parts = pair_loss(
        torch.cat([out.first_self, out.second_self]),
        torch.cat([out.first_other, out.second_other]),
        torch.tensor([1, 0]),
        reduction="sum",
    )
    entropy = [-np.log(chosen).sum()]
    ranking = [max(0.0, chosen[1] - chosen[0] + 0.05), max(0.0, chosen[3] - chosen[2] + 0.05)]
    assert parts.cross_entropy.item() == pytest.approx(entropy[0])
    assert parts.score_ranking.item() == pytest.approx(sum(ranking))
    expected = [*gates, *four, chosen, entropy, ranking, [parts.total.item()]]
    for found, value, row in zip(printed, expected, rows[2:], strict=True):
        assert found == pytest.approx(list(value), abs=5.001e-5), row


def test_the_step_on_one_process_is_the_networks_own():
    (code,) = [
        body
        for name, argument, options, body in directives(read(BOOK / "method.md"), "code-block")
        if options.get("name") == "code-step"
    ]
    lines = "\n".join(line for line in code.splitlines() if not line.startswith(":"))
    network = detectors.build("mcx-api", backbone="mini_xception").eval()
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(10, 3, 32, 32, generator=generator)
    labels = torch.arange(5).repeat(2)
    known = {"network": network, "images": images, "labels": labels, "torch": torch}
    known |= {"mine_pairs": mine_pairs, "pair_loss": pair_loss}
    exec(lines, known)
    torch.testing.assert_close(known["loss"], network.losses(images, labels)["total"])


def test_every_compared_method_is_on_the_page_of_related_work():
    page = read(BOOK / "related.md")
    named = re.findall(r"^\* - (.+?) \{cite\}", page, re.M)
    rows = {name for table in (paper.table1, paper.table2, paper.table3) for name in table()["key"]}
    methods = {paper.shown(name) for name in rows if not name.startswith("MCX-API")}
    assert set(named) == methods
    assert len(named) == len(set(named))


def test_most_references_have_a_doi():
    entries = re.findall(r"^@\w+\{(\w+),(.*?)^\}", read(BOOK / "references.bib"), re.M | re.S)
    without = {key for key, body in entries if not re.search(r"^ *doi *=", body, re.M)}
    # Journals without DOIs, a repository, and one that could not be confirmed.
    plain = {"vandermaaten2008tsne", "holm1979", "seferbekov2020dfdc", "xu2022supervised"}
    assert without == plain
    for key, body in entries:
        for doi in re.findall(r"doi *= \{(.*?)\}", body):
            assert re.fullmatch(r"10\.\d{4,5}/[\w./()-]+", doi), f"{key}: {doi}"


def test_minutes_of_the_reading_paths_fit_their_pages():
    """Between 100 and 300 words a minute, code and formulas included."""
    text = read(BOOK / "index.md")
    cards = re.findall(r"\{grid-item-card\} You .*?\n(.*?)\n:::", text, re.S)
    assert len(cards) == 3
    for card in cards:
        minutes = int(re.search(r"About (\d+) minutes", card)[1])
        words = 0
        for target in re.findall(r"\]\((\S+?)\)", card):
            file = BOOK / target
            if "generated/notebooks" in target:
                cells = json.loads(read(ROOT / "notebooks" / file.name))["cells"]
                words += sum(len("".join(cell["source"]).split()) for cell in cells)
            else:
                words += len(read(file).split())
        assert words / 300 <= minutes <= words / 100, f"{words} words in {minutes} minutes"


def test_commands_and_options_exist():
    """What the pages tell people to type is what `mcx` and the make targets know."""
    from typer.main import get_command

    from mcxlib.cli import app

    commands = get_command(app).commands
    options = {
        name: {
            opt
            for one in (command, *getattr(command, "commands", {}).values())
            for parameter in one.params
            for opt in parameter.opts
        }
        for name, command in commands.items()
    }
    pages = [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    code = "\n".join(
        block for page in pages for block in re.findall(r"```bash\n(.*?)```", read(page), re.S)
    )
    code = re.sub(r"\s#.*", "", code)
    lines = re.findall(r"(?:\bmcx|mcxlib\.cli) (\w+)(.*)", code)
    assert len(lines) >= 15
    for command, rest in lines:
        assert command in commands
        used = set(re.findall(r"(?<!\S)--[a-z][\w-]*", rest))
        assert used <= options[command], f"mcx {command}: {used - options[command]}"
    # Named in running text, with or without a value.
    known = set.union(*options.values())
    text = "\n".join(map(read, [BOOK / "real_data.md", BOOK / "index.md"]))
    written = set(re.findall(r"`(--[a-z][\w-]*)", text))
    assert written <= known, written - known
    assert {"--detector", "--retrain", "--train-on", "--videos", "--dataset"} <= written


def test_printed_findings_are_the_computed_ones():
    """The page on the paper's numbers says what mcxlib.paper computes from the tables."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in read(BOOK / "paper_numbers.md").splitlines()
        if line.startswith("|")
    ]
    claims = [row for row in rows if row[0].startswith("4.2")]
    computed = paper.contradictions()
    assert len(claims) == len(computed)
    for row, finding in zip(claims, computed.itertuples(), strict=True):
        assert row[0] == finding.section
        assert finding.label in row[1]
        assert finding.test_set in row[1]
        assert float(row[2]) == finding.stated
    text = " ".join(read(BOOK / "paper_numbers.md").split())
    (odd,) = paper.off_grid().itertuples()
    assert f"{odd.bosc:.2f} for {odd.label} on {odd.test_set}" in text
    dented = {
        (table, row.label, paper.shown(row.test_set), row.bosc, row.auc)
        for table in (1, 3)
        for row in paper.dented_pairs(table).itertuples()
    }
    listed = {
        (int(row[0]), row[1], row[2], float(row[3]), float(row[4]))
        for row in rows
        if row[0] in ("1", "3")
    }
    assert listed == dented
    assert all(paper.pair_bounds(table)["possible"].all() for table in (1, 3))
    assert paper.averages()["agrees"].all()


# -- README -----------------------------------------------------------------------------------


def test_readme_commands_exist():
    readme = read(ROOT / "README.md")
    makefile = read(ROOT / "Makefile")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.M))
    default = re.search(r"^\.DEFAULT_GOAL := (\w+)", makefile, re.M)[1]
    assert default in targets
    code = "\n".join(re.findall(r"```bash\n(.*?)```", readme, re.S))
    used = set(re.findall(r"^make ([a-z]+)", code, re.M))
    assert {"test"} <= used <= targets
    assert re.search(r"^make\s*(?:#.*)?$", code, re.M)
    for notebook in re.findall(r"papermill (\S+\.ipynb)", code):
        assert (ROOT / notebook).is_file()


def test_readme_links_lead_to_files():
    readme = read(ROOT / "README.md")
    targets = re.findall(r"\]\(([^)#\s]+)", readme)
    missing = [t for t in targets if "://" not in t and not (ROOT / t).exists()]
    assert missing == []
    images = re.findall(r"!\[([^\]]*)\]\(([^)\s]+)", readme)
    assert images
    assert check_book.image_problems([(source, alt) for alt, source in images]) == []


def test_continuous_integration_calls_the_readmes_test_command():
    assert re.search(r"^make test$", read(ROOT / ".ci" / "run"), re.M)


# -- the checker of the built pages -----------------------------------------------------------

GOOD = f"""<html><head><link rel="stylesheet" href="_static/a.css"></head><body>
<div class="banner">BOSC 0.91</div>
<article id="top-of-it"><h1 id="one">One</h1>
<p>BOSC of 0.912, on {SYNTHETIC}</p>
<img src="a.png" alt="Two clouds of points, left and right">
<a href="#one">one</a> <a href="two.html#here">two</a> <a href="https://example.org/x">away</a>
</article></body></html>"""
OTHER = '<html><body><article><p id="here">Nothing measured.</p></article></body></html>'


def built(folder: Path, page: str = GOOD, sheet: str = "p { color: red }") -> Path:
    (folder / "_static").mkdir(parents=True)
    (folder / "_static" / "a.css").write_text(sheet, encoding="utf-8")
    (folder / "a.png").write_bytes(b"")
    (folder / "one.html").write_text(page, encoding="utf-8")
    (folder / "two.html").write_text(OTHER, encoding="utf-8")
    return folder


def test_checker_is_content_with_a_good_book(tmp_path):
    assert check_book.check(built(tmp_path / "html")) == {}


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ('alt="Two clouds of points, left and right"', "", "no alternative text"),
        ("Two clouds of points, left and right", "a plot", "no alternative text"),
        ("Two clouds of points, left and right", "../_images/0a1b2c3d4e5f.png", "no alternative"),
        ("Two clouds of points, left and right", "0123456789abcdef0123456789abcdef", "no alternat"),
        ('src="a.png"', 'src="b.png"', "missing file"),
        ('src="a.png"', 'src="https://example.org/a.png"', "loads https://example.org/a.png"),
        ("_static/a.css", "//cdn.example.org/a.css", "loads //cdn.example.org/a.css"),
        ("</head>", '<script src="http://example.org/a.js"></script></head>', "loads http://"),
        ("</head>", "<style>@import 'https://example.org/f.css';</style></head>", "loads https"),
        ('href="#one"', 'href="#none"', "missing anchor: #none"),
        ("two.html#here", "two.html#there", "missing anchor: two.html#there"),
        ("two.html#here", "three.html", "missing file: three.html"),
        (SYNTHETIC, "people", "holds a measurement"),
        ("<h1", '<div class="output traceback">Error</div><h1', "error of a notebook cell"),
    ],
)
def test_checker_finds(tmp_path, before, after, complaint):
    assert before in GOOD
    found = check_book.check(built(tmp_path / "html", GOOD.replace(before, after)))
    assert list(found) == ["one.html"]
    assert len(found["one.html"]) == 1
    assert complaint in found["one.html"][0]


def test_checker_finds_fonts_from_elsewhere(tmp_path):
    sheet = "@font-face { src: url('https://fonts.example.org/a.woff2') }"
    found = check_book.check(built(tmp_path / "html", sheet=sheet))
    assert found == {"_static/a.css": ["loads https://fonts.example.org/a.woff2"]}


def test_checker_refuses_an_empty_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="build the book first"):
        check_book.check(tmp_path)

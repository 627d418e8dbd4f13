"""What the notebooks share: parameters that are checked, the runs they show, a papermill run.

papermill only warns about a parameter a notebook does not have, and sets it all the same; here a
misspelt name is refused before anything is computed.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from IPython.display import HTML, Markdown

from mcxlib import pipeline
from mcxlib.config import RunConfig, load
from mcxlib.figures import Plate, vector
from mcxlib.files import read_json, write_text
from mcxlib.settings import matrix as runs_of
from mcxlib.settings import paths
from mcxlib.tables.stored import SYNTHETIC

if TYPE_CHECKING:
    from mcxlib.answer.judge import Judged

DISTRIBUTED = "the distributed data sets"
SVG = "image/svg+xml"

# Names IPython itself puts into a notebook's namespace without a leading underscore.
_IPYTHON = {"In", "Out", "exit", "quit", "open", "get_ipython"}


def configure(namespace: dict[str, Any], *parameters: str, also: tuple[str, ...] = ()) -> RunConfig:
    """The run configuration of a notebook's parameters, given as its ``globals()``.

    ``parameters`` are the settings its parameters cell defines (None leaves one as the preset has
    it), ``also`` its parameters that are no settings of a run. Call it straight after that cell.

    Raises:
        ValueError: the namespace holds another plain value (a misspelt papermill parameter), or
            a value is not valid; names the parameter and what would be valid.
    """
    known = (*parameters, *also)
    for name, value in namespace.items():
        if name.startswith("_") or name in _IPYTHON or name in known:
            continue
        if value is None or isinstance(value, str | int | float | list | dict):
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise ValueError(
                f"this notebook has no parameter {name!r}{hint} Valid: {', '.join(known)}"
            )
    return load(**{p: namespace[p] for p in parameters if namespace[p] is not None})


def matrix(config: RunConfig) -> list[RunConfig]:
    """The runs that the tables of the configuration's preset are made of."""
    return [
        load(config.preset, **_data(config), **row.settings) for row in runs_of.rows(config.preset)
    ]


def pair(config: RunConfig) -> dict[str, RunConfig]:
    """MCX-API(RGB) and its base architecture API-Net, the two that section 5 compares."""
    return {
        "MCX-API(RGB)": load(config.preset, **_data(config)),
        "API-Net": load(config.preset, **_data(config), detector="api-net"),
    }


def _data(config: RunConfig) -> dict[str, str]:
    """Which videos, and which of them are trained on."""
    return {"videos": config.data.videos, "train_on": config.data.train_on}


def source(config: RunConfig) -> str:
    """Which data the numbers of a notebook come from, as the data say themselves.

    Stored scores are asked first: they are enough where no videos are.
    """
    for run in matrix(config):
        scores = pipeline.stored_scores(run, run.data.train_on)
        if scores is not None and "synthetic" in scores:
            return SYNTHETIC if scores["synthetic"].any() else DISTRIBUTED
    manifest = pipeline.ensure_manifest(config, config.data.train_on)
    return SYNTHETIC if manifest["synthetic"].any() else DISTRIBUTED


def differences(config: RunConfig) -> pd.DataFrame:
    """Settings in which a run differs from the paper: setting, paper, this run."""
    named = {"detector": config.detector, "seed": config.seed}
    if config.detector == "mcx-api":
        named["colorspace"] = config.colorspace
    reference = load("paper", **named).flat()
    rows = [
        {"setting": name, "paper": _set(reference[name]), "this run": _set(value)}
        for name, value in config.flat().items()
        if value != reference[name] and name != "preset"
    ]
    return pd.DataFrame(rows, columns=["setting", "paper", "this run"])


def _set(value: object) -> str:
    return "not set" if value is None else str(value)


class Drawn:
    """A figure as a notebook's output: vector graphics, with its description in the metadata.

    It carries what was drawn (``mcx figures --from`` reads it), of faces and maps their digests
    only.
    """

    def __init__(self, plate: Plate) -> None:
        self._alt = plate.alt
        self._svg = vector.svg(plate)

    def __repr__(self) -> str:
        # The same for every figure: what it shows differs between machines in the last digits.
        return "<a figure>"

    def _repr_svg_(self) -> tuple[str, dict[str, str]]:
        return self._svg, {"alt": self._alt}


def show(plate: Plate, runs: dict[str, RunConfig] | None = None) -> Drawn:
    """A figure as a notebook's output; it says from which ``runs``, where they are named."""
    if runs:
        from mcxlib.figures.maps import made_from

        plate = plate._replace(runs=made_from(runs))
    return Drawn(plate)


def page(text: str) -> HTML:
    """A part of a page as a notebook's output."""
    # In an element of its own: a page that is framed has to begin with one.
    return HTML(f"<div>{text}</div>")


def saw(lines: Sequence[str]) -> Markdown:
    """What a notebook ends with: three sentences that were made from its numbers.

    Raises:
        ValueError: more or fewer than three.
    """
    if len(lines) != 3:
        raise ValueError(f"a notebook ends with three sentences, not {len(lines)}")
    return Markdown("\n".join(f"- {line}" for line in lines))


def held_out_fake(config: RunConfig) -> Path:
    """The first manipulated video of the test part of the data set that is trained on."""
    videos = pipeline.ensure_manifest(config, config.data.train_on)
    fakes = videos[(videos["split"] == "test") & videos["is_fake"]]
    return pipeline.plan(config, config.data.train_on).root / fakes["path"].iloc[0]


def held_out_source(config: RunConfig) -> Path:
    """The real video that :func:`held_out_fake` was made from; the first real one if none was."""
    videos = pipeline.ensure_manifest(config, config.data.train_on)
    test = videos[videos["split"] == "test"]
    person = test.loc[test["is_fake"], "target_id"].iloc[0]
    real = test[~test["is_fake"]].sort_values("target_id", key=lambda t: t != person, kind="stable")
    return pipeline.plan(config, config.data.train_on).root / real["path"].iloc[0]


def report(judged: Judged, height: str = "40rem") -> HTML:
    """The report about a file as a notebook's output: a frame of its own that runs no script.

    Of paths it shows the ends, which are the same wherever a notebook is run.
    """
    from mcxlib.answer import report as pages

    answer = judged.answer
    name = Path(answer.path).name
    weights = answer.weights.model_copy(
        update={"path": Path(*Path(answer.weights.path).parts[-2:]).as_posix()}
    )
    ends = answer.model_copy(update={"path": name, "weights": weights})
    page = pages.html(dataclasses.replace(judged, answer=ends))
    return HTML(f"<div>{pages.frame(page, f'Report on {name}', height)}</div>")


def names() -> list[str]:
    """The notebooks there are, in order."""
    return sorted(f.stem for f in (paths.home() / "notebooks").glob("[0-9]*.ipynb"))


def execute(name: str, output: Path | None = None, preset: str = "demo") -> Path:
    """Run a notebook with papermill in the project folder; the result appears only if it ran.

    Raises:
        ValueError: no such notebook.
    """
    import papermill
    from traitlets.config import Config

    if name not in names():
        raise ValueError(f"unknown notebook {name!r}; valid: {', '.join(names())}")
    home = paths.home()
    output = Path(output or paths.book_inputs() / "notebooks" / f"{name}.ipynb").resolve()
    output.parent.mkdir(parents=True, exist_ok=True)
    running = output.with_name(f".running-{output.name}")
    # Kernels that start at the same moment can be given the same TCP port. A socket in a folder of
    # its own cannot be anybody else's (its default name is the same for every kernel of a folder).
    with tempfile.TemporaryDirectory(prefix="mcx-") as sockets:
        papermill.execute_notebook(
            str(home / "notebooks" / f"{name}.ipynb"),
            str(running),
            parameters={"preset": preset},
            cwd=str(home),
            progress_bar=False,
            config=Config(KernelManager={"transport": "ipc", "ip": f"{sockets}/kernel"}),
        )
    tidy(running, preset)
    os.replace(running, output)
    return output


def tidy(path: Path, preset: str) -> None:
    """Make an executed notebook a page: pictures described by what *they* show, set-up folded.

    A cell's description of its picture is the one of the last run; the line that says which preset
    the committed copy was run with goes where it is not true, and so does the second of two cells
    of parameters, which papermill adds.
    """
    book = read_json(path)
    for cell in book["cells"]:
        about = cell["metadata"]
        drawn = [output for output in cell.get("outputs", []) if SVG in output.get("data", {})]
        if len(drawn) > 1:  # a name is one figure's, and two of it end the making of the book
            about.get("mystnb", {}).get("figure", {}).pop("name", None)
        alts = [output.get("metadata", {}).get(SVG, {}).get("alt") for output in drawn]
        if any(alts):  # a cell has one description, which all its pictures get
            alt = " And: ".join(filter(None, alts))
            about.setdefault("mystnb", {}).setdefault("image", {})["alt"] = alt
        if "injected-parameters" in about.get("tags", []):
            about["tags"].append("remove-cell")
    if preset != "test" and "preset `test`" in "".join(book["cells"][0]["source"]):
        del book["cells"][0]
    # As nbformat writes it.
    write_text(path, json.dumps(book, indent=1, sort_keys=True, ensure_ascii=False) + "\n")

"""What the notebooks share: parameters that are checked, the runs they show, a papermill run.

papermill only warns about a parameter a notebook does not have, and sets it all the same; here a
misspelt name is refused before anything is computed.
"""

from __future__ import annotations

import difflib
import io
import os
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import PIL.Image
from IPython.display import Image

from mcxlib import matrix as runs_of
from mcxlib import paper, paths
from mcxlib.config import RunConfig, load
from mcxlib.figures import Plate
from mcxlib.figures.style import png

NOTEBOOKS = ("01_data", "02_train", "03_closed_set", "04_cross_dataset", "05_tsne", "06_cam")

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
    return [load(config.preset, method=m, colorspace=c) for m, c in runs_of.RUNS[config.preset]]


def pair(config: RunConfig) -> dict[str, RunConfig]:
    """MCX-API(RGB) and its base architecture API-Net, the two that section 5 compares."""
    return {
        "MCX-API(RGB)": load(config.preset),
        "API-Net": load(config.preset, method="api-net"),
    }


def label(config: RunConfig) -> str:
    """The row of the paper's tables a run belongs to."""
    return paper.printed_label(config.method, config.colorspace)


def differences(config: RunConfig) -> pd.DataFrame:
    """Settings in which a run differs from the paper: setting, paper, this run."""
    reference = load("paper", method=config.method, colorspace=config.colorspace, seed=config.seed)
    rows = [
        {"setting": name, "paper": str(getattr(reference, name)), "this run": str(value)}
        for name, value in config.model_dump().items()
        if value != getattr(reference, name) and name != "preset"
    ]
    return pd.DataFrame(rows, columns=["setting", "paper", "this run"])


def show(plate: Plate) -> Image:
    """A figure as a notebook's output: the picture, its description as alternative text.

    In 256 colours, which keeps a notebook with many faces below a megabyte.
    """
    buffer = io.BytesIO()
    with PIL.Image.open(io.BytesIO(png(plate))) as picture:
        picture.convert("RGB").quantize(256).save(buffer, format="png", optimize=True)
    return Image(buffer.getvalue(), format="png", alt=plate.alt)


def execute(name: str, output: Path | None = None, preset: str = "demo") -> Path:
    """Run a notebook with papermill in the project folder; the result appears only if it ran.

    Raises:
        ValueError: no such notebook.
    """
    import papermill
    from traitlets.config import Config

    if name not in NOTEBOOKS:
        raise ValueError(f"unknown notebook {name!r}; valid: {', '.join(NOTEBOOKS)}")
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
    os.replace(running, output)
    return output

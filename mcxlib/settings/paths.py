"""Where data, runs and results live. No other module knows a path.

The project folder is ``$MCX_HOME`` if set, else the nearest folder at or above the working
directory that holds both ``_config.yml`` and ``mcxlib/`` (so notebooks find it whether papermill
runs them from the repository root or nbval from ``notebooks/``), else the working directory.
Each of ``data``, ``runs`` and ``results`` can be moved elsewhere (a scratch disk, say) with
``$MCX_DATA``, ``$MCX_RUNS`` and ``$MCX_RESULTS``.
"""

from __future__ import annotations

import os
from pathlib import Path


def home() -> Path:
    """The project folder."""
    if value := os.environ.get("MCX_HOME"):
        return Path(value).expanduser().resolve()
    here = Path.cwd().resolve()
    for folder in (here, *here.parents):
        if (folder / "_config.yml").is_file() and (folder / "mcxlib").is_dir():
            return folder
    return here


def _folder(variable: str, name: str) -> Path:
    value = os.environ.get(variable)
    return Path(value).expanduser().resolve() if value else home() / name


def data(preset: str) -> Path:
    """Everything made from videos under one preset: manifests, crops, rendered videos."""
    return _folder("MCX_DATA", "data") / preset


def runs(preset: str) -> Path:
    """One folder a training run; :mod:`mcxlib.runs` says what lies in it."""
    return _folder("MCX_RUNS", "runs") / preset


def results(preset: str) -> Path:
    """Tables and figures computed from stored scores."""
    return _folder("MCX_RESULTS", "results") / preset


def distributed() -> Path:
    """The folder that holds one folder a data set, as its distributor lays it out."""
    return _folder("MCX_VIDEOS", "datasets")


def rendered(preset: str) -> Path:
    """The same for the drawn people, which are rendered there."""
    return data(preset) / "videos"


def manifest(preset: str, name: str) -> Path:
    """A data set's manifest; ``name`` is the data set's, with what tells variants apart."""
    return data(preset) / "manifests" / f"{name}.parquet"


def split_list(preset: str, name: str) -> Path:
    """Which videos a protocol uses for what, to be published or brought along."""
    return data(preset) / "splits" / f"{name}.csv"


def crops(preset: str, name: str) -> Path:
    """Folder of a data set's crops; :func:`table_of` it is the table of its rows."""
    return data(preset) / "crops" / name


def table_of(crop_folder: Path) -> Path:
    return crop_folder.with_name(f"{crop_folder.name}.parquet")


def masks_of(crop_folder: Path) -> Path:
    """Folder of the masks that belong to a folder of crops."""
    return crop_folder.with_name(f"{crop_folder.name}.masks")


def book_inputs() -> Path:
    """What the book reads besides its own pages: executed notebooks, tables, figures."""
    return _folder("MCX_BOOK", "book/generated")

"""Every data set by its name, found by looking at the files of this folder."""

from __future__ import annotations

import os
import pkgutil
import re
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from mcxlib.data import datasets
from mcxlib.data.datasets import folders
from mcxlib.data.datasets.base import Dataset
from mcxlib.data.datasets.given import escaped
from mcxlib.data.datasets.places import TABLE_SUFFIXES, is_place, own_name

_DEFINES = re.compile(r"^DATASET\b", re.M)


class Place(NamedTuple):
    """Where the videos of one data set lie."""

    name: str
    root: Path
    """The folder; for a labelled table, the one that holds it."""


@cache
def _found(packages: tuple[str, ...]) -> dict[str, Dataset]:
    """The published data sets whose files lie in ``packages``; files without one are not run."""
    known = {}
    for module in pkgutil.iter_modules(packages):
        file = Path(getattr(module.module_finder, "path", "")) / f"{module.name}.py"
        if file.is_file() and _DEFINES.search(file.read_text(encoding="utf-8")):
            dataset = import_module(f"{datasets.__name__}.{module.name}").DATASET
            if not dataset.own:
                known[dataset.name] = dataset
    return dict(sorted(known.items(), key=lambda item: _place(item[1])))


def _place(dataset: Dataset) -> tuple:
    printed = dataset.paper
    return (0, printed.table, printed.place) if printed else (1, dataset.name)


def published() -> dict[str, Dataset]:
    """Every published data set by its name: those of the paper in print order, then the others."""
    return _found(tuple(datasets.__path__))


def names() -> tuple[str, ...]:
    """The published data sets: those of the paper in print order, then the others by name."""
    return tuple(published())


def paper_order() -> tuple[str, ...]:
    """The data sets of the paper's tables, in print order; the one trained on is first."""
    return tuple(name for name, dataset in published().items() if dataset.paper)


def catalogue() -> list[dict[str, Any]]:
    """What is known of each published data set, ready for JSON.

    Keys: name, folder (looked for in MCX_VIDEOS), parts (folder, what it is, videos published or
    0, optional), images (whether folders of frames are videos), protocols (name -> words),
    unconfirmed (what of the layout could not be looked up; "" for nothing), paper (whether the
    paper has it).
    """
    return [
        {
            "name": dataset.name,
            "folder": dataset.home or dataset.name,
            "parts": [
                {
                    "folder": part.folder,
                    "what": "by its table" if part.table else part.manipulation,
                    "videos": part.expected,
                    "optional": part.optional,
                }
                for part in dataset.parts("c23")
            ],
            "images": dataset.images,
            "protocols": {name: protocol.words for name, protocol in dataset.protocols.items()},
            "unconfirmed": dataset.unconfirmed,
            "paper": dataset.paper is not None,
        }
        for dataset in published().values()
    ]


def find(name: str) -> Dataset:
    """The data set of that name; any other name is one's own folders."""
    return published().get(name) or replace(folders.DATASET, name=name)


def locate(dataset: str, videos: Path) -> Place:
    """Where a data set lies: a plain name is a folder in ``videos``; a path is one's own folder
    or labelled table, anywhere, under a name that its path decides (:func:`places.own_name`).

    A published data set is not looked for here, so that its name can be asked for without it.

    Raises:
        ValueError: no name at all; a file that is no table by its name.
        FileNotFoundError: nothing of one's own lies there.
    """
    if not dataset.strip():
        raise ValueError(f"no data set is named; valid: {', '.join(names())}, a folder or a table")
    if not is_place(dataset):
        root = Path(videos) / (find(dataset).home or dataset)
        if dataset in published() or os.path.isdir(root):
            return Place(dataset, root)
        raise FileNotFoundError(
            f"no data set {escaped(dataset)}: it is none of {', '.join(names())}, and "
            f"{escaped(videos)} holds no such folder; set MCX_VIDEOS to the folder that holds it, "
            "or name its path"
        )
    path = Path(dataset).expanduser().absolute()
    if os.path.isdir(path):
        return Place(own_name(path), path)
    if not os.path.exists(path):
        raise FileNotFoundError(
            f"no folder or table {escaped(path)}; a plain name is looked for in MCX_VIDEOS "
            f"({escaped(videos)})"
        )
    if path.suffix.lower() not in TABLE_SUFFIXES:
        raise ValueError(
            f"{escaped(path)} is neither a folder nor a labelled table "
            f"({', '.join(sorted(TABLE_SUFFIXES))})"
        )
    return Place(own_name(path), path.parent)

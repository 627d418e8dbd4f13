"""The paper's three tables as data, and how their row labels and a run's are brought together.

The numbers lie beside this file as transcribed CSV (``table1.csv`` to ``table3.csv``). BOSC and
accuracy are in percent, AUC in [0, 1], as printed; a dash in the paper is NaN here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib import resources

import pandas as pd

from mcxlib.method import colorspace

MANIPULATIONS = ("DF", "F2F", "FS", "NT")
"""Columns of Table 1, in print order (the printed Average follows them)."""

CROSS_DATASETS = ("FakeAV", "KoDF", "Celeb-DF")
"""Columns of Table 3, in print order."""

_SHOWN = {
    "FakeAV": "FakeAVCeleb",
    "Celeb-DF": "Celeb-DF v2",
    "Celeb-DF-v2": "Celeb-DF v2",
    "ID-reveal": "ID-Reveal",
    "LAB": "CIELab",
}

RGB = "rgb"
"""What a label that names no colour space stands for, as in a run's configuration."""


@dataclass(frozen=True)
class Entry:
    """One row label of the paper, in this package's words."""

    label: str
    """As printed, without the reference number."""
    key: str
    """See :func:`row_key`."""
    method: str
    """The printed name in lower case, without what stands in brackets behind it."""
    colorspace: str


def shown(name: str) -> str:
    """The one name under which a test set or a row is shown, however the tables spell it.

    ``"FakeAV"`` -> ``"FakeAVCeleb"``, ``"MCX-API(RGB+LAB)"`` -> ``"MCX-API(RGB+CIELab)"``.
    """
    # What stands in brackets is a list of colour spaces: its parts are names too.
    return re.sub(r"[^()+]+", lambda part: _SHOWN.get(part[0], part[0]), name)


def shown_in(text: str) -> str:
    """A sentence with the test sets under the names of :func:`shown`."""
    text = re.sub(r"\bFakeAV\b", _SHOWN["FakeAV"], text)
    return re.sub(r"\bCeleb-DF\b(-v2)?(?! v2)(?!\+\+)", _SHOWN["Celeb-DF"], text)


def clean_label(label: str) -> str:
    """A printed row label without its reference number: ``"DCL [44]"`` -> ``"DCL"``."""
    return re.sub(r"\s*\[\d+\]", "", label).strip()


def entry(label: str) -> Entry:
    """What a row label means: ``"MCX-API(RGB+CIELab)"`` -> mcx-api on rgb+lab.

    The printed order of the spaces is kept. ``"LAB"``, which the last row of Tables 1 and 3 says
    in place of CIELab, is the same space: a colour space is known by its label and by its name.
    What else stands in brackets is the backbone (``"API-Net(ResNet101)"``), which Table 2 leaves
    out for the same row. A label without colour spaces is on RGB.

    Raises:
        ValueError: a colour space that does not exist, beside one that does or in a row of a
            method whose rows are told apart by colour space.
    """
    label = clean_label(label)
    name, remark = _split(label)
    spec = _spec(remark)
    if spec:
        return Entry(label, f"{name}({colorspace.label(spec)})", name.lower(), spec)
    names = [part for part in remark.split("+") if part]
    unknown = [part for part in names if part.strip().lower() not in _spaces()]
    if len(unknown) < len(names) or (names and name in _told_apart_by_colour()):
        raise ValueError(
            f"unknown colour space {', '.join(map(repr, unknown))} in the row label {label!r}; "
            f"valid: {', '.join(map(colorspace.label, colorspace.spaces()))}"
        )
    return Entry(label, name, name.lower(), RGB)


def row_key(label: str) -> str:
    """The one label that a row has, however the paper's tables or a run spell it.

    Without reference number and backbone, and with each colour space as this package writes it:
    ``"API-Net(ResNet101) [58]"`` -> ``"API-Net"``, ``"MesoNet [7]"`` -> ``"MesoNet"``,
    ``"MCX-API(RGB+LAB+YCbCr)"`` -> ``"MCX-API(RGB+CIELab+YCbCr)"``. Errors as :func:`entry`.
    """
    return entry(label).key


def printed_label(method: str, spec: str) -> str:
    """The paper's label for a run: ``("mcx-api", "rgb+lab")`` -> ``"MCX-API(RGB+CIELab)"``.

    Colour spaces are named where the paper names them, and where they are not RGB. A method that
    the paper does not have keeps its own name.
    """
    name = _printed_names().get(method, method)
    if spec == RGB and name not in _told_apart_by_colour():
        return name
    return f"{name}({colorspace.label(spec)})"


def table1() -> pd.DataFrame:
    """Table 1, closed set, one row a cell.

    Columns: label, key (:func:`row_key`), method, colorspace, origin ("quoted", "authors' run",
    which is the paper's asterisk, or "proposed"), test_set (DF, F2F, FS, NT or Average), bosc
    (frame-level, percent), auc, printed (the cell as the paper prints it, "98.75/0.9996").
    """
    return _table("table1.csv")


def table2() -> pd.DataFrame:
    """Table 2, one row a method: label, key, method, colorspace, acc (percent), auc, printed.

    The column ``acc`` mixes two measures: the rows of API-Net and MCX-API are the *BOSC* averages
    of Table 1, the quoted rows are plain accuracies.
    """
    return _table("table2.csv")


def table3() -> pd.DataFrame:
    """Table 3, cross-dataset, video level: columns as in :func:`table1`."""
    return _table("table3.csv")


@cache
def read(name: str, text: bool = False) -> pd.DataFrame:
    """A CSV beside this file; callers must not change it. ``text`` keeps digits as printed."""
    # Section numbers are text even where they look like numbers.
    kinds = str if text else {"section": str}
    with resources.files(__package__).joinpath(name).open(encoding="utf-8") as file:
        return pd.read_csv(file, dtype=kinds)


def _table(name: str) -> pd.DataFrame:
    table = read(name)
    entries = [entry(label) for label in table["method"]]
    table = table.rename(columns={"bosc_percent": "bosc", "acc_percent": "acc"})
    table["method"] = [item.method for item in entries]
    for place, column in enumerate(("label", "key")):
        table.insert(place, column, [getattr(item, column) for item in entries])
    table.insert(3, "colorspace", [item.colorspace for item in entries])
    texts = read(name, text=True).fillna("-").iloc[:, -2:]
    table["printed"] = texts.agg("/".join, axis=1).replace("-/-", "-")
    return table


def _split(label: str) -> tuple[str, str]:
    """A label's name, and what stands in brackets at its end ("" for nothing)."""
    found = re.fullmatch(r"(.+?)\s*\((.+)\)", label)
    return (found[1], found[2]) if found else (label, "")


def _spec(remark: str) -> str:
    """The colour spaces that a remark lists, as a spec; "" if it lists anything else."""
    names = [part.strip().lower() for part in remark.split("+")]
    if not all(name in _spaces() for name in names):
        return ""
    return "+".join(_spaces()[name] for name in names)


@cache
def _spaces() -> dict[str, str]:
    """Every colour space's label and its name, in lower case -> its name."""
    names = colorspace.spaces()
    return {colorspace.label(name).lower(): name for name in names} | {n: n for n in names}


@cache
def _rows() -> tuple[tuple[str, str], ...]:
    """Name and remark of every row label of the three tables."""
    labels = [text for n in (1, 2, 3) for text in read(f"table{n}.csv")["method"]]
    return tuple(_split(clean_label(text)) for text in dict.fromkeys(labels))


@cache
def _told_apart_by_colour() -> frozenset[str]:
    """The methods whose rows name colour spaces."""
    return frozenset(name for name, remark in _rows() if _spec(remark))


@cache
def _printed_names() -> dict[str, str]:
    """Method -> its name as the paper prints it."""
    return {name.lower(): name for name, _ in _rows()}

"""A labelled table of videos or images that lie anywhere: CSV, Parquet, or DFDC's metadata.json.

Columns: ``path``, and ``label`` or ``manipulation`` or both; if known, ``source`` (the original
video), ``identity`` (who is seen) and ``split``. Paths are relative to the table's folder, or
absolute; they name a video, an image or a folder of images.
"""

from __future__ import annotations

import os
import posixpath
from pathlib import Path
from typing import Any

import pandas as pd

from mcxlib.data.datasets import given
from mcxlib.data.datasets.base import Dataset, Protocol
from mcxlib.data.datasets.folders import DATASET as FOLDERS
from mcxlib.data.datasets.manifest import Gathered, below, part_report, unique_ids, with_contents
from mcxlib.data.datasets.walk import Item, Refused, file, pictures

REMEDY = (
    "A labelled table is CSV or Parquet with the columns path and label (real or fake, 0 or 1) or "
    "manipulation, or DFDC's metadata.json"
)

_OPTIONAL = ("label", "manipulation", "source", "identity", "split")
_SPLITS = {
    **{name: name for name in ("train", "val", "test", "")},
    **dict.fromkeys(("valid", "validation"), "val"),
}


def _listed(manifest: pd.DataFrame, seed: int, root: Path) -> pd.Series:
    return manifest["split"]


DATASET = Dataset(
    name="a labelled table",
    parts=lambda _: (),
    protocols={
        **FOLDERS.protocols,
        "listed": Protocol("the table's own column split", _listed),
    },
    images=True,
    own=True,
)


def dfdc_metadata(path: Path) -> pd.DataFrame:
    """DFDC's metadata.json: columns path (a file's name), label, source (its original), split."""
    content = given.json_of(path, REMEDY, twice=False)
    if not isinstance(content, dict) or not all(isinstance(v, dict) for v in content.values()):
        raise ValueError(
            f"{given.escaped(path)} is no table: it should map file names to label, original and "
            f"split. {REMEDY}"
        )
    if not content:
        raise ValueError(f"{given.escaped(path)} has no rows. {REMEDY}")
    lacking = [name for name, about in content.items() if "label" not in about]
    if lacking:
        raise ValueError(
            f"{given.escaped(path)} lacks the label of {given.escaped(lacking[0])}. {REMEDY}"
        )
    rows = [
        {"path": name}
        | {
            column: "" if _nothing(about.get(key)) else given.escaped(str(about[key]))
            for column, key in (("label", "label"), ("source", "original"), ("split", "split"))
        }
        for name, about in content.items()
    ]
    # Its names may hold what no string of pandas can.
    return pd.DataFrame(rows, dtype=object)


def read(path: Path) -> pd.DataFrame:
    """The table as it says: columns path (as written), is_fake, manipulation, source, identity,
    split; "" where nothing is said.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a table; a missing column, no row, an unknown label or split, a label that
            contradicts the manipulation.
    """
    path = Path(path)
    if path.suffix.lower() == ".json":
        table = dfdc_metadata(path)
    else:
        table = given.table_of(path, ["path"], REMEDY, unnamed=("path", "label"))
    if not {"label", "manipulation"} & set(table):
        raise ValueError(
            f"{given.escaped(path)} lacks the column label (or manipulation); its columns are "
            f"{', '.join(table)}. {REMEDY}"
        )
    if (table["path"].str.strip() == "").any():
        raise ValueError(f"{given.escaped(path)} has a row without a path. {REMEDY}")
    out = pd.DataFrame({"path": table["path"]})
    for name in _OPTIONAL:
        text = (
            table[name].str.strip() if name in table else pd.Series("", table.index, dtype=object)
        )
        out[name] = text
    return _labelled(path, out)


def _nothing(value: Any) -> bool:
    return value is None or value != value


def _labelled(path: Path, table: pd.DataFrame) -> pd.DataFrame:
    """The columns is_fake and manipulation, each from the other where one is missing."""
    named = table["manipulation"]
    real = named.str.lower() == "real"
    labels = table["label"].where(table["label"] != "", real.map({True: "real", False: "fake"}))
    unsaid = (table["label"] == "") & (named == "")
    fake = given.labels_of(path, labels.where(~unsaid, ""), REMEDY)
    wrong = table[(named != "") & (real == fake)]
    if len(wrong):
        row = wrong.iloc[0]
        raise ValueError(
            f"{given.escaped(path)} calls {given.escaped(row['path'])} {row['label']!r} and its "
            f"manipulation {row['manipulation']!r}. {REMEDY}"
        )
    split = table["split"].str.lower().map(_SPLITS)
    if len(unknown := sorted(set(table.loc[split.isna(), "split"]))):
        raise ValueError(
            f"{given.escaped(path)} has the split {unknown[0]!r}; valid: train, val, test, or "
            "nothing"
        )
    manipulation = named.where(named != "", "fake").where(fake, "real")
    return table.assign(is_fake=fake, manipulation=manipulation, split=split)


def _place(name: str, root: Path) -> Path:
    """The file or folder a path means: below ``root`` as it is written, else whole."""
    for reading in (name, name.strip(), name.strip().replace("\\", "/")):
        plain = os.path.normpath(reading)
        if plain.startswith(".."):
            place = Path(os.path.normpath(root.resolve() / plain))
        else:
            place = root / plain
        if os.path.lexists(place):
            break
    return place


def _look(name: str, root: Path) -> Item | Refused:
    """What a row's path names, or why it is left out."""
    try:
        place = _place(name, root)
        if given.escaped(place) != str(place):
            return Refused(place, "its name is not UTF-8")
        if not os.path.exists(place):
            return Refused(place, "in the table, not on disk")
    except ValueError as error:  # a NUL, or half a character
        return Refused(root / name.replace("\0", "\\0"), f"no file can be called so ({error})")
    found = pictures(place) if os.path.isdir(place) else file(place, images=True)
    return found if isinstance(found, Item) or found.reason else found._replace(reason="litter")


def gather(path: Path, root: Path) -> Gathered:
    """What a labelled table in the folder ``root`` (an absolute path) names.

    Raises:
        FileNotFoundError: no such file, or none of the files it names.
        ValueError: as :func:`read`; also a path more than once.
    """
    table = read(path)
    items = [_look(name, root) for name in table["path"]]
    given.refuse_twice(path, pd.Series([below(i.path, root) for i in items], dtype=object), REMEDY)
    found = [
        (row, item)
        for row, item in zip(table.to_dict("records"), items, strict=True)
        if isinstance(item, Item)
    ]
    ids = _ids([item for _, item in found], root)
    rows, unreadable = with_contents(
        [
            (
                {
                    "video_id": ids[item.path],
                    "path": below(item.path, root),
                    "is_fake": row["is_fake"],
                    "manipulation": row["manipulation"],
                    "target_id": row["identity"],
                    "donor_id": "",
                    "source": _source(row["source"], item, ids, root),
                    "split": row["split"],
                },
                item,
            )
            for row, item in found
        ]
    )
    refused = [item for item in items if isinstance(item, Refused)] + unreadable
    if not rows:
        raise FileNotFoundError(
            f"none of the {len(table)} files that {given.escaped(path)} names is there and can be "
            f"read ({given.escaped(refused[0].path)}: {refused[0].reason}); paths are relative to "
            "the table's folder, or absolute"
        )
    split = [row.pop("split") for row in rows]
    report = part_report(given.escaped(path.name), rows, refused, expected=len(table))
    return Gathered(rows, [report], refused, split if _divides(split) else None)


def _divides(split: list[str]) -> bool:
    """Whether a column ``split`` says anything: DFDC calls every video of a folder "train"."""
    return bool({*split} - {""}) and {*split} != {"train"}


def _whole_id(place: Path, root: Path) -> str:
    """What a video is called with its suffix: below the table's folder, or by its whole path."""
    inside = place.relative_to(root) if place.is_relative_to(root) else Path(*place.parts[1:])
    return inside.as_posix()


def _ids(items: list[Item], root: Path) -> dict[Path, str]:
    """The id of each video: without the suffix, but where that tells two apart."""
    whole = [_whole_id(item.path, root) for item in items]
    short = [
        name if item.frames else posixpath.splitext(name)[0]
        for name, item in zip(whole, items, strict=True)
    ]
    paths = [item.path for item in items]
    return dict(zip(paths, unique_ids(short, whole), strict=True))


def _source(name: str, item: Item, ids: dict[Path, str], root: Path) -> str:
    """The id of the video a row says it was made from; one that is not there is called alike."""
    if not name:
        return ""
    plain = os.path.normpath(name.replace("\\", "/"))
    places = (root / plain, item.path.parent / plain)
    known = next((ids[place] for place in places if place in ids), "")
    return known or posixpath.splitext(_whole_id(places[0], root))[0]

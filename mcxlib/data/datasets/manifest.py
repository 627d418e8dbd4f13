"""The manifest, one row a video: its columns, and what is said beside it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from mcxlib.data.datasets.content import fingerprints
from mcxlib.data.datasets.given import escaped
from mcxlib.data.datasets.lists import Draw
from mcxlib.data.datasets.rules import SPLITS
from mcxlib.data.datasets.walk import STRANGE, Item, Refused

COLUMNS = (
    "dataset",
    "video_id",
    "path",
    "is_fake",
    "manipulation",
    "target_id",
    "donor_id",
    "split",
    "bytes",
    "content",
    "source",
    "synthetic",
)
"""``path`` is relative to the data set's folder (absolute for what lies outside it); target_id is
the person seen, donor_id whose face was put in; ``source`` is the id of the real video that a fake
was made from; ``content`` is equal for equal files (:func:`content.fingerprint`); ``synthetic``
says that the tree it lies in was drawn by this package. Texts are "" where nothing is known."""

MARKER = "demo.json"
"""Lies in the folder that holds rendered data sets; written by :mod:`mcxlib.synthetic`."""


class Gathered(NamedTuple):
    """What was found in a folder or a table, before it is split."""

    rows: list[dict[str, Any]]
    """Columns of the manifest but for dataset, split, synthetic."""
    parts: list[dict[str, Any]]
    left_out: list[Refused]
    split: list[str] | None = None
    """Of each row, where the data say it themselves."""


class Scan(NamedTuple):
    """What a data set holds."""

    manifest: pd.DataFrame
    """One row a video, columns ``COLUMNS``."""
    parts: pd.DataFrame
    """One row a part: part, present, expected and found videos, empty files, files left_out,
    optional, and ``ignored``: files and folders that systems and tools leave beside videos."""
    left_out: pd.DataFrame
    """One row a file or folder that is not in the manifest (or is listed and not there): path,
    reason."""
    protocol: str = ""
    """What decided the split: a protocol of the data set, "listed" (the table's own column), or
    "list-" and six digits of the SHA-256 of a list that was brought along."""
    list_name: str = ""
    """Under which the list of used videos is stored, here and by whoever publishes it."""
    unknown_folders: tuple[str, ...] = ()
    """Folders that belong to no part: misspelt ones, perhaps."""
    missing_parts: tuple[str, ...] = ()
    """Parts that the paper uses and that are not there."""
    missing_classes: tuple[str, ...] = ()
    """"real" or "fake", if there is no such video at all."""
    draw: Draw | None = None
    """What became of a kept draw; None for a new one and for protocols that draw nothing."""
    drawn: bool = False
    """Whether a seed decided which videos are used."""

    def warnings(self) -> list[str]:
        """What a person should know before using it, one line each; often nothing."""
        lines = []
        if self.unknown_folders:
            missing = f"; missing: {', '.join(self.missing_parts)}" if self.missing_parts else ""
            lines.append(
                f"folders that belong to no part: {', '.join(self.unknown_folders)}{missing}"
            )
        lines += [f"there is no {name} video" for name in self.missing_classes]
        if self.draw and (words := self.draw.words()):
            lines.append(words)
        return [*lines, *_contradictions(self.manifest), *self._ungrouped()]

    def _ungrouped(self) -> list[str]:
        """Whether a split that was drawn to train on had nothing to group by."""
        used = self.manifest[self.manifest["split"] != ""]
        if not self.drawn or not used["split"].eq("train").any():
            return []
        alone = used[["target_id", "donor_id", "source"]].eq("").all(axis=1)
        alone &= ~used["video_id"].isin(used["source"])
        if not alone.any():
            return []
        share = "any video" if alone.all() else f"{alone.sum()} of {len(used)} videos"
        return [
            f"neither people nor sources of {share} are known: those were split one by one, copies "
            "together, and one person may be in two parts (a table's columns identity and source "
            "would tell)"
        ]


def _contradictions(manifest: pd.DataFrame) -> list[str]:
    """Files with the same content and both labels, in a line."""
    known = manifest[manifest["content"] != ""]
    both = known.groupby("content")["is_fake"].transform("nunique") > 1
    pairs = [
        (group.loc[~group["is_fake"], "video_id"].iloc[0], group.loc[group["is_fake"], "video_id"])
        for _, group in known[both].groupby("content")
    ]
    if not pairs:
        return []
    real, fakes = pairs[0]
    return [
        f"{len(pairs)} files are labelled real and, as a copy, fake: {real} and {fakes.iloc[0]}"
        + (", for one" if len(pairs) > 1 else "")
    ]


def with_contents(found: list[tuple[dict[str, Any], Item]]) -> tuple[list[dict], list[Refused]]:
    """The rows with size and fingerprint, and the files that could not be read for it."""
    rows, refused = [], []
    contents = fingerprints([item for _, item in found])
    for (row, item), content in zip(found, contents, strict=True):
        if isinstance(content, Refused):
            refused.append(content)
        else:
            rows.append(row | {"bytes": item.bytes, "content": content})
    return rows, refused


def unique_ids(short: list[str], whole: list[str]) -> list[str]:
    """Names without suffixes, but where that leaves two alike: those keep theirs."""
    ids = list(short)
    while True:
        count = Counter(ids)
        clashing = [i for i, name in enumerate(ids) if count[name] > 1 and name != whole[i]]
        if not clashing:
            return ids
        for i in clashing:
            ids[i] = whole[i]


def part_report(
    name: str,
    rows: list[dict],
    refused: list[Refused],
    *,
    present: bool = True,
    expected: int = 0,
    optional: bool = False,
) -> dict[str, Any]:
    """The row of ``Scan.parts`` for one part."""
    return {
        "part": name,
        "present": present,
        "expected": expected,
        "found": len(rows),
        "empty": sum(row["bytes"] == 0 for row in rows),
        "left_out": sum(bool(item.reason) for item in refused),
        "optional": optional,
        "ignored": sum(not item.reason for item in refused),
    }


def below(path: Path, root: Path) -> str:
    """How a path is named in tables: relative to ``root`` where it lies in it."""
    inside = path.relative_to(root) if path.is_relative_to(root) else path
    return escaped(inside.as_posix())


def left_out(items: list[Refused], root: Path) -> pd.DataFrame:
    """``Scan.left_out`` of what was refused; what is ignored has no row."""
    rows = [(below(item.path, root), item.reason) for item in items if item.reason]
    return pd.DataFrame(rows, columns=["path", "reason"], dtype=str)


def unknown_folders(items: list[Refused], root: Path) -> tuple[str, ...]:
    return tuple(below(item.path, root) for item in items if item.reason.startswith(STRANGE))


def missing_classes(manifest: pd.DataFrame) -> tuple[str, ...]:
    """ "real" or "fake", where a manifest has no such video."""
    fake = manifest["is_fake"].astype(bool)
    return tuple(name for name, rows in (("real", ~fake), ("fake", fake)) if not rows.any())


def rendered(folder: Path) -> bool:
    """Whether a folder lies in a tree of videos that this package drew: its marker says so."""
    for start in (folder.absolute(), folder.resolve()):
        for place in (start, *start.parents):
            try:
                marker = json.loads((place / MARKER).read_text(encoding="utf-8"))
            except (OSError, ValueError):
                continue
            if isinstance(marker, dict) and {"version", "spec"} <= set(marker):
                return True
    return False


def build(gathered: Gathered, dataset: str, root: Path) -> pd.DataFrame:
    """The manifest of what was found, all but its column ``split``."""
    manifest = pd.DataFrame(gathered.rows)
    folders = manifest["path"].map(lambda path: (root / path).parent)
    # A folder's own files lie below it; only a table's lie anywhere.
    drawn = {root: rendered(root)}
    elsewhere = {folder for folder in set(folders) if not folder.is_relative_to(root)}
    drawn |= {folder: rendered(folder) for folder in elsewhere}
    return manifest.assign(
        dataset=dataset,
        synthetic=[drawn.get(folder, drawn[root]) for folder in folders],
    )


def checked(manifest: pd.DataFrame) -> pd.DataFrame:
    """The manifest in the order of ``COLUMNS``, if it is one.

    Raises:
        ValueError: a missing column, two videos of one name, an unknown split, or a real video
            with a manipulation (a fake one without); names it.
    """
    if missing := [name for name in COLUMNS if name not in manifest]:
        raise ValueError(f"a manifest lacks the column {', '.join(missing)}")
    table = manifest[list(COLUMNS)].reset_index(drop=True)
    twice = table.loc[table["video_id"].duplicated(), "video_id"]
    if len(twice):
        raise ValueError(f"the manifest names {twice.iloc[0]} more than once")
    if unknown := sorted(set(table["split"]) - {*SPLITS, ""}):
        raise ValueError(f"a manifest has the split {unknown[0]!r}; valid: {', '.join(SPLITS)}")
    wrong = table[(table["manipulation"] == "real") == table["is_fake"]]
    if len(wrong):
        row = wrong.iloc[0]
        raise ValueError(
            f"{row['video_id']} is labelled {'fake' if row['is_fake'] else 'real'} and its "
            f"manipulation is {row['manipulation']!r}"
        )
    kinds = {"is_fake": bool, "synthetic": bool, "bytes": "int64"}
    return table.astype(kinds)

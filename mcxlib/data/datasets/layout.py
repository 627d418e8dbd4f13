"""Folders as the distributors hand them out, and one's own ``real/`` and ``fake/`` -> rows."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from mcxlib.data.datasets.base import COMPRESSIONS, Dataset, Entry, Part
from mcxlib.data.datasets.given import escaped
from mcxlib.data.datasets.manifest import Gathered, below, part_report, unique_ids, with_contents
from mcxlib.data.datasets.places import TABLE_SUFFIXES
from mcxlib.data.datasets.registry import names, published
from mcxlib.data.datasets.walk import LEAVES, STRANGE, Item, Refused, strangers, walk
from mcxlib.data.video import kinds


def _without_suffix(path: Path, item: Item) -> str:
    return (path if item.frames else path.with_suffix("")).as_posix()


def people(part: Part, groups: dict[str, str | None]) -> dict[str, str]:
    """The columns target_id and donor_id of what a name's pattern found."""
    return {
        f"{who}_id": part.identity + (groups.get(who) or "") if groups.get(who) else ""
        for who in ("target", "donor")
    }


def source_of(part: Part, groups: dict[str, str | None]) -> str:
    """The id of the video one was made from, if the name tells each piece of it."""
    pieces = re.findall(r"{(\w+)}", part.source)
    return part.source.format(**groups) if all(groups.get(piece) for piece in pieces) else ""


def _row(
    part: Part,
    item: Item,
    folder: Path,
    root: Path,
    base: Path,
    said: Mapping[str, Entry] | None = None,
) -> dict[str, Any] | Refused:
    """The manifest row of a video, or why it has none; ``said``: what the part's table says."""
    match = re.fullmatch(part.pattern, _without_suffix(item.path.relative_to(folder), item))
    if match is None:
        return Refused(item.path, "not named as this part's videos are")
    groups = match.groupdict()
    is_fake = part.manipulation != "real" and not groups.get("real")
    source = source_of(part, groups)
    if said is not None:
        entry = said.get(item.path.relative_to(folder).as_posix()) or said.get(item.path.name)
        if entry is None:
            return Refused(item.path, f"not in {part.table}, which would say what it is")
        is_fake = entry.is_fake
        here = item.path.parent.relative_to(base)
        source = (here / entry.source).as_posix() if entry.source else ""
    return {
        "video_id": _without_suffix(item.path.relative_to(base), item),
        "path": item.path.relative_to(root).as_posix(),
        "is_fake": is_fake,
        "manipulation": (groups.get("manipulation") or part.manipulation) if is_fake else "real",
        **people(part, groups),
        "source": source,
    }


def _expanded(base: Path, parts: Sequence[Part]) -> list[Part]:
    """The parts with each ``*`` in a folder's name replaced by what is there.

    One that fits nothing stays as it is if it should be there, and is no part if it need not be.
    """
    out: list[Part] = []
    named = {part.folder for part in parts if "*" not in part.folder}
    for part in parts:
        found = [part.folder]
        if "*" in part.folder:
            folders = [f.relative_to(base).as_posix() for f in base.glob(part.folder) if f.is_dir()]
            found = sorted((f for f in folders if f not in named and not _hidden(f)), key=_natural)
            if not (found or part.optional):
                found = [part.folder]
        for folder in found:
            star = part.manipulation == "*"
            name = folder.rsplit("/", 1)[-1] if star else part.manipulation
            out.append(replace(part, folder=folder, manipulation=name))
    return out


def _hidden(folder: str) -> bool:
    return any(kinds.junk(step) or escaped(step) != step for step in folder.split("/"))


def _natural(name: str) -> list[tuple[int, str]]:
    """Sorts part 10 after part 9."""
    return [(int(s), "") if s.isdigit() else (-1, s) for s in re.split(r"(\d+)", name)]


def _said(part: Part, folder: Path) -> Mapping[str, Entry] | None:
    """What a part's table says of its files; None if it is missing."""
    file = folder / part.table
    return part.read(file) if part.read and file.is_file() else None


def _holds(folder: Path) -> str:
    """A few names of what lies in a folder."""
    try:
        with os.scandir(folder) as entries:
            found = sorted(escaped(entry.name) for entry in entries)
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    return f"It holds: {', '.join(found[:8]) or 'nothing'}"


def _hint(root: Path, dataset: Dataset) -> str:
    """What somebody may have meant by one's own folder without ``real`` and ``fake``."""
    if not dataset.own:
        return ""
    hint = (
        f"; {dataset.name!r} is none of {', '.join(names())}, so a folder `real` and a folder "
        "`fake` are looked for"
    )
    if root.name in published():
        hint += f" (set MCX_VIDEOS to {escaped(root.parent)} and name it {root.name})"
    tables = [f.name for f in root.glob("*.*") if f.suffix.lower() in TABLE_SUFFIXES]
    if tables:
        hint += f" (a labelled table is named itself: {escaped(root / sorted(tables)[0])})"
    return hint


def _find_base(root: Path, dataset: Dataset, parts: tuple[Part, ...]) -> Path:
    """The folder below ``root`` in which the parts lie."""
    if not os.path.isdir(root):
        raise FileNotFoundError(
            f"{dataset.name}: no folder {escaped(root)}; put the data set there, or set MCX_VIDEOS "
            "to the folder that holds it"
        )
    for name in dataset.roots:
        here = root / name
        if any(os.path.isdir(here / part.folder) for part in _expanded(here, parts)):
            return here
    looked_for = ", ".join(part.folder for part in parts)
    raise FileNotFoundError(
        f"{dataset.name}: none of its parts lies in {escaped(root)}: {looked_for}. "
        f"{_holds(root)}{_hint(root, dataset)}"
    )


def _folder_of(compression: str, dataset: Dataset, root: Path) -> str:
    """The distributor's name of a compression: the uncompressed videos are in ``raw`` (``c0`` in
    older copies)."""
    if compression != "c0":
        return compression
    old, raw = (
        any(os.path.isdir(root / n / p.folder) for n in dataset.roots for p in dataset.parts(name))
        for name in ("c0", "raw")
    )
    return "c0" if old and not raw else "raw"


def _known_folders(dataset: Dataset, base: Path) -> set[str]:
    """The parts of every data set that shares this one's folder, in every compression."""
    home = dataset.home or dataset.name
    sharing = [dataset, *(d for d in published().values() if home in (d.name, d.home))]
    parts = [part for d in sharing for c in COMPRESSIONS for part in d.parts(c)]
    return {part.folder for part in _expanded(base, parts)}


def gather(root: Path, dataset: Dataset, compression: str, follow_links: bool) -> Gathered:
    """Read the folder ``root`` of ``dataset``.

    Raises:
        FileNotFoundError: the folder, or every part of it, is missing or holds no video; names
            what was looked for and what is there.
    """
    parts = dataset.parts(_folder_of(compression, dataset, root))
    base = _find_base(root, dataset, parts)
    parts = tuple(_expanded(base, parts))
    rows: list[dict[str, Any]] = []
    report: list[dict[str, Any]] = []
    left_out: list[Refused] = []
    for part in parts:
        folder = base / part.folder
        found, refused = _part(part, dataset, root, base, follow_links)
        read, unreadable = with_contents(found)
        refused += unreadable
        rows += read
        left_out += refused
        report.append(
            part_report(
                part.folder,
                read,
                refused,
                present=os.path.isdir(folder),
                expected=part.expected,
                optional=part.optional,
            )
        )
    missing = [part["part"] for part in report if not part["present"] and not part["optional"]]
    left_out += [
        item._replace(reason=f"{STRANGE} of {dataset.name}" + _are_missing(missing))
        if item.reason == STRANGE
        else item
        for item in strangers(base, _known_folders(dataset, base), dataset.beside, dataset.images)
    ]
    if not rows:
        raise FileNotFoundError(_nothing(dataset, base, root, left_out))
    whole = [(root / row["path"]).relative_to(base).as_posix() for row in rows]
    ids = unique_ids([row["video_id"] for row in rows], whole)
    rows = [row | {"video_id": name} for row, name in zip(rows, ids, strict=True)]
    return Gathered(rows, report, left_out)


def _part(
    part: Part, dataset: Dataset, root: Path, base: Path, follow_links: bool
) -> tuple[list[tuple[dict[str, Any], Item]], list[Refused]]:
    """The rows of one part's videos, and everything else that lies (or should lie) in it."""
    folder = base / part.folder
    said = _said(part, folder)
    # Beside frames lie notes to each of them.
    beside = dataset.beside if dataset.images else frozenset()
    found: list[tuple[dict[str, Any], Item]] = []
    refused: list[Refused] = []
    looked_at: set[str] = set()
    for item in walk(folder, root, dataset.images, follow_links, beside):
        looked_at |= {item.path.name, item.path.relative_to(folder).as_posix()}
        if isinstance(item, Refused):
            its_table = part.table and item.path == folder / part.table
            refused.append(item._replace(reason="") if its_table else item)
            continue
        if part.table and said is None:
            why = f"{part.table}, which would say what it is, is missing"
            refused.append(Refused(item.path, why))
            continue
        row = _row(part, item, folder, root, base, said)
        if isinstance(row, Refused):
            refused.append(row)
        else:
            found.append((row, item))
    gone = [name for name in said or () if name not in looked_at]
    refused += [Refused(folder / name, f"in {part.table}, not on disk") for name in gone]
    return found, refused


def _are_missing(parts: list[str]) -> str:
    return f"; missing: {', '.join(parts)}" if parts else ""


def _nothing(dataset: Dataset, base: Path, root: Path, left_out: list[Refused]) -> str:
    """Why folders that are there give no video."""
    reasons = pd.Series([item.reason for item in left_out if item.reason], dtype=str)
    why = "; ".join(f"{n} left out: {reason}" for reason, n in reasons.value_counts().items())
    first = next((f" ({below(item.path, root)})" for item in left_out if item.reason), "")
    hint = " (follow_links reads them)" if LEAVES in why else ""
    return f"{dataset.name}: the folders below {escaped(base)} hold no video. {why}{first}{hint}"


def matching(
    dataset: Dataset, name: str, is_fake: bool
) -> tuple[Part, dict[str, str | None]] | None:
    """The part of a data set that a video's name belongs to, and what its pattern finds in it."""
    for part in dataset.parts("c23"):
        if (part.manipulation != "real") == is_fake and (
            match := re.fullmatch(part.pattern, PurePosixPath(name).as_posix())
        ):
            return part, match.groupdict()
    return None

"""Folders as the distributors hand them out -> a manifest, one row a video.

What is missing, half-downloaded, oddly named or out of bounds is reported part by part and listed
file by file, never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from mcxlib.config import load
from mcxlib.data import protocols
from mcxlib.data.images import IMAGE_SUFFIXES
from mcxlib.data.layouts import (
    CROSS_DATASETS,
    EXTRA_DATASETS,
    LAYOUTS,
    MANIPULATIONS,
    TRAINED_ON,
    Layout,
    Part,
    layout_of,
)
from mcxlib.data.protocols import shared_identities
from mcxlib.data.video import VIDEO_SUFFIXES

__all__ = [
    "COLUMNS",
    "CROSS_DATASETS",
    "EXTRA_DATASETS",
    "LAYOUTS",
    "MANIPULATIONS",
    "TRAINED_ON",
    "Scan",
    "scan",
    "shared_identities",
]

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
)


class Scan(NamedTuple):
    """What a folder holds."""

    manifest: pd.DataFrame
    """One row a video, columns ``COLUMNS``; ``path`` is relative to the root."""
    parts: pd.DataFrame
    """One row a part: expected and found videos, empty files, files left out."""
    left_out: pd.DataFrame
    """One row a file that is not in the manifest (or is listed and not there): path, reason."""


class _Item(NamedTuple):
    """A video, an image, or a folder of images below a part."""

    path: Path
    bytes: int


class _Refused(NamedTuple):
    path: Path
    reason: str


def _walk(folder: Path, root: Path, images: bool, follow_links: bool) -> Iterator[_Item | _Refused]:
    """Everything below ``folder`` in name order; links that leave ``root`` only if told to."""
    inside = root.resolve()
    seen: set[Path] = set()

    def leaves(path: Path) -> bool:
        return path.is_symlink() and not path.resolve().is_relative_to(inside)

    def visit(here: Path) -> Iterator[_Item | _Refused]:
        real = here.resolve()
        if real in seen:
            yield _Refused(here, "a link to a folder that is read already")
            return
        seen.add(real)
        entries = sorted(here.iterdir())
        refused: list[_Refused] = []
        folders, files = [], []
        for entry in entries:
            if leaves(entry) and not follow_links:
                refused.append(_Refused(entry, "a link that leaves the data set's folder"))
            elif not entry.exists():
                refused.append(_Refused(entry, "a link to nothing"))
            elif entry.is_dir():
                folders.append(entry)
            else:
                files.append(entry)
        yield from refused
        pictures = [f for f in files if f.suffix.lower() in IMAGE_SUFFIXES and f.name[0] != "."]
        # Below the part's own folder, a folder of nothing but images is one video's frames.
        if images and here != folder and pictures and len(pictures) == len(files) and not folders:
            yield _Item(here, sum(f.stat().st_size for f in pictures))
            return
        suffixes = VIDEO_SUFFIXES | IMAGE_SUFFIXES if images else VIDEO_SUFFIXES
        for file in files:
            if file.name.startswith(".") or file.suffix.lower() not in suffixes:
                yield _Refused(file, "not a video by its name")
            else:
                yield _Item(file, file.stat().st_size)
        for entry in folders:
            yield from visit(entry)

    if leaves(folder) and not follow_links:
        yield _Refused(folder, "a link that leaves the data set's folder")
    elif folder.is_dir():
        yield from visit(folder)


def _without_suffix(path: Path) -> str:
    suffixes = VIDEO_SUFFIXES | IMAGE_SUFFIXES
    return (path.with_suffix("") if path.suffix.lower() in suffixes else path).as_posix()


def _row(dataset: str, part: Part, item: _Item, folder: Path, root: Path, base: Path) -> dict | str:
    """The manifest row of a file, or why it has none."""
    match = re.fullmatch(part.pattern, _without_suffix(item.path.relative_to(folder)))
    if match is None:
        return "not named as this part's videos are"
    groups = match.groupdict()
    people = {
        f"{who}_id": part.identity + groups[who] if groups.get(who) else ""
        for who in ("target", "donor")
    }
    return {
        "dataset": dataset,
        "video_id": _without_suffix(item.path.relative_to(base)),
        "path": item.path.relative_to(root).as_posix(),
        "is_fake": part.manipulation != "real",
        "manipulation": groups.get("manipulation") or part.manipulation,
        **people,
        "bytes": item.bytes,
    }


def _find_base(root: Path, dataset: str, layout: Layout, parts: tuple[Part, ...]) -> Path:
    if not root.is_dir():
        raise FileNotFoundError(f"{dataset}: no folder {root}; put the data set there")
    for name in layout.roots:
        if any((root / name / part.folder).is_dir() for part in parts):
            return root / name
    there = ", ".join(sorted(p.name for p in root.iterdir())[:8]) or "nothing"
    looked_for = ", ".join(part.folder for part in parts)
    known = (
        ""
        if dataset in LAYOUTS
        else f"; {dataset!r} is none of {', '.join(LAYOUTS)}, so a folder `real` and a folder "
        "`fake` are looked for"
    )
    raise FileNotFoundError(
        f"{dataset}: none of its parts lies in {root}: {looked_for}. It holds: {there}{known}"
    )


def _folder_of(compression: str, layout: Layout, root: Path) -> str:
    """The distributor's name of a compression: the uncompressed videos are in ``raw`` (``c0`` in
    older copies)."""
    if compression != "c0":
        return compression
    old = any((root / n / p.folder).is_dir() for n in layout.roots for p in layout.parts("c0"))
    raw = any((root / n / p.folder).is_dir() for n in layout.roots for p in layout.parts("raw"))
    return "c0" if old and not raw else "raw"


def scan(
    root: Path,
    dataset: str,
    compression: str = "c23",
    protocol: str = "",
    seed: int = 0,
    *,
    listed: Path | None = None,
    follow_links: bool = False,
) -> Scan:
    """Read the folder ``root`` of ``dataset`` as its distributor lays it out.

    Args:
        root: the data set's folder.
        dataset: a name in ``LAYOUTS``; any other name is one's own data, ``real/`` and ``fake/``.
        compression: of FaceForensics++: c23, c40, or c0 for the uncompressed videos.
        protocol: name of the split (:mod:`mcxlib.data.protocols`); the paper's by default.
        seed: of a protocol that draws.
        listed: take the split from this list instead (:func:`protocols.write_list`).
        follow_links: also read what symbolic links outside ``root`` point to.

    Raises:
        ValueError: unknown protocol; a list that does not fit.
        FileNotFoundError: the folder, every part of it, or a file the protocol needs is missing;
            names what was looked for.
    """
    root = Path(root)
    layout = layout_of(dataset)
    protocol = protocol or protocols.protocol_of(load("paper"), dataset)
    chosen = protocols.find(protocol, dataset)
    parts = layout.parts(_folder_of(compression, layout, root))
    base = _find_base(root, dataset, layout, parts)

    rows: list[dict] = []
    report: list[dict] = []
    left_out: list[dict] = []
    for part in parts:
        folder = base / part.folder
        found = empty = 0
        refused: list[_Refused] = []
        for item in _walk(folder, root, layout.images, follow_links):
            if isinstance(item, _Refused):
                refused.append(item)
                continue
            row = _row(dataset, part, item, folder, root, base)
            if isinstance(row, str):
                refused.append(_Refused(item.path, row))
                continue
            found += 1
            empty += item.bytes == 0
            rows.append(row)
        left_out += [
            {"path": r.path.relative_to(root).as_posix(), "reason": r.reason} for r in refused
        ]
        report.append(
            {
                "part": part.folder,
                "present": folder.is_dir(),
                "expected": part.expected,
                "found": found,
                "empty": empty,
                "left_out": len(refused),
                "optional": part.optional,
            }
        )
    if not rows:
        reasons = pd.Series([r["reason"] for r in left_out], dtype=str).value_counts()
        why = "; ".join(f"{n} files left out: {reason}" for reason, n in reasons.items())
        hint = " (follow_links reads them)" if "a link that leaves" in why else ""
        raise FileNotFoundError(
            f"{dataset}: the folders below {base} hold no video. {why}{hint}".rstrip()
        )
    manifest = pd.DataFrame(rows)
    # Two files that differ in their suffix only keep it in their name.
    twice = manifest["video_id"].duplicated(keep=False)
    suffix = manifest["path"].map(lambda p: Path(p).suffix)
    manifest.loc[twice, "video_id"] += suffix[twice]

    if listed is not None:
        split = protocols.read_list(listed, manifest)
    else:
        split = chosen.split(manifest, seed, root)
    left_out += [
        {"path": name, "reason": "in the list of the split, not on disk"}
        for name in split.attrs.get("absent", [])
    ]
    split.attrs = {}
    manifest["split"] = split
    return Scan(
        manifest[list(COLUMNS)],
        pd.DataFrame(report),
        pd.DataFrame(left_out, columns=["path", "reason"]),
    )

"""Which videos are used for what, as a list: written, published, brought along, kept."""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from mcxlib.data.datasets import given
from mcxlib.data.datasets.rules import SPLITS
from mcxlib.data.video import kinds
from mcxlib.files import digest, read_json, write_json, write_text

LISTED = ["video_id", "is_fake", "split"]

_REMEDY = f"A list is a CSV file with the columns {', '.join(LISTED)}"


class Draw(NamedTuple):
    """A draw that was made earlier, against what is there now."""

    file: Path
    listed: int
    absent: int
    """Videos it drew that are not there now."""
    now: dict[str, int]
    """Candidates by class, real and fake."""
    then: dict[str, int] | None
    """The same when it was drawn; None where that was not kept."""

    def words(self) -> str:
        """What has changed since it was drawn, in a line; "" if nothing has."""
        changed = []
        if self.absent:
            changed.append(f"{self.absent} of its {self.listed} videos are not there")
        if self.then is not None and self.then != self.now:
            changed.append(f"it was drawn from {_said(self.then)}, there are {_said(self.now)} now")
        if not changed:
            return ""
        return (
            f"the draw kept in {given.escaped(self.file)} is used: {'; '.join(changed)}. Remove "
            "that file to draw again"
        )


def _said(counts: dict[str, int]) -> str:
    return f"{counts['real']} real and {counts['fake']} fake videos"


def write_list(path: Path, manifest: pd.DataFrame) -> None:
    """Write which videos are used for what: CSV with columns video_id, is_fake, split."""
    used = manifest.loc[manifest["split"] != "", LISTED].sort_values(["split", "video_id"])
    write_text(path, used.to_csv(index=False))


def _note(path: Path) -> Path:
    return path.with_name(f"{path.stem}.drawn.json")


def _candidates(manifest: pd.DataFrame) -> dict[str, int]:
    fake = int(manifest["is_fake"].astype(bool).sum())
    return {"real": len(manifest) - fake, "fake": fake}


def keep_draw(path: Path, manifest: pd.DataFrame) -> None:
    """Write the list of a new draw, and beside it (``.drawn.json``) how many videos of each class
    it was drawn from."""
    write_list(path, manifest)
    note = {"candidates": _candidates(manifest), "list_sha256": digest(path)}
    write_json(_note(path), note)


def kept_draw(path: Path, manifest: pd.DataFrame) -> tuple[pd.Series, Draw]:
    """The column ``split`` of a draw that :func:`keep_draw` wrote, and what has changed since.

    Errors as :func:`read_list`.
    """
    split = read_list(path, manifest)
    try:
        note = read_json(_note(path))
        # Another list may lie there by now, brought along by itself.
        then = note["candidates"] if note["list_sha256"] == digest(path) else None
    except (OSError, ValueError, KeyError, TypeError):
        then = None
    absent = len(split.attrs["absent"])
    listed = int((split != "").sum()) + absent
    return split, Draw(path, listed, absent, _candidates(manifest), then)


def _ids(names: pd.Series, manifest: pd.DataFrame) -> pd.Series:
    """The video ids that a list's names mean: as they are, or with other separators, a leading
    ``./`` or the file's suffix; "" where the manifest has none."""
    known = dict(zip(manifest["video_id"], manifest["video_id"], strict=True))
    if "path" in manifest:
        known = dict(zip(manifest["path"], manifest["video_id"], strict=True)) | known

    suffixes = kinds.VIDEO_SUFFIXES | kinds.IMAGE_SUFFIXES
    suffixes |= {posixpath.splitext(name)[1].lower() for name in known}

    def meant(name: str) -> str:
        plain = posixpath.normpath(name.strip().replace("\\", "/")) if name.strip() else ""
        stem, suffix = posixpath.splitext(plain)
        readings = (name, plain, *([stem] if suffix.lower() in suffixes else []))
        return next((known[reading] for reading in readings if reading in known), "")

    return names.map(meant)


def read_list(path: Path, manifest: pd.DataFrame) -> pd.Series:
    """The column ``split`` of a list written by :func:`write_list`, or by hand.

    Videos of the list that the manifest lacks are in the result's ``attrs["absent"]``.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a table; a missing column, a video twice, an unknown split or label, a
            label that differs, or not one video of the manifest.
    """
    path = Path(path)
    listed = given.table_of(path, LISTED, _REMEDY)
    shown = given.escaped(path)
    listed["split"] = listed["split"].str.strip()
    listed["is_fake"] = given.labels_of(path, listed["is_fake"], _REMEDY)
    given.refuse_twice(path, listed["video_id"], _REMEDY)
    if unknown := sorted(set(listed["split"]) - set(SPLITS)):
        raise ValueError(f"{shown} has the splits {unknown}; valid: {', '.join(SPLITS)}")
    listed["meant"] = _ids(listed["video_id"], manifest)
    there = listed[listed["meant"] != ""]
    if there.empty:
        raise ValueError(
            f"{shown} names no video of {_dataset(manifest)}: it has {listed['video_id'].iloc[0]!r}"
            f", for one, the data set {manifest['video_id'].iloc[0]!r}. {_REMEDY}"
        )
    given.refuse_twice(path, there["meant"], _REMEDY)
    both = manifest[["video_id", "is_fake"]].merge(
        there, left_on="video_id", right_on="meant", suffixes=("", "_listed")
    )
    if len(wrong := both[both["is_fake"].astype(bool) != both["is_fake_listed"]]):
        raise ValueError(
            f"{shown} labels {len(wrong)} videos otherwise than the data set, "
            f"{wrong['video_id'].iloc[0]} among them"
        )
    chosen = there.set_index("meant")["split"]
    out = manifest["video_id"].map(chosen).fillna("").astype(object)
    out.attrs["absent"] = sorted(listed.loc[listed["meant"] == "", "video_id"])
    return out


def _dataset(manifest: pd.DataFrame) -> str:
    return manifest["dataset"].iloc[0]


def refuse_one_class(
    split: pd.Series, manifest: pd.DataFrame, where: str, whole: bool = False
) -> None:
    """Refuse a training or validation part that has one class only: nothing is learned from it.

    ``whole``: also refuse a split that lacks one of the two parts.

    Raises:
        ValueError: names the part and the class it lacks.
    """
    for part in ("train", "val"):
        fake = manifest.loc[split == part, "is_fake"].astype(bool)
        lacking = [name for name, there in (("real", ~fake), ("fake", fake)) if not there.any()]
        if len(lacking) == 1 or (whole and lacking):
            raise ValueError(
                f"{where}: {_dataset(manifest)} is trained on, and the part {part} has no "
                f"{' and no '.join(lacking)} video"
            )


def list_protocol(path: Path) -> str:
    """The name of the split that a list brought along makes: "list-" and six digits of its
    SHA-256."""
    return f"list-{digest(Path(path))[:6]}"

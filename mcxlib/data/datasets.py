"""Folders as the distributors hand them out -> a manifest, one row a video.

A layout lists the parts it is made of, so that a missing or half-downloaded part is reported
(expected against found) and never guessed. Splits follow the paper's section 4.1: FaceForensics++
by the target's identity, the other data sets as test sets only.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pandas as pd

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

MANIPULATIONS = MappingProxyType(
    {"DF": "Deepfakes", "F2F": "Face2Face", "FS": "FaceSwap", "NT": "NeuralTextures"}
)
"""FaceForensics++'s folder of each manipulation the paper trains on."""


class Scan(NamedTuple):
    """What a folder holds: ``manifest`` (one row a video) and ``parts`` (expected and found)."""

    manifest: pd.DataFrame
    parts: pd.DataFrame


@dataclass(frozen=True)
class Part:
    """One folder of a data set: where it is, how its files are named, what they are."""

    folder: str
    pattern: str  # of the path below the folder, with groups target, donor (both optional)
    manipulation: str  # "real" or the name of the manipulation
    expected: int  # videos in the published data set
    optional: bool = False  # absence is reported but nothing the paper uses is missing


def _faceforensics(compression: str) -> tuple[Part, ...]:
    real = Part(
        f"original_sequences/youtube/{compression}/videos", r"(?P<target>\d{3})\.mp4", "real", 1000
    )
    fakes = (
        Part(
            f"manipulated_sequences/{folder}/{compression}/videos",
            r"(?P<target>\d{3})_(?P<donor>\d{3})\.mp4",
            name,
            1000,
        )
        for name, folder in MANIPULATIONS.items()
    )
    return (real, *fakes)


def _celebdf(_: str) -> tuple[Part, ...]:
    return (
        Part("Celeb-real", r"(?P<target>id\d+)_\d{4}\.mp4", "real", 590),
        Part("YouTube-real", r"(?P<target>\d{5})\.mp4", "real", 300),
        Part(
            "Celeb-synthesis",
            r"(?P<target>id\d+)_(?P<donor>id\d+)_\d{4}\.mp4",
            "Celeb-synthesis",
            5639,
        ),
    )


def _kodf(_: str) -> tuple[Part, ...]:
    # The subject is the folder of a real clip; a synthesised clip is named after both subjects.
    methods = ("fsgan", "dfl", "dffs", "fo", "audio-driven")
    return (
        Part("original_videos", r"(?P<target>[^/]+)/.+\.mp4", "real", 62166),
        *(
            Part(
                f"synthesized_videos/{method}",
                r"(?:.*/)?(?P<target>[^/_]+)_(?P<donor>[^/_]+)_[^/]*\.mp4",
                method,
                0,
                optional=True,
            )
            for method in methods
        ),
    )


def _fakeavceleb(_: str) -> tuple[Part, ...]:
    person = r"[^/]+/[^/]+/(?P<target>id\d+)/.+\.mp4"
    return (
        Part("RealVideo-RealAudio", person, "real", 500),
        Part("RealVideo-FakeAudio", person, "real", 500),
        Part("FakeVideo-RealAudio", person, "FakeVideo-RealAudio", 9709),
        Part("FakeVideo-FakeAudio", person, "FakeVideo-FakeAudio", 10835),
    )


def _split_faceforensics(manifest: pd.DataFrame, seed: int) -> pd.Series:
    """Section 4.1 and the released list builder: by target id, < 600 / 600 to 799 / >= 800."""
    target = manifest["target_id"].astype(int)
    return pd.Series(
        np.select([target < 600, target < 800], ["train", "val"], "test"), manifest.index
    )


def _split_celebdf(manifest: pd.DataFrame, seed: int) -> pd.Series:
    """Section 4.1: id51 to id61 of both Celeb parts, and 240 to 299 of YouTube-real."""
    number = manifest["target_id"].str.removeprefix("id").astype(int)
    youtube = manifest["path"].str.startswith("YouTube-real/")
    chosen = np.where(youtube, number.between(240, 299), number.between(51, 61))
    return pd.Series(np.where(chosen, "test", ""), manifest.index)


def _draw(n_real: int | None, n_fake: int | None, n: int | None) -> Callable:
    """A seeded draw; the paper says how many videos it drew, not which (section 4.1)."""

    def split(manifest: pd.DataFrame, seed: int) -> pd.Series:
        rng = np.random.default_rng(seed)
        if n is None:
            groups = [
                (manifest.index[~manifest["is_fake"]], n_real),
                (manifest.index[manifest["is_fake"]], n_fake),
            ]
        else:
            groups = [(manifest.index, n)]
        chosen: list[int] = []
        for index, wanted in groups:
            chosen.extend(rng.permutation(np.asarray(index))[:wanted])
        out = pd.Series("", manifest.index, dtype=object)
        out.loc[chosen] = "test"
        return out

    return split


@dataclass(frozen=True)
class Layout:
    """How one data set lies on disk and which of its videos the paper's protocol uses."""

    parts: Callable[[str], tuple[Part, ...]]
    split: Callable[[pd.DataFrame, int], pd.Series]
    roots: tuple[str, ...] = ("",)  # folders below which the parts may lie, first match wins


LAYOUTS = MappingProxyType(
    {
        "FaceForensics++": Layout(_faceforensics, _split_faceforensics),
        "Celeb-DF-v2": Layout(_celebdf, _split_celebdf),
        "KoDF": Layout(_kodf, _draw(265, 734, None)),
        "FakeAVCeleb": Layout(_fakeavceleb, _draw(None, None, 500), ("FakeAVCeleb_v1.2", "")),
    }
)

CROSS_DATASETS = ("FakeAVCeleb", "KoDF", "Celeb-DF-v2")
"""The unseen data sets, in the column order of the paper's Table 3."""


def scan(root: Path, dataset: str, compression: str = "c23", seed: int = 0) -> Scan:
    """Read the folder ``root`` of ``dataset`` as its distributor lays it out.

    Files whose names do not fit a part's naming are counted in ``parts.unrecognised``, not used.
    ``seed`` decides the random draws of KoDF and FakeAVCeleb.

    Raises:
        ValueError: unknown data set.
        FileNotFoundError: the folder, or every part of it, is missing; names what was looked for.
    """
    if dataset not in LAYOUTS:
        raise ValueError(f"unknown data set {dataset!r}; valid: {', '.join(LAYOUTS)}")
    layout = LAYOUTS[dataset]
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"{dataset}: no folder {root}; put the data set there")
    parts = layout.parts(compression)
    base = next(
        (root / b for b in layout.roots if any((root / b / p.folder).is_dir() for p in parts)), None
    )
    if base is None:
        looked_for = ", ".join(p.folder for p in parts)
        raise FileNotFoundError(f"{dataset}: none of its parts lies in {root}: {looked_for}")

    rows: list[dict] = []
    report: list[dict] = []
    for part in parts:
        folder = base / part.folder
        files = sorted(f for f in folder.rglob("*") if f.is_file()) if folder.is_dir() else []
        found = unrecognised = 0
        for file in files:
            match = re.fullmatch(part.pattern, file.relative_to(folder).as_posix())
            if match is None:
                unrecognised += 1
                continue
            found += 1
            groups = match.groupdict()
            path = file.relative_to(root).as_posix()
            rows.append(
                {
                    "dataset": dataset,
                    "video_id": file.relative_to(base).with_suffix("").as_posix(),
                    "path": path,
                    "is_fake": part.manipulation != "real",
                    "manipulation": part.manipulation,
                    "target_id": groups.get("target") or "",
                    "donor_id": groups.get("donor") or "",
                    "bytes": file.stat().st_size,
                }
            )
        report.append(
            {
                "part": part.folder,
                "present": folder.is_dir(),
                "expected": part.expected,
                "found": found,
                "unrecognised": unrecognised,
                "optional": part.optional,
            }
        )
    if not rows:
        raise FileNotFoundError(f"{dataset}: the folders below {base} hold no video")
    manifest = pd.DataFrame(rows)
    manifest["split"] = layout.split(manifest, seed)
    return Scan(manifest[list(COLUMNS)], pd.DataFrame(report))


def shared_identities(first: pd.DataFrame, second: pd.DataFrame) -> list[str]:
    """Identities (target or donor) that occur in both manifests of one data set, sorted."""

    def people(manifest: pd.DataFrame) -> set[tuple[str, str]]:
        both = pd.concat([manifest["target_id"], manifest["donor_id"]])
        names = pd.concat([manifest["dataset"]] * 2)
        return {(d, p) for d, p in zip(names, both, strict=True) if p}

    return sorted(p for _, p in people(first) & people(second))

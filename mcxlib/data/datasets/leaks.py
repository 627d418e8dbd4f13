"""What is in more than one part of a split: people, source videos, copies."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pandas as pd

from mcxlib.data.datasets import faceforensics
from mcxlib.data.datasets.rules import SPLITS


def shared_identities(first: pd.DataFrame, second: pd.DataFrame) -> list[str]:
    """Identities (target or donor) that occur in both manifests of one data set, sorted.

    Unknown identities ("") are nobody.
    """

    def people(manifest: pd.DataFrame) -> set[tuple[str, str]]:
        both = pd.concat([manifest["target_id"], manifest["donor_id"]])
        names = pd.concat([manifest["dataset"]] * 2)
        return {(d, p) for d, p in zip(names, both, strict=True) if p}

    return sorted(p for _, p in people(first) & people(second))


def _column(manifest: pd.DataFrame, name: str) -> pd.Series:
    """A column that older manifests lack."""
    return manifest[name] if name in manifest else pd.Series("", manifest.index, dtype=object)


def _pairs_of_parts(manifest: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame, pd.DataFrame]]:
    used = manifest[manifest["split"] != ""]
    for first, second in combinations([s for s in SPLITS if (used["split"] == s).any()], 2):
        yield f"{first} / {second}", used[used["split"] == first], used[used["split"] == second]


def _copies(first: pd.DataFrame, second: pd.DataFrame) -> list[tuple[str, str]]:
    """Each video of the second table with one of the first that has the same content."""
    known = dict(zip(_column(first, "content"), first["video_id"], strict=True))
    later = zip(_column(second, "content"), second["video_id"], strict=True)
    return sorted(
        (known[content], video) for content, video in later if content and content in known
    )


def copies(manifest: pd.DataFrame) -> pd.DataFrame:
    """The videos of a later part that are byte copies of one in an earlier part, whatever they
    are called: columns parts, first, second (video ids)."""
    rows = [
        (parts, *pair)
        for parts, first, second in _pairs_of_parts(manifest)
        for pair in _copies(first, second)
    ]
    return pd.DataFrame(rows, columns=["parts", "first", "second"], dtype=str)


def _sources(manifest: pd.DataFrame, origins: set[str]) -> set[str]:
    """The source videos that a part shows: what its fakes were made from, and those themselves."""
    return (set(_column(manifest, "source")) - {""}) | (set(manifest["video_id"]) & origins)


def leaks(manifest: pd.DataFrame) -> pd.DataFrame:
    """What is in more than one part of a split: a row for each two parts.

    Columns: parts, identities (in either), shared (in both), by_target (targets of both),
    fakes (fake videos of the later part), fakes_affected (those whose target or donor the
    earlier part shows), sources (videos that fakes of either were made from), shared_sources (in
    both, themselves or as a fake), contents (known in either), copies (videos of the later part
    that are byte copies of the earlier part's; :func:`copies` names them). Where identities,
    sources or contents are 0, nothing is known about them. A part without videos is left out.
    """
    rows = []
    origins = set(_column(manifest, "source")) - {""}
    for parts, a, b in _pairs_of_parts(manifest):
        shared = set(shared_identities(a, b))
        either = pd.concat([a, b])
        known = either[["target_id", "donor_id"]].stack()
        contents = _column(either, "content")
        fakes = b[b["is_fake"].astype(bool)]
        affected = fakes["target_id"].isin(shared) | fakes["donor_id"].isin(shared)
        in_a, in_b = (_sources(part, origins) for part in (a, b))
        rows.append(
            {
                "parts": parts,
                "identities": int(known[known != ""].nunique()),
                "shared": len(shared),
                "by_target": len(set(a["target_id"]) & set(b["target_id"]) - {""}),
                "fakes": len(fakes),
                "fakes_affected": int(affected.sum()),
                "sources": len(in_a | in_b),
                "shared_sources": len(in_a & in_b),
                "contents": int(contents[contents != ""].nunique()),
                "copies": len(_copies(a, b)),
            }
        )
    return pd.DataFrame(rows, columns=list(_COLUMNS))


_COLUMNS = (
    "parts",
    "identities",
    "shared",
    "by_target",
    "fakes",
    "fakes_affected",
    "sources",
    "shared_sources",
    "contents",
    "copies",
)


def leak_report() -> pd.DataFrame:
    """:func:`leaks` of both protocols of FaceForensics++ as published; first column: protocol.

    Without the columns about sources and contents: only names are published, no videos.
    """
    tables = {}
    for name in ("paper", "official"):
        manifest = faceforensics.published_faceforensics()
        manifest["split"] = faceforensics.DATASET.protocols[name].split(manifest, 0, Path())
        tables[name] = leaks(manifest)[list(_COLUMNS[:6])]
    return pd.concat(tables, names=["protocol"]).reset_index("protocol")

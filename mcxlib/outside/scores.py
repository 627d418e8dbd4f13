"""A table of somebody's scores, and which videos of which data sets they are of."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from mcxlib.data.datasets import given

REMEDY = (
    "Scores are a CSV or Parquet file with the columns score (in [0, 1], larger is more likely "
    "fake) and path or video_id, one row a video; and dataset where an id is of several"
)

REMEDY_NAMES = (
    "What a detector was trained on is a CSV or Parquet file with the column path or video_id, one "
    "row a video; and dataset where an id is of several"
)


class Source(NamedTuple):
    """One data set: its manifest and where its videos lie."""

    manifest: pd.DataFrame
    root: Path


class Matched(NamedTuple):
    """What a table of scores is about."""

    videos: pd.DataFrame
    """The manifests' rows of all videos with a score, and ``fake_score``."""
    unknown: list[str]
    """What is in no manifest, as written."""


def read(path: Path) -> pd.DataFrame:
    """Columns name (path or id, as written), dataset ("" if nothing is said) and score.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a table; a missing column, a score that is none or lies outside [0, 1], a
            row without a name.
    """
    path = Path(path)
    table = given.table_of(path, (), REMEDY)
    score = _column(path, table, ("score", "fake_score"))
    name = _column(path, table, ("path", "video_id"))
    if (table[name].str.strip() == "").any():
        raise ValueError(f"{given.escaped(path)} has a row without a {name}. {REMEDY}")
    values = pd.to_numeric(table[score].str.strip(), errors="coerce").to_numpy(np.float64)
    if (bad := ~np.isfinite(values)).any():
        first = int(np.argmax(bad))
        raise ValueError(
            f"{given.escaped(path)}: {int(bad.sum())} of {len(table)} scores are no finite number, "
            f"the first is {table[score].iloc[first]!r} of {table[name].iloc[first]}. Leave out "
            "the rows of videos that could not be judged: they are counted as such"
        )
    if (bad := (values < 0) | (values > 1)).any():
        first = int(np.argmax(bad))
        raise ValueError(
            f"{given.escaped(path)}: {int(bad.sum())} of {len(table)} scores lie outside [0, 1], "
            f"the first is {values[first]:g} of {table[name].iloc[first]}. Turn logits into "
            "probabilities first, 1 / (1 + exp(-x))"
        )
    said = table["dataset"].str.strip() if "dataset" in table else ""
    return pd.DataFrame({"name": table[name].str.strip(), "dataset": said, "score": values})


def read_names(path: Path) -> pd.DataFrame:
    """A list of videos, in the columns of :func:`read`; every score is NaN.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a table, or without a column path or video_id.
    """
    table = given.table_of(path, (), REMEDY_NAMES)
    name = _column(path, table, ("path", "video_id"), REMEDY_NAMES)
    said = table["dataset"].str.strip() if "dataset" in table else ""
    names = pd.DataFrame({"name": table[name].str.strip(), "dataset": said, "score": np.nan})
    return names.drop_duplicates(ignore_index=True)


def _column(path: Path, table: pd.DataFrame, names: tuple[str, ...], remedy: str = REMEDY) -> str:
    for name in names:
        if name in table:
            return name
    shown = ", ".join(map(str, table.columns))[:80]
    raise ValueError(
        f"{given.escaped(path)} lacks the column {' or '.join(names)}; its columns are {shown!r}. "
        f"{remedy}"
    )


def match(
    table: pd.DataFrame, sources: Mapping[str, Source], beside: Path, *, skip_unknown: bool = False
) -> Matched:
    """Find the video that each row of :func:`read` means.

    A name is a video's id; or its path, absolute, or relative to the table's folder (``beside``),
    to the data set's folder or to the folder that holds that one.

    Raises:
        ValueError: a name of several videos, a video twice, a data set that is not evaluated, a
            name of no video (unless ``skip_unknown``), or no row of any video.
    """
    strange = sorted(set(table["dataset"]) - set(sources) - {""})
    if strange and not skip_unknown:
        raise ValueError(
            f"the column dataset says {strange[0]!r}, which is not among {', '.join(sources)}; "
            "name it with --dataset, correct it, or pass over such rows with --skip-unknown"
        )
    known = _keys(sources)
    found: list[tuple[str, int]] = []
    score, unknown = [], []
    for row in table.itertuples():
        places = {
            place
            for key in _readings(row.name, beside)
            for place in known.get(key, ())
            if row.dataset in ("", place[0])
        }
        if len(places) > 1:
            both = " and ".join(sorted({name for name, _ in places}))
            raise ValueError(
                f"{row.name!r} is a video of {both}; say which in a column dataset, or give paths"
            )
        if places:
            found.append(places.pop())
            score.append(row.score)
        else:
            unknown.append(row.name)
    _refuse(table, sources, found, unknown, skip_unknown)
    parts = []
    for name, source in sources.items():
        rows = [(n, s) for (of, n), s in zip(found, score, strict=True) if of == name]
        part = source.manifest.iloc[[number for number, _ in rows]]
        parts.append(part.assign(fake_score=np.array([s for _, s in rows], dtype=np.float64)))
    return Matched(pd.concat(parts, ignore_index=True), unknown)


def _keys(sources: Mapping[str, Source]) -> dict[str, set[tuple[str, int]]]:
    """Whatever a video may be called -> its data set and its row."""
    known: dict[str, set[tuple[str, int]]] = defaultdict(set)
    for name, (manifest, root) in sources.items():
        for number, (video, path) in enumerate(
            zip(manifest["video_id"], manifest["path"], strict=True)
        ):
            whole = os.path.normpath(os.path.join(root, path))
            for key in (video, os.path.normpath(path), f"{root.name}/{path}", whole):
                known[key].add((name, number))
            if (real := os.path.realpath(whole)) != whole:
                known[real].add((name, number))
    return known


def _readings(name: str, beside: Path) -> Iterable[str]:
    plain = name.replace("\\", "/")
    yield from {name, plain, os.path.normpath(plain)}
    whole = os.path.normpath(os.path.join(os.path.abspath(beside), plain))
    yield from {whole, os.path.realpath(whole)}


def _refuse(
    table: pd.DataFrame,
    sources: Mapping[str, Source],
    found: list[tuple[str, int]],
    unknown: list[str],
    skip_unknown: bool,
) -> None:
    if not found:
        like = next(iter(sources.values())).manifest.iloc[0]
        raise ValueError(
            f"none of the {len(table)} rows is a video of {', '.join(sources)}: the first is "
            f"{table['name'].iloc[0]!r}, while ids look like {like['video_id']!r} and paths like "
            f"{like['path']!r}"
        )
    if unknown and not skip_unknown:
        listed = ", ".join(unknown[:3]) + (", ..." if len(unknown) > 3 else "")
        raise ValueError(
            f"{len(unknown)} of {len(table)} rows are no video of {', '.join(sources)}: {listed}. "
            "Correct them, name their data set with --dataset, or pass over them with "
            "--skip-unknown"
        )
    twice = [place for place, times in Counter(found).items() if times > 1]
    if twice:
        name, number = twice[0]
        video = sources[name].manifest["video_id"].iloc[number]
        raise ValueError(
            f"{len(twice)} videos have more than one score, the first is {video} of "
            f"{name}; give one row a video (the mean of its frames' scores, say)"
        )

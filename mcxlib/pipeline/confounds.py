"""What tells a data set's classes apart besides faces: computed once, kept beside its manifest."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcxlib.files import write_json, write_parquet
from mcxlib.pipeline import data as data_steps
from mcxlib.pipeline.common import alone, progress, read_if_there
from mcxlib.settings import paths
from mcxlib.settings.data import DataConfig

if TYPE_CHECKING:
    import pandas as pd

    from mcxlib.config import RunConfig

FORMAT = 1


def ensure_confounds(
    config: DataConfig | RunConfig, dataset: str, workers: int | None = None
) -> dict[str, Any]:
    """The confounds of a data set, from ``<manifest>.confounds.json`` or made anew.

    Keys: sentence (in words), auc, low, high (None where it cannot be computed), features (single
    properties, the most telling first), classes (each property of each class), videos (looked at),
    of (those there are), unreadable (names), faces (whether face sizes were known).

    What was measured lies in ``<manifest>.confounds.parquet``; only new videos are measured.
    Sizes of faces are taken from the crops, if they have been cut.

    Raises:
        ValueError, FileNotFoundError: as :func:`mcxlib.pipeline.data.ensure_manifest`; or no video
            at all can be read.
    """
    at = data_steps.plan(config, dataset)
    manifest = data_steps.ensure_manifest(config, dataset, workers)
    place = confounds_file(at)
    with alone(place, f"confounds of {at.name}"):
        rows, table = _measured(at, manifest, place.with_suffix(".parquet"), workers)
        table = _with_faces(at, table)
        text = f"{FORMAT}\n{table.to_csv(index=False, float_format='%.6g')}"
        made_from = hashlib.sha256(text.encode()).hexdigest()
        stored = read_if_there(place)
        if stored is None or stored.get("made_from") != made_from:
            stored = _computed(at, manifest, rows, table) | {"made_from": made_from}
            write_json(place, stored)
    return stored


def confounds_file(at: data_steps.Plan) -> Path:
    """Where :func:`ensure_confounds` keeps what it found."""
    return at.manifest.with_name(f"{at.manifest.stem}.confounds.json")


def announce(config: DataConfig | RunConfig, dataset: str, workers: int | None = None) -> None:
    """Say what :func:`ensure_confounds` found, in a line on standard error; never fails."""
    try:
        print(ensure_confounds(config, dataset, workers)["sentence"], file=sys.stderr)
    except Exception as error:  # training goes on without it
        print(f"{dataset}: confounds could not be computed ({error})", file=sys.stderr)


def _measured(
    at: data_steps.Plan, manifest: pd.DataFrame, file: Path, workers: int | None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The sampled rows of the manifest, and what was measured of each, in the same order."""
    import pandas as pd

    from mcxlib.data.confounds import measure

    rows = measure.sample(manifest)
    keys = ["video_id", "bytes", "content"]
    known = pd.read_parquet(file) if file.is_file() else None
    todo = rows
    if known is not None:
        there = rows[keys].merge(known[keys], how="left", indicator=True)["_merge"] == "both"
        todo = rows[~there.to_numpy()]
    if len(todo):
        with progress(f"confounds of {at.name}") as show:
            new = measure.measure_all(todo, at.root, workers or os.cpu_count() or 1, show)
        known = new if known is None else pd.concat([known, new], ignore_index=True)
        known = known.drop_duplicates("video_id", keep="last")
        write_parquet(file, known)
    return rows, rows[keys].merge(known, on=keys, how="left", validate="one_to_one")


def _with_faces(at: data_steps.Plan, table: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    from mcxlib.data.confounds.measure import face_sizes

    crops = paths.table_of(at.crops)
    # Of a frame that is used whole no face was looked for.
    if at.data.crop_rule == "whole" or not crops.is_file():
        return table
    return table.merge(face_sizes(pd.read_parquet(crops)), on="video_id", how="left")


def _computed(
    at: data_steps.Plan, manifest: pd.DataFrame, rows: pd.DataFrame, table: pd.DataFrame
) -> dict[str, Any]:
    import pandas as pd

    from mcxlib.data.confounds import separate
    from mcxlib.data.datasets.grouping import groups

    group = pd.Series(groups(manifest), manifest["video_id"].to_numpy())
    table = table.assign(
        is_fake=rows["is_fake"].to_numpy(),
        manipulation=rows["manipulation"].to_numpy(),
        group=rows["video_id"].map(group).to_numpy(),
    )
    readable = table[table["problem"] == ""]
    if readable.empty:
        raise ValueError(f"{at.name}: none of {len(table)} videos can be read")
    found = separate.separate(readable, readable["group"])
    auc, low, high = found.interval[:3] if found.interval else (None, None, None)
    return {
        "format": FORMAT,
        "sentence": separate.sentence(at.name, found),
        **{"auc": auc, "low": low, "high": high},
        "features": _records(found.features),
        "classes": _records(separate.by_class(readable)),
        "videos": len(readable),
        "of": len(manifest),
        "unreadable": table.loc[table["problem"] != "", "video_id"].tolist(),
        "faces": "face_size" in table,
    }


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows without what they do not have, ready for JSON."""
    return [
        {name: value for name, value in row.items() if value == value}
        for row in table.to_dict("records")
    ]

"""Where the crops of some frames were altered, for pictures: any part of the data, a few frames."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mcxlib.data.faces import contract as contracts
from mcxlib.pipeline import data as data_steps

if TYPE_CHECKING:
    import pandas as pd

    from mcxlib.config import RunConfig


def altered(config: RunConfig, rows: pd.DataFrame, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Masks of the central ``size`` px of crops of the data set that is trained on.

    Distributed masks are used where they lie; those of rendered fakes are made, in a folder that
    is gone afterwards.

    Args:
        rows: of crops, as :func:`mcxlib.pipeline.ensure_rows` gives them.

    Returns:
        (N, size, size) bool, all False for a real face, of which nothing was altered; and (N,)
        bool, whether it is known: a fake without mask has none.
    """
    from mcxlib.data.faces import masks

    at = data_steps.plan(config, config.data.train_on)
    fake = rows["is_fake"].to_numpy(bool)
    found, known = np.zeros((len(rows), size, size), bool), ~fake
    if at.dataset.mask_of is None or not fake.any():
        return found, known
    below = data_steps.ensure_manifest(config, at.name).set_index("video_id")["path"]
    fakes = rows[fake]
    with tempfile.TemporaryDirectory(prefix="mcx-") as folder:
        made = _rendered(config, at, [below[v] for v in fakes["video_id"].unique()], Path(folder))
        videos = {
            v: (at.root / below[v], made.get(below[v], at.root / at.dataset.mask_of(below[v])))
            for v in fakes["video_id"].unique()
        }
        cut = Path(folder) / "cut"
        table = masks.cut_masks(fakes, videos, cut, contracts.contract(at.data), workers=1)
        files = table[table["status"] == "ok"].set_index("video_id")["file"]
        for place in np.flatnonzero(fake):
            row = rows.iloc[place]
            if row["video_id"] in files.index:
                mask = np.load(cut / files[row["video_id"]])[int(row["row"])]
                room = (mask.shape[0] - size) // 2
                found[place] = mask[room : room + size, room : room + size] > 127
                known[place] = True
    return found, known


def _rendered(
    config: RunConfig, at: data_steps.Plan, paths: list[str], folder: Path
) -> dict[str, Path]:
    """Mask videos of rendered fakes that have none yet; none of filmed ones."""
    if at.data.videos != "rendered" or at.dataset.mask_of is None:
        return {}
    from mcxlib.synthetic.few_masks import make_masks_of

    missing = [path for path in paths if not (at.root / at.dataset.mask_of(path)).is_file()]
    inside = {f"{at.name}/{path}": path for path in missing}
    made = make_masks_of(set(inside), folder, data_steps._spec(at.data))
    return {inside[path]: file for path, file in made.items()}

"""One person's faces -> clips, for weights that judge several consecutive frames at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from mcxlib.data.crops.clips import clips

MOST = 4
"""Clips of a file that are looked at unless another number of frames is asked for: as many as an
interval needs."""


class Cut(NamedTuple):
    """Clips of one person."""

    places: np.ndarray
    """(n, T) int64: which of the person's faces each consists of."""
    frames: np.ndarray
    """(n,) int64: how many different ones; fewer than T go on mirrored in time."""

    @property
    def used(self) -> np.ndarray:
        """The faces that are in a clip, ascending."""
        return np.unique(self.places)

    def of_faces(self, scores: np.ndarray) -> np.ndarray:
        """Scores of the clips (n,) -> of the faces in ``used``, each the mean of its clips'."""
        inside = (self.places[:, :, None] == self.used).any(axis=1)
        return scores @ inside / inside.sum(axis=0)


def cut(numbers: Sequence[int], frames: int, stride: int) -> Cut | None:
    """Clips of ``frames`` consecutive frames, a new one every ``stride``; as
    :func:`mcxlib.data.crops.clips.clips` makes them for the tables.

    None if no two of the frames ``numbers``, ascending, are consecutive.
    """
    rows = pd.DataFrame({"frame_index": numbers, "row": range(len(numbers))})
    try:
        found = clips(rows.assign(dataset="", video_id=""), frames, stride).rows["row"]
    except ValueError:
        return None
    places = np.array(found.tolist())
    return Cut(places, np.array([len(set(clip)) for clip in places.tolist()]))

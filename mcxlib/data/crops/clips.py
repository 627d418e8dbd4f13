"""Rows of single crops -> rows of clips, for detectors that judge several frames at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd


class Clips(NamedTuple):
    """What a detector of clips is given."""

    rows: pd.DataFrame
    """One row a clip: the columns of its first frame, but ``row`` is a tuple of where each of its
    frames lies in the file."""
    padded: int
    """Clips of faces that are seen in fewer consecutive frames, which go on mirrored in time."""
    left_out: int
    """Frames that are in no clip: in stretches that are too short, of faces that are seen longer
    elsewhere, or at the end of one, too few for a clip more."""

    def words(self) -> str:
        """One line, "" if all went as wanted."""
        parts = []
        if self.padded:
            parts.append(
                f"{self.padded} of {len(self.rows)} clips are shorter and padded by reflection"
            )
        if self.left_out:
            parts.append(f"{self.left_out} frames are in no clip")
        return "; ".join(parts)


def clips(rows: pd.DataFrame, frames: int, stride: int) -> Clips:
    """Clips of ``frames`` consecutive frames of one face, a new one every ``stride`` frames.

    A face that is nowhere seen in so many consecutive frames gives one clip, of its longest stretch
    padded by reflection: a b c becomes a b c b a. Frames of which no two are consecutive are no
    clip.

    Args:
        rows: of :func:`mcxlib.data.crops.rows.join`.
        frames: of a clip, T; with 1 the rows are returned as they are.
        stride: frames from the start of one to the start of the next.

    Raises:
        ValueError: no video has two consecutive frames; says how to ask for such.
    """
    if frames == 1:
        return Clips(rows, 0, 0)
    keys = ["dataset", "video_id", *(["face"] if "face" in rows else [])]
    starts: list[int] = []
    places: list[tuple[int, ...]] = []
    padded = used = longest = 0
    numbers = rows["row"].to_numpy()
    times = rows["frame_index"].to_numpy()
    for members in rows.groupby(keys, sort=False).indices.values():
        order = members[np.argsort(times[members], kind="stable")]
        breaks = np.flatnonzero(np.diff(times[order]) != 1) + 1
        stretches = np.split(order, breaks)
        whole = [part for part in stretches if len(part) >= frames]
        longest = max(longest, *map(len, stretches))
        if not whole:
            part = max(stretches, key=len)
            padded, used = padded + 1, used + len(part)
            starts.append(part[0])
            places.append(_row_numbers(np.pad(part, (0, frames - len(part)), "reflect"), numbers))
        for part in whole:
            first = range(0, len(part) - frames + 1, stride)
            used += min(len(part), first[-1] + frames) if stride <= frames else len(first) * frames
            starts += [part[i] for i in first]
            places += [_row_numbers(part[i : i + frames], numbers) for i in first]
    if longest < 2:
        raise ValueError(
            f"no two of these {len(rows)} crops are of consecutive frames, and a clip is of "
            f"{frames}: cut them with frame_rule=first"
        )
    table = rows.iloc[starts].reset_index(drop=True)
    table["row"] = pd.Series(places, dtype=object)
    return Clips(table, padded, len(rows) - used)


def _row_numbers(part: np.ndarray, numbers: np.ndarray) -> tuple[int, ...]:
    return tuple(int(n) for n in numbers[part])

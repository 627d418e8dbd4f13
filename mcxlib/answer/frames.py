"""Which frames of a file are looked at: spread over it, without decoding all of it."""

from __future__ import annotations

from bisect import bisect_right
from itertools import groupby
from typing import NamedTuple

from mcxlib.data.video.sampling import frame_indices

MOST_DECODED = 600
"""Frames of a video that are decoded at most, unless every n-th was asked for."""


class Choice(NamedTuple):
    """The frames that are looked at."""

    indices: list[int]
    note: str = ""
    """What is left out that one might expect to be looked at."""
    stride: int = 1
    """For detectors of clips: frames from the start of a clip to the start of the next."""


def choose(total: int, keys: list[int] | None, every: int, most: int) -> Choice:
    """``most`` frames of a file of ``total`` frames, or all if it has fewer.

    They lie at the middles of equal parts of the file. A frame can only be decoded from the key
    frame before it on; where that would come to more than ``MOST_DECODED`` frames, those that lie
    far behind a key frame are drawn nearer to it.

    Args:
        total: of the file.
        keys: indices of its key frames, ascending, the first one 0; None where each frame can be
            had by itself, or all have to be decoded anyway.
        every: 0, or take frames 0, ``every``, 2 ``every``, ... instead.
        most: frames.
    """
    if every:
        indices = frame_indices("every", most, every, total)
        if indices and indices[-1] + every < total:
            return Choice(indices, f"frames after number {indices[-1]} were not looked at")
        return Choice(indices)
    even = frame_indices("even", most, 1, total)
    if keys is None or not even:
        return Choice(even)
    groups = {
        key: list(part) for key, part in groupby(even, lambda i: keys[bisect_right(keys, i) - 1])
    }
    if sum(part[-1] - key + 1 for key, part in groups.items()) <= MOST_DECODED:
        return Choice(even)
    reach = MOST_DECODED // len(groups)
    indices, missed = [], 0
    for key, part in groups.items():
        if part[-1] - key >= reach:
            part = sorted({key + int((i + 0.5) * reach / len(part)) for i in range(len(part))})
            following = bisect_right(keys, key)
            end = keys[following] if following < len(keys) else total
            missed += end - (key + reach)
        indices += part
    note = (
        f"{missed} of {total} frames lie too far behind a key frame to be decoded for this, and no "
        "frame was taken from among them; --every takes frames anywhere"
    )
    return Choice(indices, note)


def choose_clips(total: int, keys: list[int] | None, frames: int, most: int) -> Choice:
    """As many clips of ``frames`` consecutive frames as ``most`` frames hold, spread over a file.

    They lie in the middles of equal parts of the file. A file that is too short for so many is
    looked at as a whole, and its clips overlap. Where more than ``MOST_DECODED`` frames would have
    to be decoded, the clips are taken from the key frames before them on.

    Args:
        total, keys: as for :func:`choose`.
        frames: of a clip.
        most: frames; at least those of one clip.
    """
    clips = most // frames
    if total <= clips * frames:
        return Choice(list(range(total)), stride=max(1, (total - frames) // max(1, clips - 1)))
    starts = [int((i + 0.5) * total / clips - frames / 2) for i in range(clips)]
    note = ""
    if keys is not None:
        behind = [keys[bisect_right(keys, start) - 1] for start in starts]
        if sum(s + frames - key for s, key in zip(starts, behind, strict=True)) > MOST_DECODED:
            starts = [
                key + number * frames
                for key, group in groupby(behind)
                for number, _ in enumerate(group)
            ]
            note = (
                "the clips are taken from key frames on, as those in the middles of equal parts of "
                f"the file would need more than {MOST_DECODED} frames to be decoded"
            )
    indices = sorted({start + i for start in starts for i in range(frames)})
    return Choice(indices, note, frames)

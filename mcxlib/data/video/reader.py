"""Videos -> RGB frames, every frame asked for accounted for.

A video is a video file, one image, or a folder of images in the order of their names.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from mcxlib.data.video.container import UnreadableVideo
from mcxlib.data.video.decode import Broken, in_order
from mcxlib.data.video.frame import Frame
from mcxlib.data.video.pictures import picture, pictures_of
from mcxlib.data.video.seek import CannotSeek, by_seeking


def read_frames(path: Path, indices: list[int]) -> Iterator[Frame]:
    """Yield a :class:`Frame` for every index asked for, in that order.

    A frame that cannot be decoded (a truncated file, say) comes without an image, so that every
    frame asked for is accounted for. Where the frames lie far apart, decoding starts anew at the
    last key frame before each; the frames are the same as if every one had been decoded. Memory
    holds one frame and the time stamps, however long the video.

    Raises:
        ValueError: the indices are not ascending, or negative.
    """
    if any(a >= b for a, b in pairwise(indices)) or min(indices, default=0) < 0:
        raise ValueError(f"frame indices must be ascending and not negative, not {indices}")
    return _read(Path(path), deque(indices))


def _read(path: Path, pending: deque[int]) -> Iterator[Frame]:
    if not pending:
        return
    problem = f"{path}: cannot be decoded"
    ways = [by_seeking, in_order]
    if pending[-1] + 1 == len(pending):  # from the first frame on, with no gap
        ways.reverse()  # the file's other packets need not be read at all
    try:
        if (images := pictures_of(path)) is not None:
            yield from (picture(images, index) for index in pending)
            return
        for way in ways:
            try:
                for frame in way(path, list(pending)):
                    pending.popleft()
                    yield frame
            except CannotSeek:
                continue
            except Broken as error:
                problem = str(error)
            if not pending:
                return
    except UnreadableVideo as error:
        problem = str(error)
    yield from (Frame(index, None, problem) for index in pending)

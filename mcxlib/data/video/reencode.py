"""Frames -> H.264 -> the frames that a viewer of that file sees."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from itertools import chain

import av
import cv2
import numpy as np

FPS = 25
"""Frames per second that are written down; H.264's quality at one CRF hardly depends on it."""


def reencoded(frames: Iterable[np.ndarray], crf: int) -> Iterator[np.ndarray]:
    """RGB frames, uint8 (H, W, 3), as they come out of an H.264 file in 4:2:0 colour; lazily.

    x264 with its defaults (preset medium, key frames where it likes), but without looking ahead:
    what it then does with the macroblocks ("mbtree") has been seen to differ from call to call.
    With one thread, the same frames give the same file. The file is held in memory, the frames are
    not. A row or column is repeated where height or width is odd, and cut off again.

    Args:
        frames: in the order of time, all of one size.
        crf: constant rate factor, 0 to 51; larger is worse.

    Raises:
        ValueError: frames of several sizes.
    """
    waiting = iter(frames)
    first = next(waiting, None)
    if first is None:
        return
    file = io.BytesIO()
    _encode(file, chain([first], waiting), first.shape[:2], crf)
    file.seek(0)
    height, width = first.shape[:2]
    with av.open(file, "r") as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24", threads=1)[:height, :width]


def _encode(
    file: io.BytesIO, frames: Iterable[np.ndarray], size: tuple[int, int], crf: int
) -> None:
    height, width = size
    with av.open(file, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.height, stream.width = height + height % 2, width + width % 2
        stream.pix_fmt = "yuv420p"
        stream.options = {
            "crf": str(crf),
            "threads": "1",
            # With x264's default lookahead the same frames can give different bytes.
            "x264-params": "sync-lookahead=0:rc-lookahead=0:lookahead-threads=1",
        }
        stream.codec_context.thread_count = 1
        for place, image in enumerate(frames):
            if image.shape[:2] != size:
                raise ValueError(
                    f"frames of {image.shape[1]} x {image.shape[0]} and {width} x {height} px "
                    "cannot be one H.264 video"
                )
            even = cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
            frame.pts = place
            container.mux(stream.encode(frame))
        container.mux(stream.encode())

"""Frames -> an H.264 file that depends on nothing but the frames."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from mcxlib.files import replacing


def write_video(path: Path, frames: Sequence[np.ndarray], fps: int, crf: int) -> None:
    """Encode uint8 RGB frames (h, w, 3) as H.264 in MP4; the file appears whole or not at all.

    One thread and bit-exact flags: the same frames give the same bytes.
    """
    with (
        replacing(path) as temporary,
        av.open(str(temporary), "w", format="mp4", options={"fflags": "+bitexact"}) as container,
    ):
        stream = container.add_stream("libx264", rate=fps)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.time_base = Fraction(1, fps)
        stream.codec_context.flags |= av.codec.context.Flags.bitexact
        stream.options = {
            "crf": str(crf),
            "preset": "veryfast",
            "threads": "1",
            # With x264's default lookahead the same frames can give different bytes.
            "x264-params": "sync-lookahead=0:rc-lookahead=0:lookahead-threads=1",
        }
        stream.codec_context.thread_count = 1
        for index, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode())

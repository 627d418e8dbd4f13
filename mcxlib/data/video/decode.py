"""Frames by decoding a video from its beginning and counting."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path

import av

from mcxlib.data.video.container import open_video, video_stream, why
from mcxlib.data.video.frame import Frame, to_frame


class Broken(Exception):
    """The stream ends or breaks before the last frame asked for; the message names it."""


def in_order(path: Path, indices: list[int]) -> Iterator[Frame]:
    """The frames of ascending ``indices``, by decoding everything and counting.

    Raises:
        UnreadableVideo: the file cannot be opened.
        Broken: it ends or breaks before the last of them.
    """
    number = -1
    wanted = deque(indices)
    with open_video(path) as container:
        try:
            for packet in container.demux(video_stream(container, path)):
                for frame in decoded(packet):
                    number += 1
                    if number == wanted[0]:
                        yield to_frame(wanted.popleft(), frame)
                        if not wanted:
                            return
        except av.error.FFmpegError as error:
            # What follows can no longer be counted.
            text = f"{path}: cannot be decoded from frame {number + 1} on ({why(error)})"
            raise Broken(text) from error
    raise Broken(f"{path}: the video ends after {number + 1} frames")


def decoded(packet: av.Packet) -> list[av.VideoFrame]:
    """The frames that a packet completes; an incomplete packet is an error of FFmpeg's."""
    if packet.is_corrupt:  # cut short: decoded, its end would be made up
        raise av.error.InvalidDataError(1, "incomplete packet")
    return packet.decode()


def shown(packet: av.Packet) -> bool:
    """Whether a packet gives a frame: edit lists leave some out, VP8 has hidden ones."""
    if packet.is_discard:
        return False
    return codec(packet.stream) != "vp8" or bool(bytes(packet)[0] & 0x10)


def codec(stream: av.VideoStream) -> str:
    """The codec, whichever decoder reads it."""
    return stream.codec_context.codec.canonical_name

"""Frames that lie far apart: decoding starts anew at the last key frame before each."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import av

from mcxlib.data.video import decode
from mcxlib.data.video.container import open_video, video_stream, why
from mcxlib.data.video.frame import Frame, to_frame

SOUGHT_CODECS = frozenset({"h264", "hevc", "vp8", "vp9", "av1", "mpeg4", "mjpeg", "ffv1", "prores"})
"""Codecs of which a packet is a frame, so that frames can be numbered without decoding."""

SOUGHT_FORMATS = ("mov", "matroska")
"""Container families that store when each frame is shown. In others (AVI) the time stamps are
guessed, and differ after a seek."""


class CannotSeek(Exception):
    """No usable time stamps, or a frame that did not come where it was said to be."""


class Timeline(NamedTuple):
    """When the frames of a video are shown, and from which of them decoding can start."""

    seconds: list[float]
    """Of each frame, from the first one on."""
    keys: list[int]
    """Indices of the key frames, ascending."""


class _Key(NamedTuple):
    """The time stamps of a key frame."""

    pts: int
    dts: int | None


def by_seeking(path: Path, indices: list[int]) -> Iterator[Frame]:
    """The frames of ascending ``indices``, each decoded from the last key frame before it.

    Raises:
        UnreadableVideo: the file cannot be opened.
        CannotSeek: its frames have to be counted (:func:`mcxlib.data.video.decode.in_order`).
    """
    stamps, keys = _survey(path)
    packets: Iterator[av.Packet] = iter(())
    ready: deque[av.VideoFrame] = deque()
    at: int | None = None  # the time stamp of the last frame decoded
    broken: _Key | None = None  # the key frame after which decoding failed
    problem = ""
    with open_video(path) as container:
        stream = video_stream(container, path)
        for index in indices:
            if index >= len(stamps):
                yield Frame(index, None, f"{path}: the video ends after {len(stamps)} frames")
                continue
            wanted = stamps[index]
            key = keys[bisect_right(keys, wanted, key=lambda k: k.pts) - 1]
            # What follows damage leans on it, up to the next key frame.
            if key != broken:
                try:
                    if at is None or at < key.pts:  # a key frame lies between here and there
                        packets, at = _packets(container, stream, key), None
                        ready.clear()
                    image = _decode_until(wanted, packets, ready)
                    at = wanted
                    yield to_frame(index, image)
                    continue
                except av.error.FFmpegError as error:
                    at, broken = None, key
                    problem = f"{path}: damaged, cannot be decoded ({why(error)})"
            yield Frame(index, None, problem)


def timeline(path: Path) -> Timeline:
    """Times and key frames of a video, by reading its packets and decoding none.

    Raises:
        UnreadableVideo: it cannot be opened.
        CannotSeek: its frames have to be counted, and have no times that can be relied on.
    """
    stamps, keys = _survey(path)
    with open_video(path) as container:
        base = float(video_stream(container, path).time_base or 0)
    seconds = [(stamp - stamps[0]) * base for stamp in stamps]
    # Edit lists may hide a key frame: the first frame shown after it stands for it.
    places = sorted({bisect_left(stamps, key.pts) for key in keys})
    return Timeline(seconds, [place for place in places if place < len(stamps)])


def _survey(path: Path) -> tuple[list[int], list[_Key]]:
    """Time stamps of all frames and of the key frames, in the order of display, by reading the
    packets and decoding none."""
    stamps, keys = [], []
    with open_video(path) as container:
        stream = video_stream(container, path)
        sought = container.format.name.startswith(SOUGHT_FORMATS)
        if not sought or decode.codec(stream) not in SOUGHT_CODECS:
            raise CannotSeek
        try:
            for packet in container.demux(stream):
                if packet.size == 0:
                    continue
                if packet.pts is None:
                    raise CannotSeek
                if packet.is_keyframe:
                    keys.append(_Key(packet.pts, packet.dts))
                if decode.shown(packet):
                    stamps.append(packet.pts)
        except av.error.FFmpegError:
            pass  # what was read so far can be decoded
    if not stamps or len(set(stamps)) != len(stamps):
        raise CannotSeek
    if not keys or min(stamps) < min(keys).pts:
        raise CannotSeek  # what precedes the first key frame may or may not be decodable
    return sorted(stamps), sorted(keys)


def _packets(
    container: av.container.InputContainer, stream: av.VideoStream, key: _Key
) -> Iterator[av.Packet]:
    """The packets from a key frame on."""
    # Some containers look for the one, some for the other.
    for stamp in dict.fromkeys(key):
        if stamp is None:
            continue
        container.seek(stamp, stream=stream, backward=True, any_frame=False)
        packets = container.demux(stream)
        first = next(packets, None)
        if first is not None and first.pts == key.pts:
            return chain([first], packets)
    raise CannotSeek


def _decode_until(
    wanted: int, packets: Iterator[av.Packet], ready: deque[av.VideoFrame]
) -> av.VideoFrame:
    """The frame of a time stamp; ``ready`` keeps the frames decoded along with it."""
    while True:
        while ready:
            frame = ready.popleft()
            if frame.pts == wanted and not frame.is_corrupt:
                return frame
            if frame.pts is None or frame.pts >= wanted:
                raise CannotSeek
        packet = next(packets, None)
        if packet is None:
            raise CannotSeek
        ready.extend(decode.decoded(packet))

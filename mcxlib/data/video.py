"""Videos -> RGB frames, by one of three sampling rules.

A video is a video file, one image, or a folder of images in the order of their names.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from itertools import chain, pairwise
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.sidedata.sidedata import Type as SideData
from av.stream import Disposition

from mcxlib.data.images import (
    IMAGE_SUFFIXES,
    MAX_PIXELS,
    UnreadableImage,
    read_image,
)

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv"}
)

SOUGHT_CODECS = frozenset({"h264", "hevc", "vp8", "vp9", "av1", "mpeg4", "mjpeg", "ffv1", "prores"})
"""Codecs of which a packet is a frame, so that frames can be numbered without decoding."""

SOUGHT_FORMATS = ("mov", "matroska")
"""Container families that store when each frame is shown. In others (AVI) the time stamps are
guessed, and differ after a seek."""


class UnreadableVideo(ValueError):
    """The file cannot be opened or holds no video; the message names it and why."""


class Frame(NamedTuple):
    """One frame that was asked for."""

    index: int
    image: np.ndarray | None
    """RGB uint8 (H, W, 3); None if it cannot be had."""
    problem: str = ""
    """Why there is no image."""
    note: str = ""
    """What was done to the image: rotated, reduced to 8 bits, ..."""


def frame_indices(rule: str, count: int, step: int, total: int) -> list[int]:
    """Which frames of a video of ``total`` frames a rule asks for, ascending.

    ``first``: the first ``count``; ``every``: 0, ``step``, 2 ``step``, ... up to ``count`` of
    them; ``even``: ``count`` frames at the middles of equal parts of the video. A video with
    fewer frames gives those it has.
    """
    if rule == "first":
        return list(range(min(count, total)))
    if rule == "every":
        return list(range(0, total, step))[:count]
    if rule == "even":
        if total <= count:
            return list(range(total))
        return [int((i + 0.5) * total / count) for i in range(count)]
    raise ValueError(f"unknown frame rule {rule!r}; valid: first, every, even")


class Length(NamedTuple):
    """How long a video is."""

    frames: int
    problem: str = ""
    """What is wrong with its length, if anything is."""


def frame_total(path: Path) -> int:
    """Frames in the video; see :func:`length`."""
    return length(path).frames


def length(path: Path) -> Length:
    """Frames in the video: what its container states, else counted by reading its packets.

    A file that does not state its frames and ends before the time it does state is cut short,
    which is said in ``problem``: how many frames are missing cannot be known.

    Raises:
        UnreadableVideo: not a video; names the file and why.
    """
    path = Path(path)
    if (images := _images(path)) is not None:
        return Length(len(images))
    with _open(path) as container:
        stream = _stream(container)
        if stream.frames:
            frames = stream.frames
            if container.format.name.startswith("mov"):  # an edit list may leave frames out
                frames = sum(not entry.is_discard for entry in stream.index_entries)
            return Length(frames)
        frames, end = 0, 0.0
        try:
            for packet in container.demux():
                if packet.size == 0:  # the end
                    continue
                frames += packet.stream is stream and _shown(packet)
                stamp = packet.dts if packet.pts is None else packet.pts
                if stamp is None:
                    continue
                end = max(end, float((stamp + (packet.duration or 0)) * packet.time_base))
        except av.error.FFmpegError as error:
            raise UnreadableVideo(f"{path}: broken stream ({error})") from error
        stated = (container.duration or 0) / av.time_base
        two_frames = 2 / float(stream.average_rate or 25)
        if stated - end > max(two_frames, 0.02 * stated):
            return Length(
                frames, f"{path}: cut short, it ends at {end:.2f} s of the {stated:.2f} s it states"
            )
        return Length(frames)


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
    ways = [_by_seeking, _in_order]
    if pending[-1] + 1 == len(pending):  # from the first frame on, with no gap
        ways.reverse()  # the file's other packets need not be read at all
    try:
        if (images := _images(path)) is not None:
            yield from (_picture(images, index) for index in pending)
            return
        for way in ways:
            try:
                for frame in way(path, list(pending)):
                    pending.popleft()
                    yield frame
            except _CannotSeek:
                continue
            except _Broken as error:
                problem = str(error)
            if not pending:
                return
    except UnreadableVideo as error:
        problem = str(error)
    yield from (Frame(index, None, problem) for index in pending)


class _CannotSeek(Exception):
    """No usable time stamps, or a frame that did not come where it was said to be."""


class _Broken(Exception):
    """The stream ends or breaks before the last frame asked for; the message names it."""


def _images(path: Path) -> list[Path] | None:
    """The images a path stands for; None for a video file."""
    if path.is_dir():
        # Hidden files may look like images, as those that macOS leaves on other disks do.
        images = [
            f
            for f in path.iterdir()
            if f.suffix.lower() in IMAGE_SUFFIXES and not f.name.startswith(".")
        ]
        if not images:
            raise UnreadableVideo(f"{path}: the folder holds no image")
        return sorted(images, key=_natural)
    return [path] if path.suffix.lower() in IMAGE_SUFFIXES else None


def _natural(path: Path) -> tuple[list[str | int], str]:
    """Sorts frame 10 after frame 9."""
    parts = re.split(r"(\d+)", path.name)  # every second part is a number
    return [int(p) if i % 2 else p for i, p in enumerate(parts)], path.name


def _picture(images: list[Path], index: int) -> Frame:
    if index >= len(images):
        return Frame(index, None, f"{images[-1].parent}: there are {len(images)} images")
    try:
        image, note = read_image(images[index])
    except UnreadableImage as error:
        return Frame(index, None, str(error))
    return Frame(index, image, note=note)


def _open(path: Path) -> av.container.InputContainer:
    if not path.is_file():
        raise UnreadableVideo(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise UnreadableVideo(f"{path}: the file is empty (0 bytes)")
    try:
        container = av.open(str(path))
    except (av.error.FFmpegError, OSError) as error:
        raise UnreadableVideo(f"{path}: not a readable video ({_why(error)})") from error
    try:
        stream = _stream(container)
        width, height = stream.codec_context.width, stream.codec_context.height
        if width * height > MAX_PIXELS:
            raise UnreadableVideo(
                f"{path}: frames of {width} x {height} pixels are larger than the "
                f"{MAX_PIXELS} allowed"
            )
        # Some files lie in their header; the decoder then refuses the frame itself.
        stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
        # One thread: videos are read by as many processes as there are cores, each further thread
        # would hold frames of its own, and after a seek all of them would have to be filled.
        stream.codec_context.thread_type = "NONE"
        stream.codec_context.thread_count = 1
    except BaseException:
        container.close()
        raise
    return container


def _stream(container: av.container.InputContainer) -> av.VideoStream:
    """The first video stream that is no cover picture."""
    streams = container.streams.video
    if not streams:
        raise UnreadableVideo(f"{container.name}: the file has no video stream")
    for stream in streams:
        if not stream.disposition & Disposition.attached_pic:
            return stream
    raise UnreadableVideo(
        f"{container.name}: the file has no video stream, only sound and a cover picture"
    )


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _shown(packet: av.Packet) -> bool:
    """Whether a packet gives a frame: edit lists leave some out, VP8 has hidden ones."""
    if packet.is_discard:
        return False
    return _codec(packet.stream) != "vp8" or bool(bytes(packet)[0] & 0x10)


def _codec(stream: av.VideoStream) -> str:
    """The codec, whichever decoder reads it."""
    return stream.codec_context.codec.canonical_name


class _Key(NamedTuple):
    """The time stamps of a key frame."""

    pts: int
    dts: int | None


def _survey(path: Path) -> tuple[list[int], list[_Key]]:
    """Time stamps of all frames and of the key frames, in the order of display, by reading the
    packets and decoding none."""
    stamps, keys = [], []
    with _open(path) as container:
        stream = _stream(container)
        if _codec(stream) not in SOUGHT_CODECS or not container.format.name.startswith(
            SOUGHT_FORMATS
        ):
            raise _CannotSeek
        try:
            for packet in container.demux(stream):
                if packet.size == 0:
                    continue
                if packet.pts is None:
                    raise _CannotSeek
                if packet.is_keyframe:
                    keys.append(_Key(packet.pts, packet.dts))
                if _shown(packet):
                    stamps.append(packet.pts)
        except av.error.FFmpegError:
            pass  # what was read so far can be decoded
    if not stamps or len(set(stamps)) != len(stamps):
        raise _CannotSeek
    if not keys or min(stamps) < min(keys).pts:
        raise _CannotSeek  # what precedes the first key frame may or may not be decodable
    return sorted(stamps), sorted(keys)


def _packets(container: av.container.InputContainer, key: _Key) -> Iterator[av.Packet]:
    """The packets from a key frame on."""
    stream = _stream(container)
    # Some containers look for the one, some for the other.
    for stamp in dict.fromkeys(key):
        if stamp is None:
            continue
        container.seek(stamp, stream=stream, backward=True, any_frame=False)
        packets = container.demux(stream)
        first = next(packets, None)
        if first is not None and first.pts == key.pts:
            return chain([first], packets)
    raise _CannotSeek


def _by_seeking(path: Path, indices: list[int]) -> Iterator[Frame]:
    """The frames, each decoded from the last key frame before it."""
    stamps, keys = _survey(path)
    packets: Iterator[av.Packet] = iter(())
    ready: deque[av.VideoFrame] = deque()
    at: int | None = None  # the time stamp of the last frame decoded
    broken: _Key | None = None  # the key frame after which decoding failed
    problem = ""
    with _open(path) as container:
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
                        packets, at = _packets(container, key), None
                        ready.clear()
                    image = _decode_until(wanted, packets, ready)
                    at = wanted
                    yield _frame(index, image)
                    continue
                except av.error.FFmpegError as error:
                    at, broken = None, key
                    problem = f"{path}: damaged, cannot be decoded ({_why(error)})"
            yield Frame(index, None, problem)


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
                raise _CannotSeek
        packet = next(packets, None)
        if packet is None:
            raise _CannotSeek
        ready.extend(_decoded(packet))


def _decoded(packet: av.Packet) -> list[av.VideoFrame]:
    if packet.is_corrupt:  # cut short: decoded, its end would be made up
        raise av.error.InvalidDataError(1, "incomplete packet")
    return packet.decode()


def _in_order(path: Path, indices: list[int]) -> Iterator[Frame]:
    """The frames, by decoding everything and counting."""
    number = -1
    wanted = deque(indices)
    with _open(path) as container:
        try:
            for packet in container.demux(_stream(container)):
                for frame in _decoded(packet):
                    number += 1
                    if number == wanted[0]:
                        yield _frame(wanted.popleft(), frame)
                        if not wanted:
                            return
        except av.error.FFmpegError as error:
            # What follows can no longer be counted.
            text = f"{path}: cannot be decoded from frame {number + 1} on ({_why(error)})"
            raise _Broken(text) from error
    raise _Broken(f"{path}: the video ends after {number + 1} frames")


def _orientation(frame: av.VideoFrame) -> tuple[bool, bool, bool]:
    """By the file's display matrix: transpose the image; then turn over its rows, its columns."""
    data = frame.side_data.get(SideData.DISPLAYMATRIX)
    if data is None:
        return False, False, False
    a, b, _, c, d, *_ = np.frombuffer(bytes(data), np.int32).tolist()
    # A pixel at (x, y) is shown at (a x + c y, b x + d y).
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return False, d < 0, a < 0
    return True, b < 0, c < 0


def _degrees(transposed: bool, flip_rows: bool, flip_columns: bool) -> int:
    if transposed:
        return 90 if flip_rows else 270
    return 180 if flip_rows and flip_columns else 0


def _frame(index: int, frame: av.VideoFrame) -> Frame:
    notes = []
    components = frame.format.components
    rgb = frame.to_ndarray(format="rgb24")
    if any(c.bits > 8 for c in components):
        notes.append(f"reduced to 8 bits from {frame.format.name}")
    if any(c.is_alpha for c in components):
        notes.append("alpha dropped")
    if len(components) == 1 and not frame.format.has_palette:
        notes.append("greyscale")
    transposed, flip_rows, flip_columns = orientation = _orientation(frame)
    if any(orientation):
        rgb = rgb.transpose(1, 0, 2) if transposed else rgb
        rgb = np.ascontiguousarray(rgb[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1])
        if transposed == (flip_rows == flip_columns):
            notes.append("mirrored, as the file says")
        if degrees := _degrees(*orientation):
            notes.append(f"rotated by {degrees} degrees, as the file says")
    return Frame(index, rgb, note="; ".join(notes))

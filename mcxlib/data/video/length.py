"""How many frames a video has."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import av

from mcxlib.data.video.container import UnreadableVideo, open_video, video_stream
from mcxlib.data.video.decode import shown
from mcxlib.data.video.pictures import pictures_of


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
    if (pictures := pictures_of(path)) is not None:
        return Length(len(pictures))
    with open_video(path) as container:
        stream = video_stream(container, path)
        if stream.frames:
            frames = stream.frames
            if container.format.name.startswith("mov"):  # an edit list may leave frames out
                frames = sum(not entry.is_discard for entry in stream.index_entries)
            return Length(frames)
        return _counted(container, stream, path)


def _counted(container: av.container.InputContainer, stream: av.VideoStream, path: Path) -> Length:
    frames, end = 0, 0.0
    try:
        for packet in container.demux():
            if packet.size == 0:  # the end
                continue
            frames += packet.stream is stream and shown(packet)
            stamp = packet.dts if packet.pts is None else packet.pts
            if stamp is None:
                continue
            end = max(end, float((stamp + (packet.duration or 0)) * packet.time_base))
    except av.error.FFmpegError as error:
        raise UnreadableVideo(f"{path}: broken stream ({error})") from error
    stated = (container.duration or 0) / av.time_base
    two_frames = 2 / float(stream.average_rate or 25)
    problem = ""
    if stated - end > max(two_frames, 0.02 * stated):
        problem = f"{path}: cut short, it ends at {end:.2f} s of the {stated:.2f} s it states"
    return Length(frames, problem)

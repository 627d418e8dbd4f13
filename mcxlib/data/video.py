"""Video files -> RGB frames, by one of three sampling rules."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np


class UnreadableVideo(ValueError):
    """The file cannot be opened or holds no video; the message names it and why."""


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


def _open(path: Path) -> av.container.InputContainer:
    path = Path(path)
    if not path.is_file():
        raise UnreadableVideo(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise UnreadableVideo(f"{path}: the file is empty (0 bytes)")
    try:
        container = av.open(str(path))
    except (av.error.FFmpegError, OSError) as error:
        raise UnreadableVideo(f"{path}: not a readable video ({error})") from error
    if not container.streams.video:
        container.close()
        raise UnreadableVideo(f"{path}: the file has no video stream")
    return container


def frame_total(path: Path) -> int:
    """Frames in the video: what its container states, else counted by reading its packets."""
    with _open(path) as container:
        stream = container.streams.video[0]
        if stream.frames:
            return stream.frames
        try:
            return sum(1 for packet in container.demux(stream) if packet.pts is not None)
        except av.error.FFmpegError as error:
            raise UnreadableVideo(f"{path}: broken stream ({error})") from error


def read_frames(path: Path, indices: list[int]) -> Iterator[tuple[int, np.ndarray | None]]:
    """Yield ``(index, frame)`` for every index asked, ascending; RGB uint8, shape (H, W, 3).

    A frame that cannot be decoded (a truncated file, say) comes as ``None``, so that every frame
    asked for is accounted for. Decoding stops after the last one; memory holds one frame.
    """
    wanted = iter(indices)
    nxt = next(wanted, None)
    try:
        with _open(path) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            for number, frame in enumerate(container.decode(stream)):
                if nxt is None:
                    return
                if number == nxt:
                    rgb = frame.to_ndarray(format="rgb24")
                    turns = round(getattr(frame, "rotation", 0) / 90) % 4
                    yield nxt, np.ascontiguousarray(np.rot90(rgb, turns)) if turns else rgb
                    nxt = next(wanted, None)
    except av.error.FFmpegError:
        pass
    while nxt is not None:
        yield nxt, None
        nxt = next(wanted, None)

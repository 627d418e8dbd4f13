"""What is done with a hostile file, in a process of its own: what it is, and its frames' pixels."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mcxlib.answer import facts
from mcxlib.answer.frames import choose, choose_clips
from mcxlib.answer.schema import Credentials
from mcxlib.data.video.container import UnreadableVideo
from mcxlib.data.video.kinds import junk, obstacle
from mcxlib.data.video.length import length
from mcxlib.data.video.pictures import pictures_of
from mcxlib.data.video.reader import read_frames
from mcxlib.data.video.seek import CannotSeek, timeline

MOST_BYTES = 32 << 30
MOST_FRAMES = 1_000_000
MOST_SECONDS = 12 * 3600.0
MOST_FILES = 100_000

_PART = 1 << 20
_NO_FILE = (0, 0, 0)


class Unreadable(ValueError):
    """Why a file or folder is not looked at."""


class Content(NamedTuple):
    """Which bytes a path stands for, so that they can be known again."""

    sha256: str
    """Of the file; of a folder, of its files' names and digests."""
    bytes: int
    stamp: tuple[tuple[int, int, int], ...]
    """Inode, size and time of change of what was read."""


class Look(NamedTuple):
    """What a file is, and which of its frames are to be fetched."""

    kind: str
    """As :attr:`mcxlib.answer.schema.Answer.kind`."""
    total: int
    indices: list[int]
    seconds: list[float | None]
    """Of each index."""
    note: str
    """What the choice of frames leaves out."""
    problem: str
    """What is wrong with the file's length."""
    found: dict[str, object]
    """Fields of :class:`mcxlib.answer.schema.FileFacts`."""
    credentials: Credentials
    stride: int = 1
    """As :attr:`mcxlib.answer.frames.Choice.stride`."""


class Got(NamedTuple):
    """A frame that was asked for, in the file that frames are written to."""

    number: int
    shape: tuple[int, int, int] | None
    """Height, width, 3; None if it cannot be had."""
    offset: int
    problem: str
    note: str


def content(path: Path) -> Content:
    """Digest of a file's bytes, or of a folder's files. Decodes nothing, and waits for nothing.

    Raises:
        Unreadable: no file or folder, empty, too large, or changing while it is read.
    """
    if not path.is_dir():
        digest, size, stamp = _digest(path)
        return Content(digest, size, (stamp,))
    files = _files(path)
    if len(files) > MOST_FILES:
        raise Unreadable(f"{len(files)} files are more than the {MOST_FILES} allowed")
    whole, size, stamps = hashlib.sha256(), 0, []
    for file in files:
        try:
            digest, each, stamp = _digest(file)
        except Unreadable as error:
            # Said again where it is read; here its place must count.
            digest, each, stamp = str(error), 0, _NO_FILE
        whole.update(f"{file.name}\0{digest}\n".encode("utf-8", "surrogateescape"))
        size += each
        stamps.append(stamp)
    return Content(whole.hexdigest(), size, tuple(stamps))


def changed(path: Path, before: Content) -> bool:
    """Whether a file, or one of a folder's files, is another one than it was."""
    try:
        files = _files(path) if path.is_dir() else [path]
        now = [_stamp(file.stat()) for file in files]
    except (OSError, Unreadable):
        return True
    return len(now) != len(before.stamp) or any(
        a != b for a, b in zip(now, before.stamp, strict=True) if b != _NO_FILE
    )


def _files(folder: Path) -> list[Path]:
    """What lies in a folder, whatever it may be: what is an image is found out elsewhere."""
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if not entry.is_dir())
    except OSError as error:
        raise Unreadable(error.strerror or str(error)) from error
    return [folder / name for name in names if not junk(name)]


def look(path: Path, every: int, most: int, clip: int = 1) -> Look:
    """What a path stands for and which frames are to be fetched, without decoding any.

    ``clip`` is how many consecutive frames are judged at once.

    Raises:
        Unreadable: it is neither video nor images, or longer than allowed.
    """
    try:
        images = pictures_of(path)
        total, problem = length(path)
    except UnreadableVideo as error:
        raise Unreadable(_own(error, path)) from error
    if images is not None:
        kind = "frames" if path.is_dir() else "image"
        keys, every = None, every if kind == "frames" else 0
        about = facts.of_image(images[0])
        seconds: list[float] = []
    else:
        kind = "video"
        about = facts.of_video(path)
        keys, seconds = _times(path, total, about)
        total = len(seconds) if keys else total
    choice = choose_clips(total, keys, clip, most) if clip > 1 else choose(total, keys, every, most)
    times = [seconds[i] if i < len(seconds) else None for i in choice.indices]
    if not choice.indices:
        raise Unreadable("the video has no frame")
    credentials = Credentials(state="not checked") if path.is_dir() else facts.credentials(path)
    problem = _own(problem, path)
    return Look(
        kind, total, choice.indices, times, choice.note, problem, about, credentials, choice.stride
    )


def fetch(path: Path, indices: list[int], out: Path, room: int) -> list[Got]:
    """Write frames one after another into ``out``: uint8 RGB, row by row, at most ``room`` bytes.

    Returns as many as there is room for, and at least one; the first ones of ``indices``.
    """
    found: list[Got] = []
    place = 0
    with open(out, "wb") as file:
        for index, image, problem, note in read_frames(path, indices):
            problem = _own(problem, path)
            if image is None:
                found.append(Got(index, None, place, problem, note))
                continue
            if found and place + image.nbytes > room:
                break
            file.write(np.ascontiguousarray(image).data)
            found.append(Got(index, image.shape, place, problem, note))
            place += image.nbytes
    return found


def _times(
    path: Path, total: int, about: dict[str, object]
) -> tuple[list[int] | None, list[float]]:
    """Key frames, and the time of each frame; None if frames have to be counted."""
    if total > MOST_FRAMES:
        raise Unreadable(f"{total} frames are more than the {MOST_FRAMES} allowed")
    seconds = about.get("seconds")
    if isinstance(seconds, float) and seconds > MOST_SECONDS:
        raise Unreadable(f"{seconds:.0f} s are longer than the {MOST_SECONDS:.0f} s allowed")
    try:
        found = timeline(path)
        return found.keys, found.seconds
    except CannotSeek:
        rate = about.get("frames_per_second")
        return None, [i / rate for i in range(total)] if isinstance(rate, float) and rate else []


def _digest(path: Path) -> tuple[str, int, tuple[int, int, int]]:
    if why := obstacle(path):
        raise Unreadable(why)
    try:
        # Should a pipe have come in its place meanwhile, opening it must not wait.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Unreadable(error.strerror or str(error)) from error
    with open(descriptor, "rb", buffering=0) as file:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise Unreadable("not a file any more")
        if before.st_size > MOST_BYTES:
            raise Unreadable(f"{before.st_size} bytes are more than the {MOST_BYTES} allowed")
        digest, size = hashlib.sha256(), 0
        try:
            while size <= before.st_size and (part := file.read(_PART)):
                digest.update(part)
                size += len(part)
        except OSError as error:
            raise Unreadable(error.strerror or str(error)) from error
        if size != before.st_size or _stamp(os.fstat(descriptor)) != _stamp(before):
            raise Unreadable("the file changes while it is read; wait until it is complete")
    return digest.hexdigest(), size, _stamp(before)


def _stamp(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_size, status.st_mtime_ns


def _own(problem: Exception | str, path: Path) -> str:
    """What is wrong, without the path, which an answer has anyway."""
    return str(problem).removeprefix(f"{path}: ").replace(f" '{path}'", "")

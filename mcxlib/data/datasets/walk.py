"""Folders of videos -> what lies in them, and why the rest is left out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from mcxlib.data.datasets.given import escaped
from mcxlib.data.video import kinds

LEAVES = "a link that leaves the data set's folder"
EMPTY_FOLDER = "an empty folder"
STRANGE = "a folder that belongs to no part"


class Item(NamedTuple):
    """A video, an image, or a folder of images."""

    path: Path
    bytes: int
    frames: tuple[Path, ...] = ()
    """Of a folder of images, in name order."""


class Refused(NamedTuple):
    """What is no video, and why. ``reason`` "" is what systems and tools leave beside videos: it
    is counted and not named."""

    path: Path
    reason: str


def why(error: OSError | ValueError) -> str:
    return f"cannot be read: {getattr(error, 'strerror', None) or error}"


def pictures(folder: Path) -> Item | Refused:
    """A folder of images as one video, whatever else lies beside the images."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if not kinds.junk(entry.name))
        files = [folder / name for name in names if escaped(name) == name]
        frames = tuple(f for f in files if f.is_file() and kinds.kind(f) == "image")
        size = sum(frame.stat().st_size for frame in frames)
    except (OSError, ValueError) as error:
        return Refused(folder, why(error))
    if not frames:
        return Refused(folder, "a folder without images" if names else EMPTY_FOLDER)
    return Item(folder, size, frames)


def file(path: Path, images: bool) -> Item | Refused:
    """A file that may be a video (or an image, if they count), looked at as little as needed."""
    name = path.name
    if escaped(name) != name:
        return Refused(path, "its name is not UTF-8")
    try:
        if what := kinds.special(path):
            return Refused(path, f"{what}, not a file")
        if kinds.junk(name):
            # A hidden video is somebody's; what macOS writes beside each file (._name) is not.
            hidden = not name.startswith("._") and _counts(path, images)
            return Refused(path, "a hidden file" if hidden else "")
        if not _counts(path, images):
            if path.suffix.lower() in kinds.ARCHIVE_SUFFIXES:
                return Refused(path, "an archive that is not unpacked")
            return Refused(path, "neither a video nor an image" if images else "not a video")
        return Item(path, path.stat().st_size)
    except (OSError, ValueError) as error:
        return Refused(path, why(error))


def _counts(path: Path, images: bool) -> bool:
    return kinds.kind(path) in (("video", "image") if images else ("video",))


class _Entries(NamedTuple):
    folders: list[Path]
    files: list[Path]
    refused: list[Refused]


class _Walk:
    """One pass over a part's folder; a folder is read once, however many links lead to it."""

    def __init__(self, root: Path, images: bool, follow_links: bool, beside: Iterable[str]):
        self.inside = root.resolve()
        self.images = images
        self.follow_links = follow_links
        self.beside = frozenset(beside)
        self.seen: set[Path] = set()

    def leaves(self, path: Path) -> bool:
        return path.is_symlink() and not path.resolve().is_relative_to(self.inside)

    def entries(self, here: Path) -> _Entries:
        """What lies in a folder, each once: folders, files, and what is neither."""
        out = _Entries([], [], [])
        with os.scandir(here) as found:
            names = sorted(entry.name for entry in found)
        for path in (here / name for name in names):
            try:
                if escaped(path.name) != path.name:
                    out.refused.append(Refused(path, "its name is not UTF-8"))
                elif self.leaves(path) and not self.follow_links:
                    out.refused.append(Refused(path, LEAVES))
                elif not path.exists():
                    out.refused.append(Refused(path, "a link to nothing"))
                elif path.is_dir():
                    if kinds.junk(path.name) or path.name in self.beside:
                        out.refused.append(Refused(path, ""))
                    else:
                        out.folders.append(path)
                else:
                    out.files.append(path)
            except OSError as error:
                out.refused.append(Refused(path, why(error)))
            except RuntimeError:
                out.refused.append(Refused(path, "a link that leads in a circle"))
        return out

    def visit(self, here: Path, top: bool) -> Iterator[Item | Refused]:
        real = here.resolve()
        if real in self.seen:
            yield Refused(here, "a link to a folder that is read already")
            return
        self.seen.add(real)
        try:
            folders, files, refused = self.entries(here)
        except OSError as error:
            yield Refused(here, why(error))
            return
        yield from refused
        looked_at = [file(path, self.images) for path in files]
        below = [item for folder in folders for item in self.visit(folder, top=False)]
        found = [item for item in looked_at if isinstance(item, Item)]
        if not top and self._frames(found, below):
            yield Item(here, sum(item.bytes for item in found), tuple(i.path for i in found))
            beside = (item for item in (*looked_at, *below) if isinstance(item, Refused))
            yield from (item if _remarkable(item) else item._replace(reason="") for item in beside)
            return
        named = any(item.reason for item in (*looked_at, *refused) if isinstance(item, Refused))
        if not (folders or found or named):
            yield Refused(here, EMPTY_FOLDER)
        yield from looked_at
        yield from below

    def _frames(self, found: list[Item], below: list[Item | Refused]) -> bool:
        """Whether a folder is one video's frames: images and no video in it, nothing below it.

        Notes beside the frames (landmarks, labels) are no videos of their own.
        """
        return (
            self.images
            and bool(found)
            and all(kinds.kind(item.path) == "image" for item in found)
            and not any(isinstance(item, Item) for item in below)
        )


def _remarkable(refused: Refused) -> bool:
    """Whether a file beside a video's frames is more than a note to them."""
    return refused.reason != "neither a video nor an image"


def walk(
    folder: Path, root: Path, images: bool, follow_links: bool, beside: Iterable[str] = ()
) -> Iterator[Item | Refused]:
    """Everything below ``folder`` in name order; links that leave ``root`` only if told to.

    Folders called as one of ``beside`` are passed over.
    """
    work = _Walk(root, images, follow_links, beside)
    if work.leaves(folder) and not follow_links:
        yield Refused(folder, LEAVES)
    elif os.path.isdir(folder):
        yield from work.visit(folder, top=True)


def strangers(
    base: Path, known: Iterable[str], beside: Iterable[str], images: bool
) -> Iterator[Refused]:
    """What lies beside the folders of the parts and belongs to none of them.

    ``known`` are the parts' folders below ``base``. On the way to each, every other folder is
    named, but for those of ``beside``, and every loose video.
    """
    ways: dict[str, set[str]] = {}
    for folder in known:
        steps = folder.split("/")
        for i, step in enumerate(steps):
            ways.setdefault("/".join(steps[:i]), set()).add(step)
    for way in sorted(ways):
        here = base / way
        if not os.path.isdir(here):
            continue
        try:
            with os.scandir(here) as entries:
                names = sorted(entry.name for entry in entries)
        except OSError as error:
            yield Refused(here, why(error))
            continue
        for name in names:
            path = here / name
            if name in ways[way] or name in beside or kinds.junk(name):
                continue
            if os.path.isdir(path):
                yield Refused(path, STRANGE)
            elif isinstance(file(path, images), Item):
                yield Refused(path, "lies in no part's folder")

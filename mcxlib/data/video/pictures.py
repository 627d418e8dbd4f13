"""Videos that are no video file: one image, or a folder of images in the order of their names."""

from __future__ import annotations

import re
from pathlib import Path

from mcxlib.data.video.container import UnreadableVideo, why
from mcxlib.data.video.frame import Frame
from mcxlib.data.video.images import UnreadableImage, read_image
from mcxlib.data.video.kinds import is_image, junk


def pictures_of(path: Path) -> list[Path] | None:
    """The images a path stands for; None for a video file.

    What systems leave beside a user's files is passed over, and so is what is no image.

    Raises:
        UnreadableVideo: a folder without an image, or that cannot be read.
    """
    try:
        if not path.is_dir():
            return [path] if is_image(path) else None
        images = [f for f in path.iterdir() if not junk(f.name) and is_image(f)]
    except OSError as error:
        raise UnreadableVideo(f"{path}: cannot be read ({why(error)})") from error
    if not images:
        raise UnreadableVideo(f"{path}: the folder holds no image")
    return sorted(images, key=_natural)


def picture(images: list[Path], index: int) -> Frame:
    """The image of a number, or why there is none."""
    if index >= len(images):
        return Frame(index, None, f"{images[-1].parent}: there are {len(images)} images")
    try:
        image, note = read_image(images[index])
    except UnreadableImage as error:
        return Frame(index, None, str(error))
    return Frame(index, image, note=note)


def _natural(path: Path) -> tuple[list[str | int], str]:
    """Sorts frame 10 after frame 9."""
    parts = re.split(r"(\d+)", path.name)  # every second part is a number
    return [int(p) if i % 2 else p for i, p in enumerate(parts)], path.name

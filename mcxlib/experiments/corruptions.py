"""What can happen to a video or a face box before a detector sees the face: kinds and levels.

All of it happens to the whole frame of the video, at the video's own size, and the face is cut out
afterwards: a file is compressed, shrunk or filmed badly before anybody looks for faces in it. What
is compressed at the crop's size would be another, weaker thing (a crop is a few blocks of a frame
enlarged or shrunk). The face's box stays that of the untouched frame, so that only the picture
changes; the last three kinds change the box alone.
"""

from __future__ import annotations

import difflib
import math
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd

VERSION = 1
"""Rises when the same level gives other pixels; what was stored before is then made again."""

Level = float | str
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Corruption:
    """One kind of harm and its levels, from weak to strong or from low to high."""

    name: str
    title: str
    """In words, for a panel."""
    unit: str
    """What a level counts."""
    words: str
    """A level in a sentence; {} stands for the level."""
    levels: tuple[Level, ...]
    """The full grid."""
    few: tuple[Level, ...]
    """The reduced grid."""
    stated: Level
    """The level at which detectors are compared in words: strong, and still to be met."""
    low: float = 0.0
    high: float = math.inf
    """Levels that make sense."""
    whole: bool = False
    """Whether a level is a whole number."""
    two_sided: bool = False
    """Whether levels are factors below and above 1, which is nothing done."""


NONE = "none"
"""Name and level of the frames as they are."""

CORRUPTIONS = {
    kind.name: kind
    for kind in (
        Corruption("jpeg", "JPEG", "quality of libjpeg", "JPEG of quality {}",
                   (90, 70, 50, 30, 10), (70, 30), 30, 1, 100, whole=True),
        Corruption("h264", "H.264", "CRF of x264", "H.264 at CRF {}",
                   (23, 30, 35, 40, 45), (30, 40), 40, 0, 51, whole=True),
        Corruption("resize", "shrunk and enlarged", "share of width and height",
                   "shrinking to {} of width and height", (0.75, 0.5, 0.35, 0.25), (0.5, 0.25),
                   0.5, 0.01, 1),
        Corruption("blur", "Gaussian blur", "sigma in px of the frame",
                   "Gaussian blur of {} px", (0.5, 1, 1.5, 2, 3), (1, 2), 1, 0.01, 100),
        Corruption("noise", "Gaussian noise", "sd in grey levels of 255",
                   "Gaussian noise of {} grey levels", (2, 5, 10, 20, 30), (5, 20), 20, 0.01, 255),
        Corruption("brightness", "brightness", "factor", "brightness times {}",
                   (0.4, 0.6, 0.8, 1.25, 1.6, 2.0), (0.6, 1.6), 0.6, 0.01, 10, two_sided=True),
        Corruption("shift", "box shifted", "share of the box's longer side",
                   "shifting the box by {} of its side", (0.05, 0.1, 0.15, 0.2, 0.3), (0.1, 0.2),
                   0.1, 0.001, 1),
        Corruption("scale", "box scaled", "factor", "scaling the box by {}",
                   (0.7, 0.8, 0.9, 1.1, 1.25, 1.5), (0.8, 1.25), 1.25, 0.1, 10, two_sided=True),
        Corruption("detection", "face found anew", "MTCNN's search",
                   "finding the face anew ({})", ("fast", "exact"), (), "exact"),
    )
}  # fmt: skip
"""Kinds by name, in the order they are shown."""

OF_BOX = ("shift", "scale", "detection")
"""Those that change the box, not the picture."""

Grid = list[tuple[str, Level]]


def grid(full: bool = False) -> Grid:
    """(corruption, level) of the full grid or the reduced one, in order."""
    kinds = CORRUPTIONS.values()
    return [(kind.name, level) for kind in kinds for level in (kind.levels if full else kind.few)]


def parse(texts: Iterable[str]) -> Grid:
    """A grid from texts such as ``"jpeg=50,10"``; ``"jpeg"`` alone has all levels of the full grid.

    Raises:
        ValueError: an unknown corruption, or a level that makes no sense for it; names it.
    """
    found: Grid = []
    for text in texts:
        name, equals, levels = text.partition("=")
        kind = find(name.strip())
        given = [check(kind.name, level.strip()) for level in levels.split(",")] if equals else []
        found += [(kind.name, level) for level in (given or kind.levels)]
    return list(dict.fromkeys(found))


def listed() -> pd.DataFrame:
    """Every corruption to print: its name, the unit of its levels, the stated one and all."""
    return pd.DataFrame(
        {
            "corruption": kind.title,
            "a level is": kind.unit,
            "stated": text(kind.stated),
            "full grid": ", ".join(text(level) for level in kind.levels),
        }
        for kind in CORRUPTIONS.values()
    )


def find(name: str) -> Corruption:
    """The corruption of a name.

    Raises:
        ValueError: there is none; names the nearest.
    """
    if name not in CORRUPTIONS:
        near = difflib.get_close_matches(name, CORRUPTIONS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise ValueError(f"unknown corruption {name!r}{hint} Valid: {', '.join(CORRUPTIONS)}")
    return CORRUPTIONS[name]


def check(name: str, level: Level) -> Level:
    """``level`` of the corruption ``name``, as a number where it is one.

    Raises:
        ValueError: it is no level of it; says what would be.
    """
    kind = find(name)
    words = [known for known in kind.levels if isinstance(known, str)]
    if words:
        if level not in words:
            raise ValueError(f"{name}={level}: valid are {', '.join(words)}")
        return level
    number = "whole number" if kind.whole else "number"
    try:
        value = float(level)
    except ValueError:
        value = math.nan
    if not kind.low <= value <= kind.high or (kind.whole and value != round(value)):
        raise ValueError(
            f"{name}={level}: a level is a {number} from {kind.low:g} to {kind.high:g} "
            f"({kind.unit})"
        )
    return int(value) if value == round(value) else value


def key(name: str, level: Level) -> str:
    """The name a level is stored by: ``"jpeg=50"``."""
    return f"{name}={text(level)}"


def text(level: Level) -> str:
    """A level to print."""
    return level if isinstance(level, str) else f"{level:g}"


def order(name: str, levels: Iterable[str]) -> list[str]:
    """Stored levels of one corruption as they follow each other on an axis, with "none" in its
    place: at the beginning, or at 1 where levels are factors on both sides of it."""
    kind = find(name)
    known = [text(level) for level in kind.levels]
    rest = [level for level in levels if level != NONE]
    if all(isinstance(level, str) for level in kind.levels):
        return [NONE, *sorted(rest, key=known.index)]
    falling = not kind.two_sided and float(kind.levels[0]) > float(kind.levels[-1])
    rest.sort(key=float, reverse=falling)
    place = sum(float(level) < 1 for level in rest) if kind.two_sided else 0
    return [*rest[:place], NONE, *rest[place:]]


def draw(video: str, *more: int) -> np.random.Generator:
    """Random numbers of one video (or of one frame of it): the same on every machine."""
    return np.random.default_rng([zlib.crc32(video.encode()), *more])


def jpeg(frame: np.ndarray, quality: float) -> np.ndarray:
    """Through a baseline JPEG file with 4:2:0 colour, libjpeg's scale of quality."""
    options = [cv2.IMWRITE_JPEG_QUALITY, int(quality)]
    _, file = cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), options)
    seen = cv2.imdecode(file, cv2.IMREAD_COLOR)
    assert seen is not None, "OpenCV reads what it wrote"
    return cv2.cvtColor(seen, cv2.COLOR_BGR2RGB)


def resize(frame: np.ndarray, share: float) -> np.ndarray:
    """Shrunk to ``share`` of its width and height by averages over areas, and enlarged again by
    bilinear interpolation."""
    height, width = frame.shape[:2]
    small = max(1, round(share * width)), max(1, round(share * height))
    shrunk = cv2.resize(frame, small, interpolation=cv2.INTER_AREA)
    return cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_LINEAR)


def blur(frame: np.ndarray, sigma: float) -> np.ndarray:
    """A Gaussian of ``sigma`` px, mirrored at the frame's edges."""
    side = 2 * math.ceil(4 * sigma) + 1
    return cv2.GaussianBlur(frame, (side, side), sigma, borderType=cv2.BORDER_REFLECT_101)


def noise(frame: np.ndarray, deviation: float, rng: np.random.Generator) -> np.ndarray:
    """Independent Gaussian noise on every value of every pixel, in grey levels of 255."""
    return _as_bytes(frame + rng.normal(0, deviation, frame.shape))


def brightness(frame: np.ndarray, factor: float) -> np.ndarray:
    """Every value times ``factor``, and cut off at 255."""
    return _as_bytes(frame * float(factor))


def _as_bytes(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def shifted(box: Box, share: float, angle: float) -> Box:
    """The box moved by ``share`` of its longer side towards ``angle`` (radians; 0 right, pi/2
    down)."""
    x1, y1, x2, y2 = box
    by = share * max(x2 - x1, y2 - y1)
    right, down = by * math.cos(angle), by * math.sin(angle)
    return x1 + right, y1 + down, x2 + right, y2 + down


def scaled(box: Box, factor: float) -> Box:
    """The box with sides ``factor`` times as long, around the same centre."""
    x1, y1, x2, y2 = box
    wider, higher = (factor - 1) * (x2 - x1) / 2, (factor - 1) * (y2 - y1) / 2
    return x1 - wider, y1 - higher, x2 + wider, y2 + higher


def angle_of(video: str) -> float:
    """The direction in which the boxes of a video are shifted: one for all of its frames, as a
    face finder errs, and another for another video, so that no side is favoured."""
    return float(draw(video).uniform(0, 2 * math.pi))


_PICTURE: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "jpeg": jpeg,
    "resize": resize,
    "blur": blur,
    "brightness": brightness,
}


def picture(frame: np.ndarray, name: str, level: Level, video: str, index: int) -> np.ndarray:
    """A frame, uint8 RGB (H, W, 3), with a corruption of single frames applied; those of boxes,
    "h264" (of sequences) and "none" leave it as it is."""
    if name == "noise":
        return noise(frame, float(level), draw(video, index))
    return _PICTURE[name](frame, float(level)) if name in _PICTURE else frame


def moved(box: Box, name: str, level: Level, video: str) -> Box:
    """A face's box, shifted or scaled; for other corruptions as it is."""
    if name == "shift":
        return shifted(box, float(level), angle_of(video))
    return scaled(box, float(level)) if name == "scale" else box

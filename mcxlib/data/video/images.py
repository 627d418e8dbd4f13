"""Image files -> RGB, whatever they are stored as, with a note on what was changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from mcxlib.data.video import cut
from mcxlib.data.video.kinds import MAX_PIXELS, obstacle

ENOUGH = 0.5
"""Of a picture that was cut short, the share of its rows from which on it is used."""

_ORIENTATION = 0x0112  # the EXIF tag; 1 is upright, 2 to 8 are turned or mirrored


class UnreadableImage(ValueError):
    """The file cannot be read as an image; the message names it and why."""


def read_image(path: Path) -> tuple[np.ndarray, str]:
    """An image file as RGB uint8 (H, W, 3), and what was done to get there ("" for nothing).

    The EXIF orientation is applied, 16 bits are scaled to 8, transparent pixels are shown on
    black, and greyscale, palette and CMYK images become RGB. Of a JPEG or PNG that was cut short,
    the rows that are there are the picture, H being less than it was, if they are at least
    ``ENOUGH`` of all; the note says how many.

    Raises:
        UnreadableImage: missing, empty, not a file or not an image, too much of it missing, or of
            too many pixels.
    """
    with _opened(path) as image:
        notes = []
        # Colours of 16 bits are cut to their upper 8 by Pillow itself; only its plan of reading,
        # gone once the pixels are read (as the EXIF of a PNG file may ask for), still names them.
        if not image.mode.startswith("I") and any("16" in str(t.args) for t in image.tile):
            notes.append("16 bits reduced to 8")
        whole, missing = _loaded(image, Path(path))
        if whole.getexif().get(_ORIENTATION, 1) in range(2, 9):
            notes.append("EXIF orientation applied")
        pixels = _to_rgb(ImageOps.exif_transpose(whole), notes)
        return pixels, "; ".join([*notes, *missing])


def _loaded(image: Image.Image, path: Path) -> tuple[Image.Image, list[str]]:
    """The image with its pixels read, or what is there of them and a note on it."""
    kind = {"MPO": "JPEG"}.get(image.format, image.format)
    readers = {"JPEG": cut.jpeg, "PNG": cut.png}
    try:
        image.load()
        if kind not in readers or cut.ends(path, kind):
            return image, []
        # Pillow also decodes what it was not given: the rest of a JPEG is grey then.
        found = readers[kind](path.read_bytes())
        if found is None:
            return image, [cut.END_MISSING]
    except (OSError, SyntaxError):
        found = readers[kind](path.read_bytes()) if kind in readers else None
        if found is None:
            raise
    if found.image is None or found.share < ENOUGH:
        raise UnreadableImage(f"{path}: not a readable image ({found.reason})")
    return found.image, [found.reason]


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    path = Path(path)
    if why := obstacle(path):
        raise UnreadableImage(f"{path}: {why}")
    try:
        with Image.open(path) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise UnreadableImage(
                    f"{path}: {width} x {height} pixels are more than the {MAX_PIXELS} allowed"
                )
            yield image
    except (UnreadableImage, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise UnreadableImage(f"{path}: too many pixels ({error})") from error
    except Exception as error:
        # Pillow's readers meet broken files with errors of every kind.
        raise UnreadableImage(f"{path}: not a readable image ({error})") from error


def _to_rgb(image: Image.Image, notes: list[str]) -> np.ndarray:
    if image.mode.startswith("I") or image.mode == "F":
        # Pillow would cut off what is above 255.
        values = np.asarray(image, dtype=np.float64)
        deep = image.mode.startswith("I;16") or values.max(initial=0) > 255
        notes.append("greyscale")
        if deep:
            notes.append("16 bits reduced to 8")
            values = values / 257
        grey = np.rint(values).clip(0, 255).astype(np.uint8)
        return np.ascontiguousarray(np.repeat(grey[..., None], 3, axis=2))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        alpha = np.asarray(rgba.getchannel("A"))
        if alpha.min(initial=255) == 255:
            notes.append("opaque alpha channel dropped")
            return np.array(rgba.convert("RGB"))
        notes.append("transparent pixels shown on black")
        black = Image.new("RGBA", rgba.size, (0, 0, 0, 255))
        return np.array(Image.alpha_composite(black, rgba).convert("RGB"))
    if image.mode in ("L", "1"):
        notes.append("greyscale")
    elif image.mode != "RGB":
        notes.append(f"converted from {image.mode}")
    return np.array(image.convert("RGB"))

"""A plate as vector graphics: sharp at every size, letters as outlines, the same for the same data.

Pictures inside keep their own pixels. They are packed as WebP, which a page of faces needs.
"""

from __future__ import annotations

import base64
import io
import re

import numpy as np

from mcxlib.figures import carried
from mcxlib.figures.style import Plate, style

QUALITY = 88
"""Of the pictures inside, on WebP's scale to 100."""

LARGEST = 192
"""Pixels that a face has at most on a page: it is shown smaller than that."""

_DPI = 110
"""At which pictures are put in: an inch of page holds a crop of the demo as it is."""

_FEW = 16 * 16
"""Pixels of a picture that is kept as it is."""

# A hundredth of a point is finer than any screen.
_PATH, _LONG = re.compile(r' d="[^"]*"'), re.compile(r"(\.\d\d)\d+")
_RASTER = re.compile(r"data:image/png;base64,\s*([A-Za-z0-9+/=\s]+)")


def svg(plate: Plate) -> str:
    """The figure as one SVG text without date or random names, with what it carries
    (:mod:`mcxlib.figures.carried`).

    Its size is the figure's, in points: 7 pt are 9.3 px on a screen.
    """
    buffer = io.StringIO()
    with style():
        import matplotlib

        # Outlines: the reader's machine need not have the font. The salt names clips and markers.
        matplotlib.rcParams.update({"svg.fonttype": "path", "svg.hashsalt": "mcx"})
        matplotlib.rcParams["image.composite_image"] = False
        about = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        about["Description"] = carried.text(plate, pictures=False)
        plate.figure.savefig(buffer, format="svg", metadata=about, dpi=_DPI)
    text = buffer.getvalue()
    text = _PATH.sub(lambda found: _LONG.sub(r"\1", found[0]), text[text.index("<svg") :])
    return _RASTER.sub(lambda found: _packed(found[1]), text)


def webp(image: np.ndarray, quality: int = QUALITY) -> str:
    """A picture (H, W, 3) uint8 as an address that holds it: ``data:image/webp;base64,...``."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="webp", quality=quality, method=6)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def tile(image: np.ndarray, largest: int = LARGEST) -> np.ndarray:
    """A picture to be shown: (3, H, W) or (H, W, 3), uint8 or [0, 1] -> (h, w, 3) uint8.

    Larger ones are reduced to ``largest`` pixels; none is enlarged.
    """
    from PIL import Image

    image = np.asarray(image)
    if image.shape[0] == 3 and image.shape[2] != 3:
        image = image.transpose(1, 2, 0)
    if image.dtype != np.uint8:
        image = np.rint(255 * image.clip(0, 1)).astype(np.uint8)
    height, width = image.shape[:2]
    factor = largest / max(height, width)
    if factor < 1:
        size = (round(width * factor), round(height * factor))
        image = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX))
    return image


def _packed(png: str) -> str:
    from PIL import Image

    with Image.open(io.BytesIO(base64.b64decode(png))) as picture:
        if picture.width * picture.height < _FEW:  # a matrix, whose colours are numbers
            return f"data:image/png;base64,{png}"
        return webp(np.asarray(picture.convert("RGB")))

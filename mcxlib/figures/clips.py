"""A person and the fakes made of them as moving pictures inside a page."""

from __future__ import annotations

import base64
import html
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mcxlib import pipeline
from mcxlib.figures.style import of
from mcxlib.figures.vector import webp

if TYPE_CHECKING:
    import pandas as pd

    from mcxlib.config import RunConfig

LONGEST = 48
"""Frames of a clip that are shown at most."""
WIDEST = 240
"""Pixels that a clip is wide at most."""
RATE = 8
"""Pictures a second: rendered clips last half a second, and are shown slowed down."""
_CRF = 24  # of H.264: what is small and still shows the traces

WORDS = {
    "real": "The original: nothing was changed.",
    "DF": "Deepfakes: the face of another, made anew by a decoder; it is softer than what "
    "surrounds it, inside an oval.",
    "F2F": "Face2Face: the same person with another's expression; the features are moved, and look "
    "warped at mouth and brows.",
    "FS": "FaceSwap: another's photograph laid over the face and bent to it; its edge and its "
    "light need not fit.",
    "NT": "NeuralTextures: only around the mouth is anything painted anew; all else is the "
    "original, pixel for pixel.",
}
"""What to look for in each class of FaceForensics++."""


class Clip(NamedTuple):
    """A video to be shown."""

    name: str
    frames: list[np.ndarray]
    """uint8 (h, w, 3) RGB; none if the file is not here."""


def one_person(config: RunConfig, dataset: str) -> list[Clip]:
    """The first test person of ``dataset`` who is there in every class: real first.

    Of data that show nobody both real and fake: the first video of each class.
    """
    at = pipeline.plan(config, dataset)
    videos = pipeline.ensure_manifest(config, dataset)
    chosen = _of_one(videos[videos["split"] == "test"])
    return [
        Clip(str(row.manipulation), _frames(at.root / str(row.path))) for row in chosen.itertuples()
    ]


def read(path: Path) -> Clip:
    """A video, picture or folder of frames, without a word about its class."""
    return Clip(path.stem, _frames(path))


def _of_one(videos: pd.DataFrame) -> pd.DataFrame:
    kinds = videos.groupby("target_id")["manipulation"].nunique()
    first = kinds[kinds == kinds.max()].index[0]
    person = videos[videos["target_id"] == first] if kinds.max() > 1 else videos
    # The order of the manifest, but the real one before its fakes.
    return person.drop_duplicates("manipulation").sort_values("is_fake", kind="stable")


def _frames(path: Path) -> list[np.ndarray]:
    import cv2

    from mcxlib.data.video.reader import read_frames

    if not path.exists():
        return []
    frames = []
    for frame in read_frames(path, list(range(LONGEST))):
        if frame.image is None:
            break
        height, width = frame.image.shape[:2]
        factor = min(1.0, WIDEST / width)
        # H.264's colours need even sides.
        size = (round(width * factor / 2) * 2, round(height * factor / 2) * 2)
        frames.append(cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA))
    return frames


def page(clips: Sequence[Clip], source: str = "") -> str:
    """The clips as HTML that needs no other file: H.264, a still where it does not play.

    Raises:
        ValueError: no clip has a frame; names the classes.
    """
    if not any(clip.frames for clip in clips):
        names = ", ".join(clip.name for clip in clips)
        raise ValueError(f"none of the videos ({names}) can be read; are they still there?")
    parts = "".join(_figure(clip, source) for clip in clips)
    return (
        '<div style="display:grid;grid-template-columns:repeat(auto-fit,minmax(13rem,1fr));'
        f'gap:0.8rem">{parts}</div>'
    )


def _figure(clip: Clip, source: str) -> str:
    name, words = html.escape(clip.name), html.escape(WORDS.get(clip.name, ""))
    shown = "<p>This video cannot be read here.</p>"
    if clip.frames:
        still = webp(clip.frames[0], 75)
        alt = html.escape(f"Still of the {clip.name} clip{of(source)}. {WORDS.get(clip.name, '')}")
        shown = (
            f'<video controls loop muted playsinline preload="metadata" poster="{still}" '
            f'aria-label="{name} clip{html.escape(of(source))}" style="width:100%">'
            f'<source src="data:video/mp4;base64,{_encoded(clip.frames)}" type="video/mp4">'
            f'<img src="{still}" alt="{alt}"></video>'
        )
    style = "text-align:left"
    caption = f'<figcaption style="{style}"><strong>{name}</strong> {words}</figcaption>'
    return f'<figure style="margin:0;max-width:20rem">{shown}{caption}</figure>'


def _encoded(frames: list[np.ndarray]) -> str:
    from mcxlib.synthetic.encode import write_video

    with tempfile.TemporaryDirectory(prefix="mcx-") as folder:
        path = Path(folder) / "clip.mp4"
        write_video(path, frames, RATE, _CRF)
        return base64.b64encode(path.read_bytes()).decode()

"""One trace at a time, of known place and strength, in otherwise untouched frames of drawn people.

A forgery leaves many traces at once, so nobody can say which of them a detector uses. Here each is
made alone: a :class:`Face` is a camera's own 8-bit frame, and :func:`alter` changes one property
of it, inside one region, by so and so much. Outside the region every pixel stays what it was, and
strength 0 changes nothing at all. Nothing is encoded afterwards: what would survive a video codec
is another question.

Steps between altered and untouched are soft (the renderer's own blending masks), so that a shift
of colour has no edge; the seam is the edge alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from types import MappingProxyType

import cv2
import numpy as np

from .clip import Clip, frame_maps, plan_clip, render_frame
from .manipulate import Canonical, Recipe, blend

SIDE = 96
"""Pixels of a crop's side. Crops are cut at the frame's own resolution, never resized."""

_FRAME = 144  # pixels of a frame's side; a head unit is about 53 of them
_DOWN = 0.12  # head units from the head's origin to the centre of a crop
_BAND = 10.0  # px; how far a seam reaches inwards
_FADE = 3.5  # px; over which it falls to 1/e
_CLEAN = "clean"


@dataclass(frozen=True, eq=False)
class Face:
    """An untouched crop and what is known of it."""

    clip: Clip
    index: int
    """Frame of the clip."""
    corner: tuple[int, int]
    """Top and left of the crop in its frame, in pixels."""
    image: np.ndarray
    """uint8 RGB (SIDE, SIDE, 3)."""
    alphas: dict[str, np.ndarray]
    """Region -> how much of each pixel belongs to it: float32 (SIDE, SIDE) in [0, 1]."""
    _cache: dict[str, np.ndarray]

    def rendered(self, clip: Clip) -> np.ndarray:
        """The same crop of the same frame of another version of the clip."""
        return _cut(render_frame(clip, self.index), self.corner)

    @property
    def clean(self) -> np.ndarray:
        """The crop as a camera without noise would have taken it."""
        if _CLEAN not in self._cache:
            camera = replace(self.clip.camera, noise=0.0)
            self._cache[_CLEAN] = self.rendered(replace(self.clip, camera=camera))
        return self._cache[_CLEAN]


def faces(seed: int, people: Iterable[int], frames: int) -> list[Face]:
    """``frames`` consecutive frames (0.1 s apart) of each person, person by person.

    People are numbers; the same seed and number give the same person, another number or seed
    another one, and none of them is one of the demonstration's.
    """
    cv2.setNumThreads(1)  # one thread is repeatable, and studies run side by side
    found = []
    for person in people:
        key = (seed, 9, person)
        clip = plan_clip(key, (*key, 0), max(2, frames), _FRAME, _FRAME)
        tools = Canonical(clip)
        squares = {"face": blend("F2F", tools, Recipe()), "mouth": blend("NT", tools, Recipe())}
        found += [_face(clip, squares, index) for index in range(frames)]
    return found


def _face(clip: Clip, squares: dict[str, np.ndarray], index: int) -> Face:
    pose = clip.states[index].pose
    room = _FRAME - SIDE
    middle = (pose.cy + _DOWN * pose.scale, pose.cx)
    top, left = (int(np.clip(round(m - SIDE / 2), 0, room)) for m in middle)
    maps = frame_maps(clip, index)
    alphas = {
        name: _cut(cv2.remap(square.astype(np.float32), *maps, cv2.INTER_LINEAR), (top, left))
        for name, square in squares.items()
    }
    alphas["contour"] = _band(alphas["face"])
    image = _cut(render_frame(clip, index), (top, left))
    return Face(clip, index, (top, left), image, alphas, {})


def _cut(frame: np.ndarray, corner: tuple[int, int]) -> np.ndarray:
    return frame[corner[0] : corner[0] + SIDE, corner[1] : corner[1] + SIDE].copy()


def _band(face: np.ndarray) -> np.ndarray:
    """1 just inside the face's contour, fading inwards; 0 outside it and deep inside."""
    depth = cv2.distanceTransform((face > 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    inside = (depth > 0) & (depth < _BAND)
    return np.where(inside, np.exp(-(depth - 1) / _FADE), 0).astype(np.float32)


@dataclass(frozen=True)
class Trace:
    """One property of a picture that a forgery can leave wrong."""

    name: str
    what: str
    """In words, for a table."""
    unit: str
    """What a strength of 1 is."""
    strengths: tuple[float, ...]
    """Five, rising."""
    change: Callable[[Face, float, np.random.Generator], np.ndarray]
    """(face, strength, generator) -> the crop if all of it had the trace: float32, 0 to 255."""
    region: str = "face"
    pairs: bool = False
    """It lies between two frames: of each pair of consecutive frames the second is altered."""


def alter(face: Face, trace: Trace, strength: float, rng: np.random.Generator) -> np.ndarray:
    """The face's crop with the trace in its region: uint8 RGB (SIDE, SIDE, 3).

    Args:
        strength: in the trace's unit, 0 or more; 0 gives the crop as it is.
        rng: draws what is random about a trace (the sign of a flicker).

    Raises:
        ValueError: a negative strength.
    """
    if strength < 0:
        raise ValueError(f"a strength is 0 or more, not {strength:g} ({trace.name})")
    if strength == 0:
        return face.image.copy()
    before = face.image.astype(np.float32)
    change = trace.change(face, strength, rng).astype(np.float32) - before
    out = before + face.alphas[trace.region][..., None] * change
    return np.clip(np.floor(out + 0.5), 0, 255).astype(np.uint8)


def mask(face: Face, trace: Trace) -> np.ndarray:
    """Where a trace may alter the crop: bool (SIDE, SIDE)."""
    return face.alphas[trace.region] > 0


def _within(image: np.ndarray, change: np.ndarray) -> np.ndarray:
    """``image`` + ``change``, each pixel's change shortened so that no channel leaves [0, 255]:
    clipping one channel would turn a change of luma into one of chroma, too."""
    room = np.where(change > 0, 255 - image, image)
    share = np.divide(room, np.abs(change), out=np.ones_like(room), where=change != 0)
    return image + np.minimum(share.min(-1, keepdims=True), 1) * change


def _luma(face: Face, strength: float, rng: np.random.Generator) -> np.ndarray:
    image = face.image.astype(np.float32)
    return _within(image, np.full_like(image, strength))


def _chroma(face: Face, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Cr up and Cb down by the strength, Y' kept (BT.601, full range)."""
    image = face.image.astype(np.float32)
    cb, cr = -strength, strength
    step = np.array([1.402 * cr, -0.344136 * cb - 0.714136 * cr, 1.772 * cb], np.float32)
    return _within(image, np.broadcast_to(step, image.shape))


def _lab(axis: int) -> Callable[[Face, float, np.random.Generator], np.ndarray]:
    def change(face: Face, strength: float, rng: np.random.Generator) -> np.ndarray:
        image = face.image.astype(np.float32)
        lab = cv2.cvtColor(image / 255, cv2.COLOR_RGB2Lab)
        before = 255 * cv2.cvtColor(lab, cv2.COLOR_Lab2RGB)
        lab[..., axis] += strength
        return _within(image, 255 * cv2.cvtColor(lab, cv2.COLOR_Lab2RGB) - before)

    return change


def _chroma_blur(face: Face, strength: float, rng: np.random.Generator) -> np.ndarray:
    planes = cv2.cvtColor(face.image.astype(np.float32) / 255, cv2.COLOR_RGB2YCrCb)
    planes[..., 1:] = cv2.GaussianBlur(planes[..., 1:], (0, 0), strength)
    return 255 * cv2.cvtColor(planes, cv2.COLOR_YCrCb2RGB)


def _resampling(face: Face, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Read between the pixels, as every warp of a face does: shifted by part of a pixel."""
    image = face.image.astype(np.float32)
    x, y = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    at = (np.float32(x + strength), np.float32(y + strength))
    return cv2.remap(image, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _sharpening(face: Face, strength: float, rng: np.random.Generator) -> np.ndarray:
    image = face.image.astype(np.float32)
    return image + strength * (image - cv2.GaussianBlur(image, (0, 0), 1.0))


def _no_noise(face: Face, strength: float, rng: np.random.Generator) -> np.ndarray:
    image = face.image.astype(np.float32)
    return image + strength * (face.clean.astype(np.float32) - image)


def _compression(face: Face, strength: float, rng: np.random.Generator) -> np.ndarray:
    return jpeg(face.image, 100 - round(strength)).astype(np.float32)


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """A crop through JPEG and back, colours not subsampled: what is lost is quantisation alone."""
    flags = [cv2.IMWRITE_JPEG_QUALITY, quality]
    flags += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    _, code = cv2.imencode(".jpg", image[..., ::-1], flags)
    return cv2.imdecode(code, cv2.IMREAD_COLOR)[..., ::-1]


def _mouth(face: Face, strength: float, rng: np.random.Generator) -> np.ndarray:
    """The same frame, light and grain, of a person whose mouth is wider: drawn, not warped."""
    person = replace(face.clip.person, mouth_w=face.clip.person.mouth_w * (1 + strength))
    head = replace(face.clip.head, person=person)
    return face.rendered(replace(face.clip, person=person, head=head)).astype(np.float32)


def _flicker(face: Face, strength: float, rng: np.random.Generator) -> np.ndarray:
    sign = 1 if rng.random() < 0.5 else -1
    image = face.image.astype(np.float32)
    return _within(image, np.full_like(image, sign * strength))


_LEVELS = "8-bit level"
_LAB = "unit of CIELab"

# Strengths go from what the floor of mcxlib.experiments.probe hardly sees to what it can hardly
# miss, by one trial with the people of seed 0.
_ALL = (
    Trace("luma", "luma shifted", _LEVELS, (2, 4, 8, 16, 32), _luma),
    Trace("chroma", "chroma shifted, luma kept", _LEVELS, (1, 2, 4, 8, 16), _chroma),
    Trace("lab-l", "L* shifted", _LAB, (1, 2, 4, 8, 16), _lab(0)),
    Trace("lab-a", "a* shifted", _LAB, (0.5, 1, 2, 4, 8), _lab(1)),
    Trace("lab-b", "b* shifted", _LAB, (0.5, 1, 2, 4, 8), _lab(2)),
    Trace("chroma-blur", "chroma blurred, luma kept", "px, sigma", (0.3, 0.4, 0.5, 0.7, 1),
          _chroma_blur),
    Trace("seam", "a seam along the contour", f"{_LEVELS} at the edge", (2, 4, 8, 16, 32), _luma,
          "contour"),
    Trace("resampling", "read between the pixels", "px, shift", (0.01, 0.02, 0.05, 0.1, 0.3),
          _resampling),
    Trace("sharpening", "sharpened", "share of the detail added", (0.05, 0.1, 0.2, 0.4, 0.8),
          _sharpening),
    Trace("noise", "sensor noise missing", "share of the noise taken out",
          (0.1, 0.2, 0.4, 0.7, 1), _no_noise),
    Trace("compression", "JPEG inside the face", "100 less the quality", (1, 2, 5, 10, 30),
          _compression),
    Trace("mouth", "the mouth too wide", "share of its width added", (0.1, 0.2, 0.35, 0.5, 0.8),
          _mouth, "mouth"),
    Trace("flicker", "brightness jumps between two frames", _LEVELS, (0.5, 1, 2, 4, 8), _flicker,
          pairs=True),
)  # fmt: skip

TRACES = MappingProxyType({trace.name: trace for trace in _ALL})
"""All traces by name. A flicker cannot be seen in one frame, where it is a shift of luma of either
sign: it is looked for between the two frames of a pair."""

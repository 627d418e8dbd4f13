"""The four manipulations, made from a target's finished frames.

Each works on the 8-bit frames of the real video: the face is unrolled to the canonical square with
the known pose, changed there, rolled back and blended in. Names as in FaceForensics++.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from .clip import Clip, draw_canonical, frame_maps
from .face import canonical_grid
from .paint import EXTENT, displacement, smoothstep, to_pixels
from .person import Expression, MouthCurves, Person, depth, half_width, landmarks


@dataclass(frozen=True)
class Recipe:
    """How strong the traces of each manipulation are; lengths in head units."""

    df_size: int = 34  # pixels of the decoder's square face
    df_rank: int = 7
    df_colour: float = 0.77  # 1 matches the target's mean and contrast fully
    df_feather: float = 0.14
    fs_size: int = 104  # pixels of the texture's square
    fs_sharp: float = 1.1
    fs_feather: float = 0.028
    fs_colour: float = 0.42
    f2f_smooth: float = 0.019
    f2f_contrast: float = 1.4  # local contrast added after smoothing
    nt_size: int = 17
    nt_rank: int = 2
    nt_extent: float = 1.2
    nt_tone: float = 0.18


Frames = list[np.ndarray]


class Canonical:
    """Unrolls frames of a clip to the canonical square and rolls changed squares back."""

    def __init__(self, clip: Clip):
        self.clip = clip
        self.n = clip.head.albedo.shape[0]
        self.x, self.y = canonical_grid(self.n)
        self.z = depth(clip.person, self.x, self.y)

    def unroll(self, frame: np.ndarray, index: int) -> np.ndarray:
        """The face of a frame, (n, n, 3) float32 in [0, 1]."""
        u, v = self.clip.states[index].pose.project(self.x, self.y, self.z)
        out = cv2.remap(
            frame,
            u.astype(np.float32),
            v.astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return out.astype(np.float32) / 255

    def paste(
        self, frame: np.ndarray, index: int, square: np.ndarray, mask: np.ndarray
    ) -> np.ndarray:
        """``frame`` with ``square`` (n, n, 3) blended in where ``mask`` (n, n) says."""
        map_x, map_y = frame_maps(self.clip, index)
        layer = np.dstack([square * mask[..., None], mask]).astype(np.float32)
        layer = cv2.remap(layer, map_x, map_y, cv2.INTER_LINEAR)
        out = frame * (1 - layer[..., 3:]) + 255 * layer[..., :3]
        return np.clip(out + 0.5, 0, 255).astype(np.uint8)

    def altered(self, index: int, mask: np.ndarray) -> np.ndarray:
        """Where :meth:`paste` blends anything in: bool (height, width)."""
        return (
            cv2.remap(mask.astype(np.float32), *frame_maps(self.clip, index), cv2.INTER_LINEAR) > 0
        )


def _match(
    square: np.ndarray, reference: np.ndarray, mask: np.ndarray, amount: float
) -> np.ndarray:
    """Shift and scale colours towards the reference's mean and deviation inside the mask."""
    inside = mask[::3, ::3] > 0.5  # a ninth of the pixels is plenty
    a, b = square[::3, ::3][inside], reference[::3, ::3][inside]
    mean_s, mean_r, dev_s, dev_r = a.mean(0), b.mean(0), a.std(0) + 1e-4, b.std(0) + 1e-4
    gain = 1 + amount * (np.clip(dev_r / dev_s, 0.5, 1.7) - 1)
    return (square - mean_s) * gain + mean_s + amount * (mean_r - mean_s)


def _oval(p: Person, x: np.ndarray, y: np.ndarray, inset: float, feather: float) -> np.ndarray:
    """The face from the brows to the chin, fading over ``feather``."""
    side = half_width(p, y) - inset - np.abs(x)
    top = y - (p.brow_y - 0.10 - 0.5 * inset)
    bottom = p.chin - 0.6 * inset - y
    # A smooth minimum rounds the corners.
    soft = -0.06 * np.log(np.exp(-side / 0.06) + np.exp(-top / 0.06) + np.exp(-bottom / 0.06))
    return smoothstep(0, feather, soft).astype(np.float32)


def blend(name: str, tools: Canonical, recipe: Recipe) -> np.ndarray:
    """How much of each point of the canonical square a manipulation replaces, (n, n) in [0, 1]."""
    p, x, y = tools.clip.person, tools.x, tools.y
    if name == "DF":
        return _oval(p, x, y, 0.05, recipe.df_feather)
    if name == "FS":
        return _oval(p, x, y, 0.07, recipe.fs_feather)
    if name == "F2F":
        return _oval(p, x, y, 0.05, 0.10)
    e = recipe.nt_extent
    reach = ((x / (0.40 * e)) ** 2 + ((y - p.mouth_y - 0.06) / (0.31 * e)) ** 2).astype(np.float32)
    mask = smoothstep(1.25, 0.72, reach) * smoothstep(
        p.eye_y + p.nose_len, p.eye_y + p.nose_len + 0.06, y
    )
    return mask * _oval(p, x, y, 0.02, 0.08)


def altered(target: Clip, name: str, recipe: Recipe) -> Frames:
    """Where each frame of a manipulated video was altered: uint8 (height, width), 0 or 255.

    By construction: everything else is the target's own frame, pixel for pixel.
    """
    tools = Canonical(target)
    mask = blend(name, tools, recipe)
    return [255 * tools.altered(k, mask).astype(np.uint8) for k in range(len(target.states))]


def _features(e: Expression, light: np.ndarray) -> np.ndarray:
    v = e.vector()
    return np.concatenate([[1.0], v, light, [v[0] ** 2, v[0] * v[1], v[2] ** 2]])


def _ridge(features: np.ndarray, pixels: np.ndarray, rank: int, penalty: float) -> tuple:
    """Low-rank linear decoder: features (k, f) -> pixels (k, d); returns (weights, basis, mean)."""
    mean = pixels.mean(0)
    centred = pixels - mean
    # Few rows, many pixels: the small Gram matrix has the same components as an SVD.
    size2, left = np.linalg.eigh(np.einsum("ik,jk->ij", centred, centred))
    left, size = left[:, ::-1][:, :rank], np.sqrt(np.maximum(size2[::-1][:rank], 1e-12))
    codes = left * size
    basis = np.einsum("ir,ik->rk", left, centred) / size[:, None]
    gram = features.T @ features + penalty * np.eye(features.shape[1])
    return np.linalg.solve(gram, features.T @ codes), basis, mean


def _decode(model: tuple, features: np.ndarray) -> np.ndarray:
    weights, basis, mean = model
    return np.einsum("r,rk->k", features @ weights, basis) + mean


_FACE_BOX = (-0.70, -0.45, 0.95)  # left, top, right = -left; bottom


def _crop(square: np.ndarray, left: float, top: float, side: float, size: int) -> np.ndarray:
    """Area-averaged square part of a canonical image."""
    n = square.shape[0]
    a = [round((v / EXTENT + 1) * n / 2) for v in (left, top, left + side, top + side)]
    return cv2.resize(square[a[1] : a[3], a[0] : a[2]], (size, size), interpolation=cv2.INTER_AREA)


def _spread(
    patch: np.ndarray,
    left: float,
    top: float,
    side: float,
    n: int,
    scale: np.ndarray,
    shift: np.ndarray,
) -> np.ndarray:
    """Put a low-resolution part back, its head coordinates mapped by v * scale + shift."""
    k = side / patch.shape[0]
    to_px = n / (2 * EXTENT)
    start = (np.array([left, top]) + k / 2) * scale + shift
    matrix = np.zeros((2, 3))
    matrix[0, 0], matrix[1, 1] = k * scale * to_px
    matrix[:, 2] = (start + EXTENT) * to_px - 0.5
    return cv2.warpAffine(
        patch.astype(np.float32),
        matrix,
        (n, n),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )


def deepfake(
    target: Clip, frames: Frames, donor: Clip, recipe: Recipe, rng: np.random.Generator
) -> Frames:
    """DF: the donor's face from a decoder learnt on the donor alone, driven by the target."""
    left, top, bottom = _FACE_BOX
    side = bottom - top
    rows, pixels = [], []
    for _ in range(40):
        state = donor.states[int(rng.integers(len(donor.states)))]
        e = Expression(
            mouth=rng.uniform(0, 1) ** 2,
            smile=rng.uniform(-0.3, 1),
            blink=float(rng.random() < 0.2) * rng.random(),
            brow=rng.uniform(-0.5, 1),
            gaze_x=rng.uniform(-1, 1),
            gaze_y=rng.uniform(-1, 1),
        )
        light = state.pose.light_in_head(state.light) + rng.normal(0, 0.2, 3)
        square = draw_canonical(donor, e, replace(state.pose, yaw=0.0, pitch=0.0), light)
        rows.append(_features(e, light))
        pixels.append(_crop(square[..., :3], left, top, side, recipe.df_size).ravel())
    model = _ridge(np.array(rows), np.array(pixels), recipe.df_rank, 0.5)
    tools = Canonical(target)
    t, d = target.person, donor.person
    # Aligned by eyes and mouth, as a face aligner would.
    sx = (t.eye_x / d.eye_x + t.mouth_w / d.mouth_w) / 2
    sy = (t.mouth_y - t.eye_y) / (d.mouth_y - d.eye_y)
    scale, shift = np.array([sx, sy]), np.array([0, t.eye_y - sy * d.eye_y])
    mask = blend("DF", tools, recipe)
    out = []
    for k, frame in enumerate(frames):
        state = target.states[k]
        light = state.pose.light_in_head(state.light)
        patch = _decode(model, _features(state.expression, light)).reshape(recipe.df_size, -1, 3)
        square = _spread(patch, left, top, side, tools.n, scale, shift)
        square = _match(square, tools.unroll(frame, k), mask, recipe.df_colour)
        out.append(tools.paste(frame, k, square, mask))
    return out


def face_swap(
    target: Clip, frames: Frames, donor: Clip, recipe: Recipe, rng: np.random.Generator
) -> Frames:
    """FS: one frame of the donor as texture, warped to the target's landmarks in every frame."""
    tools = Canonical(target)
    # The donor's most neutral frame.
    calm = min(
        range(len(donor.states)),
        key=lambda i: np.abs(donor.states[i].expression.vector()[:4]).sum(),
    )
    state = donor.states[calm]
    texture = draw_canonical(donor, state.expression, state.pose, state.light)[..., :3]
    if texture.shape[0] != tools.n:
        raise ValueError("target and donor clips differ in size; plan both for the same frames")
    # A small texture map, sharpened to look crisp.
    small = cv2.resize(texture, (recipe.fs_size,) * 2, interpolation=cv2.INTER_AREA)
    small = small + recipe.fs_sharp * (small - cv2.GaussianBlur(small, (0, 0), 1.5))
    texture = cv2.resize(small, (tools.n, tools.n), interpolation=cv2.INTER_LINEAR)
    source = landmarks(donor.person, state.expression)
    mask = blend("FS", tools, recipe)
    out = []
    for k, frame in enumerate(frames):
        goal = landmarks(target.person, target.states[k].expression)
        move = displacement(source, goal, tools.n)
        square = cv2.remap(
            texture,
            to_pixels(tools.x - move[..., 0], tools.n),
            to_pixels(tools.y - move[..., 1], tools.n),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        square = _match(square, tools.unroll(frame, k), mask, recipe.fs_colour)
        out.append(tools.paste(frame, k, square, mask))
    return out


def _open_mouth(
    square: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    p: Person,
    e: Expression,
    was: Expression,
    level: float,
) -> None:
    """Fill the gap between lips that a warp has pulled apart."""
    curves, before = MouthCurves(p, e), MouthCurves(p, was)
    gap = float(np.clip((curves.open - before.open) / 0.05, 0, 1))
    if not gap:
        return
    _, top, bottom, _ = curves.at(x)
    soft = 0.012
    hole = (
        smoothstep(-soft, soft, y - top)
        * smoothstep(-soft, soft, bottom - y)
        * (np.abs(x) < curves.half)
    )
    teeth = smoothstep(0.06, 0.045, y - top)
    inside = np.array([0.14, 0.05, 0.05]) + teeth[..., None] * np.array([0.56, 0.60, 0.56])
    square += (gap * hole)[..., None] * (inside * level - square)


def reenact(
    target: Clip, frames: Frames, donor: Clip, recipe: Recipe, rng: np.random.Generator
) -> Frames:
    """F2F: the target's own face warped to the donor's expression and drawn anew."""
    tools = Canonical(target)
    p, n = target.person, tools.n
    mask = blend("F2F", tools, recipe)
    per_unit = n / (2 * EXTENT)
    out = []
    for k, frame in enumerate(frames):
        was = target.states[k].expression
        driver = donor.states[k % len(donor.states)].expression
        now = replace(was, mouth=driver.mouth, smile=driver.smile, brow=driver.brow)
        square = tools.unroll(frame, k)
        move = displacement(landmarks(p, was), landmarks(p, now), n)
        square = cv2.remap(
            square,
            to_pixels(tools.x - move[..., 0], n),
            to_pixels(tools.y - move[..., 1], n),
            cv2.INTER_LINEAR,
        )
        level = float(np.linalg.norm(target.states[k].light)) * 0.7 + target.ambient
        _open_mouth(square, tools.x, tools.y, p, now, was, level)
        # Drawn from a fitted model: fine detail is lost, coarse shading comes out too strong.
        smooth = cv2.GaussianBlur(square, (0, 0), recipe.f2f_smooth * per_unit)
        coarse = cv2.resize(smooth, (n // 4, n // 4), interpolation=cv2.INTER_AREA)
        coarse = cv2.GaussianBlur(coarse, (0, 0), 0.055 * per_unit / 4)
        coarse = cv2.resize(coarse, (n, n), interpolation=cv2.INTER_LINEAR)
        square = smooth + recipe.f2f_contrast * (smooth - coarse)
        out.append(tools.paste(frame, k, square, mask))
    return out


def neural_texture(
    target: Clip, frames: Frames, donor: Clip, recipe: Recipe, rng: np.random.Generator
) -> Frames:
    """NT: only the mouth region, from a low-rank model of the target, driven by the donor."""
    tools = Canonical(target)
    p, n = target.person, tools.n
    side = 0.95
    left, top = -side / 2, p.mouth_y + 0.06 - side / 2
    rows, pixels = [], []
    for k, frame in enumerate(frames):
        state = target.states[k]
        v = state.expression.vector()
        rows.append(
            np.concatenate([[1.0], v[:2], [v[0] * v[1]], state.pose.light_in_head(state.light)])
        )
        pixels.append(_crop(tools.unroll(frame, k), left, top, side, recipe.nt_size).ravel())
    rows, pixels = np.array(rows), np.array(pixels)
    model = _ridge(rows, pixels, min(recipe.nt_rank, len(frames) - 1), 0.3)
    mask = blend("NT", tools, recipe)
    out = []
    for k, frame in enumerate(frames):
        driver = donor.states[k % len(donor.states)].expression
        row = rows[k].copy()
        row[1:4] = driver.mouth, driver.smile, driver.mouth * driver.smile
        # Not beyond what the target was seen doing: a linear model cannot extrapolate.
        row = np.clip(row, rows.min(0) - 0.1, rows.max(0) + 0.1)
        patch = _decode(model, row).reshape(recipe.nt_size, -1, 3)
        square = _spread(patch, left, top, side, n, np.ones(2), np.zeros(2))
        square = np.clip(square + recipe.nt_tone * (square - 0.5), 0, 1)
        out.append(tools.paste(frame, k, square, mask))
    return out


MANIPULATIONS = {"DF": deepfake, "F2F": reenact, "FS": face_swap, "NT": neural_texture}
"""Field name -> function (target clip, its frames, donor clip, recipe, rng) -> frames."""

"""One frame of a head in the canonical square: expression, eyes, mouth, light."""

from __future__ import annotations

import cv2
import numpy as np

from .head import Head
from .paint import displacement, grid, mix, smoothstep, to_pixels
from .person import Expression, MouthCurves, Person, landmarks

_GRIDS: dict[int, tuple[np.ndarray, np.ndarray]] = {}


def canonical_grid(n: int) -> tuple[np.ndarray, np.ndarray]:
    """``paint.grid``, kept: it is the same for every frame."""
    if n not in _GRIDS:
        _GRIDS[n] = grid(n)
    return _GRIDS[n]


def _dot(normals: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Cosines, without BLAS: its threads would fight with the other processes."""
    return cv2.transform(normals, np.asarray(direction, np.float32)[None])


def _window(n: int, x0: float, x1: float, y0: float, y1: float) -> tuple[slice, slice]:
    lo, hi = to_pixels(np.array([y0, x0]), n), to_pixels(np.array([y1, x1]), n)
    return (
        slice(max(int(lo[0]), 0), min(int(hi[0]) + 2, n)),
        slice(max(int(lo[1]), 0), min(int(hi[1]) + 2, n)),
    )


def _draw_eye(image: np.ndarray, p: Person, e: Expression, side: int) -> None:
    n = image.shape[0]
    cx, hw = side * p.eye_x, p.eye_w
    where = _window(n, cx - 1.5 * hw, cx + 1.5 * hw, p.eye_y - 0.16, p.eye_y + 0.12)
    x, y = (g[where] for g in canonical_grid(n))
    view, px = image[where], 2.5 / n
    skin = np.asarray(p.skin, np.float32)
    u = (x - cx) / hw * side  # -1 at the nose, 1 at the temple
    t = np.clip(np.abs(u), 0, 1)
    centre = p.eye_y - p.eye_tilt * hw * u / 2
    squint = 1 - 0.35 * max(e.smile, 0)
    lower = centre + 0.42 * p.eye_h * squint * (1 - t**2.2)
    lid = 1 - e.blink
    upper_open = centre - p.eye_h * (0.93 - 0.12 * max(e.smile, 0)) * (
        1 - np.abs(u - 0.08 * (1 - t)) ** 2.1
    )
    upper = lower + np.minimum(upper_open - lower, 0) * lid
    opening = smoothstep(-0.7 * px, 0.9 * px, y - upper) * smoothstep(
        -0.7 * px, 0.9 * px, lower - y
    )
    opening *= t < 1

    eyeball = np.empty_like(view)
    eyeball[:] = np.array([0.90, 0.87, 0.85], np.float32)
    eyeball *= (1 - 0.30 * np.clip(t, 0, 1) ** 2)[..., None]
    ix = cx + 0.035 * e.gaze_x
    iy = p.eye_y - 0.012 + 0.02 * e.gaze_y
    r = np.hypot(x - ix, y - iy)
    iris = np.asarray(p.iris, np.float32)
    radius = 0.050
    fibres = 1 + 0.25 * np.cos(np.arctan2(y - iy, x - ix) * 17) + 0.5 * (r / radius - 0.5)
    disc = smoothstep(radius + px, radius - px, r)
    mix(eyeball, iris[None, None] * 1.25 * fibres[..., None], disc)
    mix(eyeball, iris * 0.3, disc * smoothstep(0.72 * radius, radius, r) * 0.8)
    mix(eyeball, (0.02, 0.02, 0.02), smoothstep(0.023 + px, 0.023 - px, r))
    eyeball *= (0.55 + 0.45 * smoothstep(0.0, 0.045, y - upper))[..., None]
    glint = smoothstep(0.014 + px, 0.014 - px, np.hypot(x - ix + 0.018, y - iy + 0.018))
    mix(eyeball, (1.25, 1.25, 1.25), 0.9 * glint)

    # Lid of a closing eye, crease above it, both lash lines.
    closed = smoothstep(-px, px, y - upper_open) * smoothstep(-px, px, lower - y) * (t < 1)
    mix(view, skin * [0.86, 0.76, 0.74], 0.8 * closed * (1 - lid))
    crease = upper_open - 0.026 - 0.012 * (1 - t)
    reach = smoothstep(1.15, 0.85, np.abs(u))
    mix(view, skin * [0.42, 0.31, 0.29], 0.55 * reach * np.exp(-(((y - crease) / 0.009) ** 2)))
    mix(view, eyeball, opening)
    lash = np.exp(-(((y - upper + 0.003) / (0.009 + 0.004 * np.clip(u, 0, 1))) ** 2))
    mix(view, (0.07, 0.05, 0.05), 0.92 * lash * smoothstep(1.1, 0.9, np.abs(u)))
    lash = np.exp(-(((y - lower - 0.003) / 0.006) ** 2))
    mix(view, skin * [0.38, 0.26, 0.25], 0.55 * lash * smoothstep(1.05, 0.85, np.abs(u)))


def _draw_mouth(image: np.ndarray, p: Person, e: Expression) -> None:
    n = image.shape[0]
    curves = MouthCurves(p, e)
    reach = curves.half + 0.05
    where = _window(n, -reach, reach, p.mouth_y - 0.17, p.mouth_y + 0.34)
    x, y = (g[where] for g in canonical_grid(n))
    view, px = image[where], 2.5 / n
    skin, lips = np.asarray(p.skin, np.float32), np.asarray(p.lips, np.float32)
    t = np.clip(np.abs(x) / curves.half, 0, 1)
    top, inner_top, inner_bottom, bottom = curves.at(x)
    soft = 1.3 * px
    body = smoothstep(-soft, soft, y - top) * smoothstep(-soft, soft, bottom - y) * (t < 1)
    # Rounded lips: the upper one turns away from the light, the lower one catches it.
    across_low = np.clip((y - inner_bottom) / np.maximum(bottom - inner_bottom, 0.004), 0, 1)
    across_up = np.clip((inner_top - y) / np.maximum(inner_top - top, 0.004), 0, 1)
    shade = np.where(y < (inner_top + inner_bottom) / 2, 0.70 + 0.20 * across_up,
                     0.86 + 0.26 * np.sin(np.pi * across_low**0.8) - 0.12 * across_low)  # fmt: skip
    wrinkle = 1 + 0.05 * np.sin(x * 210 + 3 * np.sin(x * 37))
    mix(view, lips * (shade * wrinkle)[..., None], 0.88 * body)
    hole = smoothstep(-0.6 * soft, 0.6 * soft, y - inner_top) * smoothstep(
        -0.6 * soft, 0.6 * soft, inner_bottom - y
    )
    hole = hole * (t < 1) * min(1.0, curves.open / 0.012)
    cavity = np.empty_like(view)
    cavity[:] = np.array([0.16, 0.05, 0.05], np.float32)
    tongue = np.exp(-((x / (0.6 * curves.half)) ** 2)) * smoothstep(
        0.45, 1.1, (y - inner_top) / max(curves.open, 0.02)
    )
    mix(cavity, (0.55, 0.24, 0.23), 0.8 * tongue)
    teeth = smoothstep(0.058, 0.046, y - inner_top) * smoothstep(0.92, 0.70, t)
    gaps = 1 - 0.18 * np.exp(-((((x / 0.043) - np.round(x / 0.043)) / 0.09) ** 2))
    ivory = np.array([0.90, 0.87, 0.80], np.float32) * (gaps * (1 - 0.45 * t**2))[..., None]
    ivory = ivory * (0.65 + 0.35 * smoothstep(0, 0.022, y - inner_top))[..., None]
    mix(cavity, ivory, teeth)
    mix(view, cavity, hole)
    seam = np.exp(-(((y - inner_top) / 0.008) ** 2)) * smoothstep(
        1.06, 0.9, np.abs(x) / curves.half
    )
    mix(view, lips * [0.34, 0.24, 0.24], 0.75 * seam * (1 - 0.5 * min(1.0, curves.open / 0.02)))
    for side in (-1, 1):
        corner = np.exp(
            -(((x - side * curves.half) / 0.016) ** 2) - ((y - curves.corner_y) / 0.016) ** 2
        )
        mix(view, skin * [0.45, 0.33, 0.31], 0.6 * corner)


def draw_face(head: Head, e: Expression, light: np.ndarray, ambient: float) -> np.ndarray:
    """The head with an expression, lit: (n, n, 4) float32 RGBA, premultiplied, linear in [0, ~1.2].

    ``light`` is the direction to the light in head coordinates times its strength, shape (3,);
    ``ambient`` the light that comes from everywhere.
    """
    p, n = head.person, head.albedo.shape[0]
    gx, gy = canonical_grid(n)
    shift = displacement(landmarks(p, Expression()), landmarks(p, e), n)
    map_x, map_y = to_pixels(gx - shift[..., 0], n), to_pixels(gy - shift[..., 1], n)
    albedo = cv2.remap(head.albedo, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    alpha = cv2.remap(head.alpha, map_x, map_y, cv2.INTER_LINEAR)
    skin = np.asarray(p.skin, np.float32)
    if e.smile > 0:
        mix(albedo, skin * [0.58, 0.45, 0.42], 0.45 * e.smile * np.clip(head.fold, 0, 1))
    for side in (-1, 1):
        _draw_eye(albedo, p, e, side)
    _draw_mouth(albedo, p, e)

    lambert = _dot(head.normals, light)
    # A soft terminator, as light scatters in skin, and redder in the half-dark.
    wrapped = np.clip((lambert + 0.25) / 1.25, 0, None)
    shaded = np.empty((n, n, 4), np.float32)
    for c, (wrap, fill) in enumerate(((1.0, 1.0), (0.97, 0.96), (0.95, 0.95))):
        lit = wrapped * wrap + (1 - wrap) * np.clip(lambert, 0, None)
        shaded[..., c] = albedo[..., c] * (
            ambient * fill * (0.7 + 0.3 * head.normals[..., 2]) + lit
        )
    strength = float(np.linalg.norm(light)) + 1e-6
    half = light / strength + np.array([0, 0, 1.0])
    half /= np.linalg.norm(half)
    specular = cv2.pow(np.clip(_dot(head.normals, half), 0, 1), 24)
    shaded[..., :3] += (0.16 * strength * specular * head.gloss)[..., None]
    shaded[..., :3] *= alpha[..., None]
    shaded[..., 3] = alpha
    return shaded

"""What is behind and below a head: background, neck, shoulders, clothes."""

from __future__ import annotations

import cv2
import numpy as np

from .paint import blob, mix, noise, smoothstep
from .person import Person


def draw_background(kind: str, rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """An out-of-focus scene, float32 RGB in [0, 1], (height, width, 3)."""
    h, w = height // 2, width // 2
    y, x = np.mgrid[0 : 1 : h * 1j, 0 : 1 : w * 1j].astype(np.float32)
    hue = rng.uniform(0, 2 * np.pi)
    tint = 0.04 * np.cos(hue + np.array([0, 2.1, 4.2]))
    base = np.clip(rng.uniform(0.25, 0.75) + tint, 0.08, 0.95)
    image = np.empty((h, w, 3), np.float32)
    image[:] = base
    image *= (1 + 0.25 * (rng.uniform(-1, 1) * (x - 0.5) + rng.uniform(-1, 1) * (y - 0.5)))[
        ..., None
    ]
    blur = 3.6
    if kind == "outdoor":
        sky, ground = (
            np.array([0.62, 0.74, 0.88]),
            np.array([0.30, 0.40, 0.20]) * rng.uniform(0.7, 1.4),
        )
        horizon = rng.uniform(0.35, 0.7)
        image[:] = sky * (0.8 + 0.3 * y)[..., None]
        leaves = np.clip(
            0.6 + 0.25 * noise(rng, (h, w), (16, 22)) + 0.2 * noise(rng, (h, w), (40, 50)), 0.1, 1.3
        )
        edge = y + 0.06 * noise(rng, (h, w), (2, 9)) - horizon
        mix(image, ground * leaves[..., None], smoothstep(-0.06, 0.06, edge))
        blur = 2.2
    elif kind != "plain":
        for _ in range(int(rng.integers(4, 9))):
            colour = np.clip(base + rng.normal(0, 0.05, 3) + rng.normal(0, 0.15), 0.03, 0.97)
            x0, y0 = rng.uniform(-0.1, 0.95), rng.uniform(-0.2, 0.8)
            x1, y1 = x0 + rng.uniform(0.08, 0.45), y0 + rng.uniform(0.1, 0.7)
            corners = (np.array([x0, y0, x1, y1]) * [w, h, w, h]).astype(int)
            cv2.rectangle(
                image,
                tuple(map(int, corners[:2])),
                tuple(map(int, corners[2:])),
                colour.tolist(),
                -1,
            )
            if rng.random() < 0.4:
                cv2.line(
                    image, (int(corners[0]), 0), (int(corners[0]), h), (colour * 0.6).tolist(), 2
                )
    if kind == "bokeh":
        image *= 0.55
        image = cv2.GaussianBlur(image, (0, 0), 6.0)
        for _ in range(int(rng.integers(14, 30))):
            colour = np.array([1.0, rng.uniform(0.6, 0.95), rng.uniform(0.3, 0.8)]) * rng.uniform(
                0.4, 0.9
            )
            centre, radius = (
                (rng.uniform(0, 1, 2) * [w, h]).astype(int),
                int(h * rng.uniform(0.03, 0.09)),
            )
            spot = np.zeros((h, w), np.float32)
            cv2.circle(
                spot,
                tuple(map(int, centre)),
                radius,
                float(rng.uniform(0.25, 0.7)),
                -1,
                cv2.LINE_AA,
            )
            mix(image, colour, spot)
        blur = 1.0
    image = cv2.GaussianBlur(image, (0, 0), blur * h / 120)
    image *= (1 + 0.006 * noise(rng, (h, w), (30, 40)))[..., None]
    return np.clip(cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)


def draw_body(p: Person, rng: np.random.Generator, light_x: float, n: int) -> np.ndarray:
    """Neck and shoulders, (n, n, 4) premultiplied float32.

    The square shows x from -2 to 2 and y from 0.2 to 4.2 in head units.
    """
    x = ((np.arange(n) + 0.5) / n * 4 - 2).astype(np.float32)
    x, y = np.meshgrid(x, x + 2.2)
    px = 4 / n
    skin = np.asarray(p.skin, np.float32)
    neck_w = p.width * (0.60 if p.long_hair else 0.72)
    flare = 0.28 * smoothstep(0.85, 1.35, y) ** 2
    neck = smoothstep(-px, px, neck_w + flare - np.abs(x)) * smoothstep(0.25, 0.3, y)
    turn = np.clip(x / neck_w, -1.2, 1.2)
    light = 0.62 + 0.24 * np.sqrt(np.clip(1 - 0.6 * turn**2, 0, 1)) + 0.22 * turn * light_x
    light *= 1 - 0.50 * smoothstep(1.22, 0.80, y + 0.15 * turn * light_x)  # the chin's shadow
    light *= 1 + 0.05 * np.exp(-(((np.abs(x) - 0.18 * (1.6 - y)) / 0.05) ** 2))
    image = np.zeros((n, n, 4), np.float32)
    image[..., :3] = skin * light[..., None] * (1 + 0.03 * noise(rng, (n, n), (20, 20)))[..., None]
    image[..., 3] = neck
    # Shoulders and clothes.
    shoulder = rng.uniform(1.30, 1.48) * (0.94 if p.long_hair else 1.08)
    slope = (
        1.14
        + 0.34 * (np.abs(x) / shoulder) ** 1.7
        - 0.12 * np.exp(-(((np.abs(x) - 0.30) / 0.16) ** 2))
    )
    torso = smoothstep(-px, px, y - slope) * smoothstep(
        -px, px, shoulder - np.abs(x) + 0.05 * (y - 2)
    )
    if rng.random() < 0.5:  # V-neck
        collar = smoothstep(-px, px, y - 1.10 - 1.5 * np.maximum(0.40 - np.abs(x), 0))
    else:
        collar = smoothstep(-px, px, (x / 0.50) ** 2 + ((y - 1.05) / 0.26) ** 2 - 1)
    cloth = torso * collar
    colour = np.clip(rng.uniform(0.12, 0.75) + 0.10 * rng.standard_normal(3), 0.04, 0.92)
    weave = 1 + 0.05 * noise(rng, (n, n), (90, 90)) + 0.06 * noise(rng, (n, n), (7, 7))
    if rng.random() < 0.3:
        weave = weave * (1 - 0.3 * smoothstep(0.3, 0.5, np.abs((y * rng.uniform(3, 6)) % 1 - 0.5)))
    shade = 0.72 + 0.16 * x / shoulder * light_x + 0.20 * np.exp(-(((y - slope) / 0.35) ** 2))
    shade *= 1 - 0.25 * blob(x, y, 0, 1.15, 0.5, 0.25)
    mix(image[..., :3], colour * (weave * shade)[..., None], cloth)
    hem = np.exp(-(((collar - 0.5) / 0.45) ** 2)) * torso
    mix(image[..., :3], colour * 0.45, 0.5 * hem)
    image[..., 3] = np.maximum(image[..., 3] * smoothstep(1.75, 1.5, y), np.maximum(cloth, torso))
    image[..., :3] *= image[..., 3:]
    return image

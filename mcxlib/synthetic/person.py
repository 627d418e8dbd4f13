"""Who is drawn: proportions and colours of a person, and where the landmarks lie.

Head coordinates are used throughout: x to the right and y down, both about -0.9 to 0.9 over the
head, the origin between the eyes and the nose; z towards the viewer. One unit is half the head.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

# Light, medium and dark complexions, sRGB in [0, 1]; a person lies between two neighbours.
_SKIN = np.array(
    [
        [0.96, 0.80, 0.71],
        [0.90, 0.70, 0.58],
        [0.80, 0.58, 0.44],
        [0.64, 0.43, 0.31],
        [0.46, 0.30, 0.22],
    ]
)
_HAIR = np.array(
    [
        [0.09, 0.07, 0.06],
        [0.17, 0.11, 0.08],
        [0.32, 0.20, 0.12],
        [0.50, 0.33, 0.18],
        [0.70, 0.55, 0.33],
        [0.46, 0.20, 0.10],
        [0.55, 0.54, 0.53],
    ]
)
_IRIS = np.array([[0.22, 0.13, 0.07], [0.32, 0.22, 0.11], [0.30, 0.42, 0.52], [0.32, 0.42, 0.28]])


@dataclass(frozen=True)
class Person:
    """Fixed traits of one person; lengths in head units, colours sRGB in [0, 1]."""

    seed: tuple[int, ...]
    female: bool
    width: float
    chin: float
    jaw: float
    squareness: float
    eye_x: float
    eye_y: float
    eye_w: float
    eye_h: float
    eye_tilt: float
    brow_y: float
    brow_thick: float
    brow_arch: float
    brow_dark: float
    nose_len: float
    nose_w: float
    mouth_y: float
    mouth_w: float
    lip_up: float
    lip_low: float
    hairline: float
    hair_volume: float
    hair_side: float
    parting: float
    long_hair: bool
    beard: float
    curl: float
    freckles: float
    blush: float
    age: float
    skin: tuple[float, float, float]
    hair: tuple[float, float, float]
    lips: tuple[float, float, float]
    iris: tuple[float, float, float]


def draw_person(seed: tuple[int, ...]) -> Person:
    """The person of a seed; the same seed gives the same person."""
    rng = np.random.default_rng([*seed, 101])
    u = rng.uniform
    female = bool(rng.random() < 0.5)
    tone = u(0, len(_SKIN) - 1.001)
    low = int(tone)
    skin = _SKIN[low] + (tone - low) * (_SKIN[low + 1] - _SKIN[low])
    skin = np.clip(skin * (1 + rng.normal(0, 0.02, 3)), 0, 1)
    # Fair hair and light eyes go with light skin only.
    hair = _HAIR[rng.integers(0, 7 if tone < 1.5 else 3)] * u(0.85, 1.15)
    iris = _IRIS[rng.integers(0, 4 if tone < 1.5 else 2)]
    rosy = np.array([0.74, 0.34, 0.34]) if female else np.array([0.78, 0.48, 0.43])
    lips = skin * 0.32 + rosy * (0.32 + 0.6 * skin.mean()) * 0.68
    eye_y = u(-0.06, 0.0)
    return Person(
        seed=tuple(seed),
        female=female,
        width=u(0.56, 0.61) if female else u(0.58, 0.65),
        chin=u(0.78, 0.85) if female else u(0.82, 0.92),
        jaw=u(0.20, 0.34) if female else u(0.08, 0.26),
        squareness=u(2.0, 2.5) if female else u(2.2, 3.1),
        eye_x=u(0.235, 0.275),
        eye_y=eye_y,
        eye_w=u(0.126, 0.148),
        eye_h=u(0.066, 0.084) if female else u(0.056, 0.074),
        eye_tilt=u(-0.04, 0.14),
        brow_y=eye_y - (u(0.15, 0.19) if female else u(0.125, 0.165)),
        brow_thick=u(0.016, 0.026) if female else u(0.026, 0.042),
        brow_arch=u(0.02, 0.055),
        brow_dark=u(0.6, 0.9),
        nose_len=u(0.255, 0.325),
        nose_w=u(0.078, 0.10) if female else u(0.09, 0.118),
        mouth_y=u(0.455, 0.50),
        mouth_w=u(0.175, 0.215),
        lip_up=u(0.042, 0.062) if female else u(0.030, 0.048),
        lip_low=u(0.058, 0.080) if female else u(0.044, 0.066),
        hairline=u(-0.60, -0.46),
        hair_volume=u(0.08, 0.17) if female else u(0.03, 0.16),
        hair_side=u(-0.15, 0.25),
        parting=u(-0.35, 0.35),
        long_hair=female and bool(rng.random() < 0.85),
        beard=0.0 if female else float(rng.choice([0.0, 0.15, 0.3, 0.8], p=[0.3, 0.3, 0.2, 0.2])),
        curl=float(rng.random() < 0.3) * u(0.5, 1.0),
        freckles=float(rng.random() < 0.3) * u(0.4, 1.0),
        blush=u(0.3, 1.0),
        age=u(0.1, 1.0),
        skin=tuple(map(float, skin)),
        hair=tuple(map(float, np.clip(hair, 0, 1))),
        lips=tuple(map(float, np.clip(lips, 0, 1))),
        iris=tuple(map(float, iris)),
    )


@dataclass(frozen=True)
class Expression:
    """What a face does in one frame; 0 is neutral, eyes open, looking ahead."""

    mouth: float = 0.0  # 0 closed to 1 wide open
    smile: float = 0.0  # -0.4 (sad) to 1
    blink: float = 0.0  # 0 open to 1 shut
    brow: float = 0.0  # -0.5 (frown) to 1 (raised)
    gaze_x: float = 0.0
    gaze_y: float = 0.0

    def vector(self) -> np.ndarray:
        """The parameters in order, shape (6,)."""
        return np.array([getattr(self, f.name) for f in fields(self)])

    def with_mouth_of(self, other: Expression) -> Expression:
        """This expression with another's mouth."""
        return replace(self, mouth=other.mouth, smile=other.smile)


def half_width(p: Person, y: np.ndarray) -> np.ndarray:
    """Half the width of the skull and jaw at height ``y``; 0 above and below the head."""
    top = np.sqrt(np.clip(1 - np.abs(np.minimum(y, 0) / 0.90) ** 2.3, 0, 1))
    t = np.clip(np.maximum(y, 0) / p.chin, 0, 1)
    bottom = np.clip(1 - t**p.squareness, 0, 1) ** 0.52 * (1 - p.jaw * t * t * (3 - 2 * t))
    return p.width * np.where(y < 0, top, bottom)


def depth(p: Person, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Smooth depth z of the head at (x, y), used to turn it; finite everywhere."""
    d2 = (x / p.width) ** 2 + (y / 0.95) ** 2
    nose = 0.15 * np.exp(-((x / 0.10) ** 2) - ((y - p.eye_y - 0.8 * p.nose_len) / 0.15) ** 2)
    return 0.60 * (1 - d2) / (1 + 0.22 * d2) + nose


class MouthCurves:
    """Outline of lips and mouth opening as functions of x, for one expression."""

    def __init__(self, p: Person, e: Expression):
        self.half = p.mouth_w * (1 + 0.24 * e.smile - 0.10 * e.mouth)
        self.corner_y = p.mouth_y - 0.055 * e.smile + 0.02 * e.mouth
        self.sag = 0.045 * e.smile  # the line between the lips hangs below the corners
        self.open = 0.20 * e.mouth
        thin = 1 - 0.25 * max(e.smile, 0)
        self.up, self.low = p.lip_up * thin, p.lip_low * thin

    def at(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """(outer top, inner top, inner bottom, outer bottom) in y, each shaped like ``x``."""
        t = np.clip(np.abs(x) / self.half, 0, 1)
        arc = 1 - t * t
        line = self.corner_y + self.sag * arc
        inner_top = line - 0.18 * self.open * arc
        inner_bottom = line + 0.82 * self.open * arc**0.8
        bow = 1 - 0.35 * np.exp(-((x / 0.028) ** 2))
        outer_top = inner_top - self.up * bow * (1 - t**1.6)
        outer_bottom = inner_bottom + self.low * arc**0.75
        return outer_top, inner_top, inner_bottom, outer_bottom


def landmarks(p: Person, e: Expression) -> np.ndarray:
    """Landmarks of an expression in head coordinates, shape (45, 2)."""
    points: list[tuple[float, float]] = []
    for side in (-1, 1):
        cx, hw = side * p.eye_x, p.eye_w
        lid = p.eye_h * (1 - e.blink)
        tilt = p.eye_tilt * hw
        points += [
            (cx - side * hw, p.eye_y + tilt / 2),
            (cx + side * hw, p.eye_y - tilt / 2),
            (cx, p.eye_y - 0.75 * lid),
            (cx, p.eye_y + 0.35 * p.eye_h),
        ]
        raised = p.brow_y - 0.055 * e.brow
        points += [
            (cx - side * 0.13, raised + 0.02),
            (cx, raised - p.brow_arch),
            (cx + side * 0.15, raised + 0.015),
        ]
        points.append((side * 0.34, 0.28 - 0.035 * e.smile))  # cheek
        points.append((side * p.nose_w, p.eye_y + p.nose_len - 0.01 * e.smile))
    points += [(0.0, p.eye_y + 0.05), (0.0, p.eye_y + p.nose_len)]
    mouth = MouthCurves(p, e)
    for f in (-1.0, -0.5, 0.0, 0.5, 1.0):
        top, inner_top, inner_bottom, bottom = mouth.at(np.array(f * mouth.half))
        points.append((f * mouth.half, float(top)))
        if abs(f) < 1:
            points += [
                (f * mouth.half, float(inner_top)),
                (f * mouth.half, float(inner_bottom)),
                (f * mouth.half, float(bottom)),
            ]
    drop = 0.13 * e.mouth
    neutral_chin = p.chin
    for f in (-0.75, -0.4, 0.0, 0.4, 0.75):
        y = neutral_chin * (1 - 0.35 * f * f) - 0.04
        points.append((f * p.width * 0.9, y + drop * (1 - 0.7 * f * f)))
    # Points that never move keep the warp local.
    for x, y in ((-0.6, -0.4), (0.6, -0.4), (-0.6, 0.1), (0.6, 0.1), (0.0, -0.55), (-0.35, -0.5),
                 (0.35, -0.5)):  # fmt: skip
        points.append((x, y))
    return np.array(points)

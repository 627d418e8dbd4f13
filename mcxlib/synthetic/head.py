"""A person's head without eyes and mouth: colours, surface and hair in the canonical square."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .paint import blob, grid, mix, noise, smoothstep
from .person import Person, half_width


@dataclass(frozen=True)
class Head:
    """Fixed images of one head, canonical square of side n.

    ``albedo`` (n, n, 3) skin and hair colour, ``alpha`` (n, n) coverage, ``normals`` (n, n, 3)
    unit vectors, ``gloss`` (n, n), ``fold`` (n, n) where a smile darkens, ``hair`` (n, n) how much
    of the pixel is hair, ``back`` (n, n, 4) premultiplied hair behind the head.
    """

    person: Person
    albedo: np.ndarray
    alpha: np.ndarray
    normals: np.ndarray
    gloss: np.ndarray
    fold: np.ndarray
    hair: np.ndarray
    back: np.ndarray


def _strands(p: Person, rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Brightness pattern of hair, fine across the strands and slow along them."""
    n = x.shape[0]
    angle = np.arctan2(x - p.parting * 0.5, 0.35 - y)  # 0 upwards, grows to the sides
    radius = np.hypot(x - p.parting * 0.5, y - 0.35)
    out = np.zeros_like(x)
    for across, along, weight in ((70, 4, 0.5), (150, 6, 0.35), (24, 3, 0.5)):
        table = noise(rng, (256, 1024), (along, across))
        u = (angle / np.pi * 0.5 + 0.5) * 1023 + 12 * np.sin(radius * 5)
        v = np.clip(radius / 1.8, 0, 1) * 255
        out += weight * cv2.remap(
            table, u.astype(np.float32), v.astype(np.float32), cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT,
        )  # fmt: skip
    if p.curl:  # curls: rounded clumps instead of strands
        clumps = noise(rng, (n, n), (46, 46)) + 0.6 * noise(rng, (n, n), (90, 90))
        out = out * (1 - 0.85 * p.curl) + 0.9 * p.curl * clumps
    shine = (1 - p.curl) * np.exp(-(((radius - 0.98) / 0.10) ** 2))
    return np.clip(1 + 0.30 * out + 0.45 * shine * (1 + 0.4 * out), 0.3, 2.4).reshape(n, n)


def _surface(p: Person, rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Height of the details on the skull's ellipsoid."""
    ny = p.eye_y + p.nose_len  # the nose's lower end
    along = np.clip((y - p.eye_y + 0.05) / (ny - p.eye_y + 0.05), 0, 1)
    ridge = (0.03 + 0.085 * along**1.3) * np.exp(-((x / (0.045 + 0.035 * along)) ** 2))
    ridge *= smoothstep(p.eye_y - 0.16, p.eye_y + 0.08, y) * (
        1 - smoothstep(ny - 0.05, ny + 0.05, y)
    )
    h = ridge + 0.05 * blob(x, y, 0, ny - 0.035, 0.06, 0.05)
    for side in (-1, 1):
        h += 0.045 * blob(x, y, side * p.nose_w * 0.82, ny - 0.02, 0.04, 0.042)
        h -= 0.075 * blob(x, y, side * p.eye_x, p.eye_y - 0.01, 0.15, 0.10)
        h += 0.030 * blob(x, y, side * p.eye_x, p.eye_y, 0.10, 0.06)
        h += 0.030 * blob(x, y, side * p.eye_x * 1.05, p.brow_y + 0.0, 0.17, 0.05)
        h += 0.045 * blob(x, y, side * 0.36, 0.20, 0.15, 0.13)
        h -= 0.020 * blob(x, y, side * (p.mouth_w + 0.05), p.mouth_y, 0.03, 0.09) * p.age
    h += 0.035 * blob(x, y, 0, p.mouth_y - 0.01, 0.22, 0.10)
    h -= 0.030 * blob(x, y, 0, p.mouth_y + 0.115, 0.12, 0.03)
    h += 0.045 * blob(x, y, 0, p.chin - 0.10, 0.13, 0.085)
    h -= 0.010 * blob(x, y, 0, (ny + p.mouth_y) / 2, 0.02, 0.05)
    n = x.shape[0]
    h += 0.0014 * noise(rng, (n, n), (44, 44)) + 0.0010 * noise(rng, (n, n), (100, 100))
    return h


def build_head(p: Person, n: int = 256) -> Head:
    """Paint the head of a person in a canonical square of ``n`` pixels."""
    return _Painter(p, n).paint()


class _Painter:
    """One head in the making: each method adds a layer, and takes its random numbers in turn."""

    def __init__(self, p: Person, n: int) -> None:
        self.p, self.n = p, n
        self.rng = np.random.default_rng([*p.seed, 202])
        self.x, self.y = grid(n)
        self.px = 2.5 / n
        self.skin = np.asarray(p.skin, np.float32)
        self.hair = np.asarray(p.hair, np.float32)
        self.w = half_width(p, self.y)
        self.ny = p.eye_y + p.nose_len
        self.albedo = self.base()

    def paint(self) -> Head:
        self.shades()
        self.marks()
        fold = self.folds()
        self.beard()
        self.brows()
        self.nostrils()
        normals = self.normals()
        inside, alpha = self.outline()
        strands = _strands(self.p, self.rng, self.x, self.y)
        coverage, back = self.locks(strands)
        alpha = np.maximum(alpha, coverage)
        # Beside the head there is no skin to shine through thin hair.
        mix(self.albedo, self.hair * strands[..., None], coverage / np.maximum(alpha, 1e-3))
        gloss = self.gloss() * (1 - coverage) * inside
        return Head(
            person=self.p,
            albedo=np.clip(self.albedo, 0, 1.3).astype(np.float32),
            alpha=alpha.astype(np.float32),
            normals=normals,
            gloss=gloss.astype(np.float32),
            fold=fold.astype(np.float32),
            hair=coverage.astype(np.float32),
            back=back,
        )

    def base(self) -> np.ndarray:
        """Skin with its irregular tone: (n, n, 3)."""
        tone = 0.020 * noise(self.rng, (self.n, self.n), (7, 7)) + 0.014 * noise(
            self.rng, (self.n, self.n), (30, 30)
        )
        tone += 0.020 * noise(self.rng, (self.n, self.n), (80, 80)) + 0.016 * noise(
            self.rng, (self.n, self.n), (170, 170)
        )
        albedo = self.skin * (1 + tone[..., None] * np.array([0.8, 1.0, 1.1], np.float32))
        mottle = noise(self.rng, (self.n, self.n), (16, 16)) * 0.02
        albedo[..., 0] *= 1 + mottle
        return albedo

    def shades(self) -> None:
        """Cheeks, eye sockets, nose and chin."""
        p = self.p
        red = np.array([1.06, 0.80, 0.78], np.float32) * self.skin
        for side in (-1, 1):
            mix(
                self.albedo,
                red,
                0.5 * p.blush * blob(self.x, self.y, side * 0.36, 0.20, 0.16, 0.12),
            )
            mix(
                self.albedo,
                self.skin * [0.72, 0.66, 0.70],
                0.45 * blob(self.x, self.y, side * p.eye_x, p.eye_y + 0.085, 0.12, 0.03),
            )
            mix(
                self.albedo,
                self.skin * [0.70, 0.60, 0.58],
                0.50 * blob(self.x, self.y, side * p.eye_x * 0.9, p.eye_y - 0.06, 0.14, 0.05),
            )
            mix(
                self.albedo,
                self.skin * [0.60, 0.48, 0.45],
                0.50 * blob(self.x, self.y, side * 0.115, p.eye_y - 0.01, 0.035, 0.09),
            )
            mix(
                self.albedo,
                self.skin * [0.6, 0.48, 0.44],
                0.45 * blob(self.x, self.y, side * (p.nose_w + 0.025), self.ny - 0.02, 0.022, 0.05),
            )
        mix(self.albedo, red, 0.35 * p.blush * blob(self.x, self.y, 0, self.ny - 0.03, 0.08, 0.05))
        mix(
            self.albedo,
            self.skin * [0.75, 0.64, 0.60],
            0.40 * blob(self.x, self.y, 0, self.ny + 0.045, 0.10, 0.03),
        )
        mix(
            self.albedo,
            self.skin * [0.72, 0.62, 0.60],
            0.45 * blob(self.x, self.y, 0, p.mouth_y + 0.11, 0.11, 0.03),
        )

    def marks(self) -> None:
        """Freckles and moles."""
        p = self.p
        if p.freckles:
            spots = noise(self.rng, (self.n, self.n), (85, 85))
            where = blob(self.x, self.y, 0, 0.14, 0.38, 0.14)
            mix(
                self.albedo,
                self.skin * [0.72, 0.56, 0.46],
                np.clip(spots - 1.1, 0, 1) * where * p.freckles,
            )
        for _ in range(int(self.rng.integers(0, 4))):  # moles
            mx, my = self.rng.uniform(-0.45, 0.45), self.rng.uniform(-0.3, 0.7)
            mix(self.albedo, self.skin * 0.4, 0.8 * blob(self.x, self.y, mx, my, 0.011, 0.011))

    def folds(self) -> np.ndarray:
        """Forehead lines, and the fold from nose to mouth, which is returned: (n, n)."""
        p = self.p
        fold = np.zeros_like(self.x)
        for side in (-1, 1):
            t = np.clip((self.y - self.ny + 0.03) / (p.mouth_y - self.ny + 0.10), 0, 1)
            line = side * (p.nose_w + 0.02 + (p.mouth_w + 0.02 - p.nose_w) * t**0.8)
            fade = smoothstep(self.ny - 0.05, self.ny + 0.01, self.y) * (
                1 - smoothstep(p.mouth_y, p.mouth_y + 0.09, self.y)
            )
            fold += np.exp(-(((self.x - line) / 0.017) ** 2)) * fade
        mix(self.albedo, self.skin * [0.62, 0.50, 0.47], 0.30 * p.age * fold)
        for k in range(3):
            yy = p.hairline + 0.11 + 0.065 * k + 0.015 * np.cos(4 * self.x + k)
            lines = np.exp(-(((self.y - yy) / 0.008) ** 2)) * np.exp(-((self.x / 0.28) ** 4))
            mix(self.albedo, self.skin * [0.70, 0.60, 0.57], 0.22 * max(p.age - 0.35, 0) * lines)
        return fold

    def beard(self) -> None:
        """A grey-blue shadow when shaven, hair when grown."""
        p = self.p
        grown = smoothstep(
            0.26, 0.50, self.y + 0.35 * np.clip(np.abs(self.x) - 0.30, 0, 1)
        ) * smoothstep(0.10, 0.34, self.y + 0.9 * np.maximum(np.abs(self.x) - 0.38, 0))
        grown *= 1 - 0.9 * blob(self.x, self.y, 0, p.mouth_y, p.mouth_w * 0.9, 0.05)
        grown = np.maximum(
            grown,
            blob(self.x, self.y, 0, (self.ny + p.mouth_y) / 2 + 0.015, p.mouth_w * 0.9, 0.035),
        )
        grown *= 1 - 0.9 * blob(self.x, self.y, 0, p.mouth_y + 0.02, p.mouth_w * 0.8, 0.045)
        rough = np.clip(0.85 + 0.22 * noise(self.rng, (self.n, self.n), (130, 200)), 0, 1.2)
        if p.beard:
            mix(
                self.albedo,
                self.hair * 0.9 + self.skin * 0.08,
                np.clip(p.beard * grown * rough, 0, 0.92),
            )

    def brows(self) -> None:
        """Hair by hair along a slanted noise."""
        p = self.p
        for side in (-1, 1):
            u = (self.x * side - p.eye_x + 0.015) / 0.165
            middle = p.brow_y - p.brow_arch * (1 - (u - 0.25) ** 2) + 0.012 * u
            thick = p.brow_thick * np.clip(1.15 - 0.45 * u, 0.3, 1.5)
            edge = np.exp(-(np.abs((self.y - middle) / thick) ** 2.6)) * np.exp(-(np.abs(u) ** 7))
            slant = noise(self.rng, (self.n, self.n), (60, 130))
            mix(
                self.albedo,
                self.hair * 0.75,
                np.clip(edge * p.brow_dark * (0.85 + 0.30 * slant), 0, 0.95),
            )

    def nostrils(self) -> None:
        """Two holes."""
        p = self.p
        for side in (-1, 1):
            hole = blob(self.x, self.y, side * p.nose_w * 0.52, self.ny + 0.006, 0.026, 0.013)
            mix(self.albedo, self.skin * [0.26, 0.15, 0.13], np.clip(1.0 * hole, 0, 0.8))

    def normals(self) -> np.ndarray:
        """An ellipsoid, flatter in front, with the details on top: unit vectors (n, n, 3)."""
        p = self.p
        height = cv2.GaussianBlur(_surface(p, self.rng, self.x, self.y), (0, 0), self.n / 256 * 1.2)
        gx = cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8) / self.px
        gy = cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8) / self.px
        rx = np.clip(self.x / np.maximum(self.w, 0.12), -1.2, 1.2)
        nx = 0.92 * np.sign(rx) * np.abs(rx) ** 1.5 - 1.0 * gx
        nyv = 0.62 * np.sign(self.y) * np.abs(self.y / 0.9) ** 1.8 - 1.0 * gy
        nz = np.sqrt(np.clip(1.15 - 0.85 * rx * rx - 0.35 * (self.y / 0.9) ** 2, 0.12, None))
        normals = np.dstack([nx, nyv, nz]).astype(np.float32)
        normals /= np.linalg.norm(normals, axis=2, keepdims=True)
        return normals

    def outline(self) -> tuple[np.ndarray, np.ndarray]:
        """How much of each pixel the face covers, and the face with its ears."""
        p = self.p
        inside = smoothstep(-1.5 * self.px, 1.5 * self.px, self.w - np.abs(self.x)) * (
            self.w > 0.02
        )
        ears = np.zeros_like(self.x)
        for side in (-1, 1):
            ears = np.maximum(
                ears,
                smoothstep(
                    1.12,
                    0.88,
                    ((self.x - side * (p.width + 0.015)) / 0.075) ** 2
                    + ((self.y - 0.06) / 0.165) ** 2,
                ),
            )
            mix(
                self.albedo,
                self.skin * [0.72, 0.52, 0.48],
                0.7
                * (1 - inside)
                * blob(self.x, self.y, side * (p.width + 0.02), 0.06, 0.035, 0.10),
            )
        return inside, np.maximum(inside, ears)

    def locks(self, strands: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Everything above the hairline and outside it down to the sides, with its shadow: how
        much of each pixel is hair (n, n); and premultiplied hair behind the head (n, n, 4)."""
        p = self.p
        ragged = 0.010 * noise(self.rng, (self.n, self.n), (4, 70)) + 0.014 * noise(
            self.rng, (self.n, self.n), (3, 12)
        )
        arch = p.hairline + 0.30 * np.clip(np.abs(self.x) / p.width, 0, 1.2) ** 3.2
        arch += 0.10 * np.exp(-(((self.x - p.parting) / 0.35) ** 2)) * -0.6
        if p.long_hair:
            sweep = 0.34 * (np.abs(self.x - p.parting) / p.width) ** 1.7
            arch = np.minimum(p.hairline - 0.06 + sweep, 0.05)
        top = 0.90 + p.hair_volume
        outer_w = (p.width + 0.55 * p.hair_volume + (0.06 if p.long_hair else 0.015)) * np.sqrt(
            np.clip(1 - np.abs(np.minimum(self.y + 0.12, 0) / (top - 0.12)) ** 2.4, 0, 1)
        )
        wave = (
            0.02 * noise(self.rng, (self.n, self.n), (12, 2))
            if p.long_hair
            else 0.006 * noise(self.rng, (self.n, self.n), (30, 2))
        )
        if p.curl:
            wave = wave + 0.022 * p.curl * noise(self.rng, (self.n, self.n), (26, 26))
        shell = smoothstep(-2 * self.px, 2 * self.px, outer_w + wave - np.abs(self.x)) * (
            outer_w > 0.02
        )
        coverage = np.clip(self.in_front(arch, ragged) * shell, 0, 1)
        # The self.hair throws a soft shadow on the forehead.
        shadow = cv2.GaussianBlur(coverage, (0, 0), self.n / 256 * 5)
        self.albedo *= (1 - 0.35 * shadow * (1 - coverage))[..., None]
        return coverage, self.behind(strands, top, wave, ragged)

    def in_front(self, arch: np.ndarray, ragged: np.ndarray) -> np.ndarray:
        """Hair over the forehead and at the sides, before it is cut to the outline."""
        p = self.p
        soft = 0.03 if p.long_hair else 0.05
        cap = smoothstep(soft, -soft, self.y - arch - ragged)
        side_end = 0.62 + 0.1 * p.hair_side if p.long_hair else p.hair_side
        inner = self.w - (0.05 if p.long_hair else 0.045) * (1 - 0.4 * self.y)
        sides = smoothstep(-0.03, 0.03, np.abs(self.x) - inner + ragged) * smoothstep(
            0.10, -0.06, self.y - side_end - ragged
        )
        if not p.long_hair:
            sides *= smoothstep(0.02, -0.02, np.abs(self.x) - p.width - 0.01)
        return np.maximum(cap, sides)

    def gloss(self) -> np.ndarray:
        """Where skin shines: (n, n)."""
        skin_gloss = blob(self.x, self.y, 0, self.ny - 0.05, 0.07, 0.12) + 0.7 * blob(
            self.x, self.y, 0, -0.35, 0.3, 0.15
        )
        for side in (-1, 1):
            skin_gloss = skin_gloss + 0.6 * blob(self.x, self.y, side * 0.34, 0.12, 0.13, 0.09)
        return 0.25 + 0.75 * np.clip(skin_gloss, 0, 1)

    def behind(
        self, strands: np.ndarray, top: float, wave: np.ndarray, ragged: np.ndarray
    ) -> np.ndarray:
        """Long hair behind the head."""
        p = self.p
        back = np.zeros((self.n, self.n, 4), np.float32)
        if p.long_hair:
            flare = p.width + 0.55 * p.hair_volume + 0.05 + 0.10 * smoothstep(-0.1, 0.9, self.y)
            flare = flare * np.sqrt(
                np.clip(1 - np.abs(np.minimum(self.y + 0.12, 0) / (top - 0.12)) ** 2.4, 0, 1)
            )
            area = smoothstep(-2 * self.px, 2 * self.px, flare + wave - np.abs(self.x)) * (
                flare > 0.05
            )
            area *= smoothstep(1.22, 0.98, self.y + 0.8 * ragged)
            back[..., :3] = self.hair * strands[..., None] * (0.55 * area)[..., None]
            back[..., 3] = area
        return back

"""A video before it is encoded: frames of one person, with the pose and expression of each."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from .camera import Camera, CameraStyle, draw_camera
from .face import draw_face
from .head import Head, build_head
from .paint import EXTENT, to_pixels
from .person import Expression, Person, depth, draw_person
from .scenery import draw_background, draw_body


@dataclass(frozen=True)
class Pose:
    """Where the head is: angles in radians, scale in pixels a head unit, centre in pixels."""

    yaw: float
    pitch: float
    roll: float
    scale: float
    cx: float
    cy: float

    def project(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Head coordinates -> frame pixels."""
        cyaw, syaw, cp, sp = (
            np.cos(self.yaw),
            np.sin(self.yaw),
            np.cos(self.pitch),
            np.sin(self.pitch),
        )
        u = x * cyaw + z * syaw
        v = y * cp - (z * cyaw - x * syaw) * sp
        cr, sr = np.cos(self.roll), np.sin(self.roll)
        return self.cx + self.scale * (cr * u - sr * v), self.cy + self.scale * (sr * u + cr * v)

    def unproject(self, p: Person, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
        """For each frame pixel the head coordinates seen there, two (height, width) float32.

        Solved by fixed-point iteration on a coarse grid: the head's depth makes the equation
        implicit, and within the angles used here the iteration contracts.
        """
        step = max(2, height // 60)
        gw, gh = width // step + 2, height // step + 2
        fx, fy = np.meshgrid(np.arange(gw) * step, np.arange(gh) * step)
        cr, sr = np.cos(self.roll), np.sin(self.roll)
        dx, dy = (fx - self.cx) / self.scale, (fy - self.cy) / self.scale
        u, v = cr * dx + sr * dy, -sr * dx + cr * dy
        cyaw, syaw, cp, sp = (
            np.cos(self.yaw),
            np.sin(self.yaw),
            np.cos(self.pitch),
            np.sin(self.pitch),
        )
        x, y = u.copy(), v.copy()
        for _ in range(10):
            z = depth(p, x, y)
            x = (u - z * syaw) / cyaw
            y = (v + (z * cyaw - x * syaw) * sp) / cp
        # The coarse grid's nodes lie on pixels 0, step, 2 step, ...
        matrix = np.array([[1 / step, 0, 0], [0, 1 / step, 0]], np.float32)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return tuple(
            cv2.warpAffine(a.astype(np.float32), matrix, (width, height), flags=flags)
            for a in (x, y)
        )

    def vector(self) -> np.ndarray:
        return np.array([self.yaw, self.pitch, self.roll])

    def light_in_head(self, light: np.ndarray) -> np.ndarray:
        """A direction given in camera coordinates, turned into head coordinates."""
        cyaw, syaw, cp, sp = (
            np.cos(self.yaw),
            np.sin(self.yaw),
            np.cos(self.pitch),
            np.sin(self.pitch),
        )
        x, y, z = light
        y, z = y * cp + z * sp, -y * sp + z * cp
        x, z = x * cyaw - z * syaw, x * syaw + z * cyaw
        return np.array([x, y, z])


@dataclass(frozen=True)
class State:
    """One frame's pose, expression and light (camera coordinates, length = strength)."""

    pose: Pose
    expression: Expression
    light: np.ndarray


@dataclass(frozen=True)
class Clip:
    """A person, everything around them, and the plan of every frame."""

    person: Person
    head: Head
    states: list[State]
    ambient: float
    background: np.ndarray
    body: np.ndarray
    camera: Camera
    size: tuple[int, int]  # width, height
    seed: tuple[int, ...]
    _cache: dict = field(default_factory=dict, repr=False)


def _wander(
    rng: np.random.Generator, t: np.ndarray, amount: float, fastest: float = 0.7
) -> np.ndarray:
    """A smooth random curve over the times ``t`` (seconds), about +-amount."""
    out = np.full_like(t, rng.normal(0, 0.55))
    for _ in range(3):
        out += (
            0.5
            * rng.normal()
            * np.sin(2 * np.pi * rng.uniform(0.1, fastest) * t + rng.uniform(0, 7))
        )
    return amount * np.tanh(out)


def _states(
    p: Person, rng: np.random.Generator, frames: int, width: int, height: int
) -> list[State]:
    # Frames are 0.1 s apart: a short clip still shows a change of pose and expression.
    t = np.arange(frames) * 0.1
    yaw, pitch = _wander(rng, t, 0.30, 0.4), _wander(rng, t, 0.14, 0.4)
    roll = _wander(rng, t, 0.10, 0.4)
    scale = height * rng.uniform(0.33, 0.39) * (1 + _wander(rng, t, 0.03))
    cx = width * (0.5 + _wander(rng, t, 0.07, 0.3))
    cy = height * (0.485 + _wander(rng, t, 0.025, 0.3))
    talk = rng.uniform(0.2, 0.9)
    mouth = np.clip(
        talk * (0.35 + 0.65 * np.sin(2 * np.pi * rng.uniform(0.8, 1.6) * t + rng.uniform(0, 7))),
        0,
        1,
    )
    mouth *= np.clip(0.6 + _wander(rng, t, 0.6), 0, 1)
    smile = np.clip(0.25 + _wander(rng, t, 0.75, 0.5), -0.35, 1)
    brow = np.clip(0.15 + _wander(rng, t, 0.7), -0.5, 1)
    gaze_x, gaze_y = _wander(rng, t, 0.9), _wander(rng, t, 0.6)
    blink = np.zeros(frames)
    for start in rng.uniform(0, t[-1] + 0.1, max(1, frames // 16)):
        blink = np.maximum(blink, np.clip(1.3 - np.abs(t - start) / 0.11, 0, 1))
    angle = rng.uniform(-1.1, 1.1) + _wander(rng, t, 0.25)
    up = rng.uniform(0.15, 0.6)
    strength = rng.uniform(0.60, 0.82) * (1 + _wander(rng, t, 0.07))
    states = []
    for k in range(frames):
        light = np.array([np.sin(angle[k]), -up, np.cos(angle[k])])
        light *= strength[k] / np.linalg.norm(light)
        states.append(
            State(
                Pose(*(float(a[k]) for a in (yaw, pitch, roll, scale, cx, cy))),
                Expression(*(float(a[k]) for a in (mouth, smile, blink, brow, gaze_x, gaze_y))),
                light,
            )
        )
    return states


def texture_size(height: int) -> int:
    """Side of the canonical square that is not coarser than the frame shows it."""
    n = 256
    while n < height * 0.95:
        n *= 2
    return min(n, 1024)


def plan_clip(
    person_seed: tuple[int, ...],
    clip_seed: tuple[int, ...],
    frames: int,
    width: int,
    height: int,
    style: CameraStyle | None = None,
) -> Clip:
    """Decide everything about a clip and paint what stays the same in all of its frames."""
    style = style or CameraStyle()
    person = draw_person(person_seed)
    rng = np.random.default_rng([*clip_seed, 303])
    n = texture_size(height)
    states = _states(person, rng, frames, width, height)
    pad_w, pad_h = int(width * 1.1), int(height * 1.1)
    background = draw_background(style.background, rng, pad_w, pad_h)
    body = draw_body(person, rng, float(states[0].light[0]), n)
    return Clip(
        person=person,
        head=build_head(person, n),
        states=states,
        ambient=float(rng.uniform(0.30, 0.46)),
        background=background,
        body=body,
        camera=draw_camera(style, rng, width, height),
        size=(width, height),
        seed=tuple(clip_seed),
    )


def draw_canonical(clip: Clip, expression: Expression, pose: Pose, light: np.ndarray) -> np.ndarray:
    """The clip's lit head in the canonical square, (n, n, 4) premultiplied."""
    return draw_face(clip.head, expression, pose.light_in_head(light), clip.ambient)


def frame_maps(clip: Clip, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Canonical pixel coordinates of each frame pixel, kept for the manipulations."""
    if index not in clip._cache:
        n = clip.head.albedo.shape[0]
        x, y = clip.states[index].pose.unproject(clip.person, *clip.size)
        clip._cache[index] = (to_pixels(x, n), to_pixels(y, n))
    return clip._cache[index]


def render_frame(clip: Clip, index: int) -> np.ndarray:
    """Frame ``index`` of the real video, uint8 RGB (height, width, 3)."""
    width, height = clip.size
    state, n = clip.states[index], clip.head.albedo.shape[0]
    pose = state.pose
    rng = np.random.default_rng([*clip.seed, 404, index])
    bh, bw = clip.background.shape[:2]
    ox = (bw - width) / 2 + 0.15 * (pose.cx - width / 2)
    oy = (bh - height) / 2 + 0.15 * (pose.cy - height / 2)
    shift = np.array([[1, 0, -ox], [0, 1, -oy]], np.float32)
    image = cv2.warpAffine(
        clip.background,
        shift,
        (width, height),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    )

    def over(layer: np.ndarray) -> None:
        image[:] = layer[..., :3] + (1 - layer[..., 3:]) * image

    # Hair behind the head follows it at a constant depth; the body hardly turns.
    cr, sr = np.cos(pose.roll * 0.6), np.sin(pose.roll * 0.6)
    level = float(np.linalg.norm(state.light)) + clip.ambient
    if clip.person.long_hair:
        k = pose.scale * 2 * EXTENT / n
        matrix = np.array([[cr * k, -sr * k, 0], [sr * k, cr * k, 0]])
        centre = matrix[:, :2] @ [n / 2, n / 2]
        matrix[:, 2] = [
            pose.cx - centre[0] - 0.15 * pose.scale * np.sin(pose.yaw),
            pose.cy - centre[1],
        ]
        over(cv2.warpAffine(clip.head.back * [level, level, level, 1], matrix, (width, height)))
    k = pose.scale * 4 / n
    tilt = pose.roll * 0.25
    cr, sr = np.cos(tilt), np.sin(tilt)
    matrix = np.array([[cr * k, -sr * k, 0], [sr * k, cr * k, 0]])
    centre = matrix[:, :2] @ [n / 2, n * (0.9 - 0.2) / 4]
    neck_x = pose.cx + pose.scale * (0.10 * np.sin(pose.yaw) - 0.5 * np.sin(pose.roll))
    matrix[:, 2] = [
        neck_x - centre[0],
        pose.cy + (0.76 + 0.4 * (clip.person.chin - 0.85)) * pose.scale - centre[1],
    ]
    over(cv2.warpAffine(clip.body * [level, level, level, 1], matrix, (width, height)))

    canonical = draw_canonical(clip, state.expression, pose, state.light)
    map_x, map_y = frame_maps(clip, index)
    over(cv2.remap(canonical, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT))
    return clip.camera.apply(image, rng)


def render_person(
    seed: tuple[int, ...], width: int = 320, height: int = 240, frames: int = 24
) -> np.ndarray:
    """A person's real video, uint8 RGB (frames, height, width, 3), at any even size."""
    clip = plan_clip((*seed, 0), (*seed, 1), frames, width, height)
    return np.stack([render_frame(clip, k) for k in range(frames)])

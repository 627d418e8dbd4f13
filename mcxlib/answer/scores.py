"""Crops of one person -> scores, in little memory, and in half precision where that is safe."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import torch

from mcxlib.answer import verdict
from mcxlib.answer.schema import Interval
from mcxlib.engine import memory
from mcxlib.engine.score import outputs
from mcxlib.weights import Loaded

Asked = Literal["auto", "fp32", "bf16"]
Used = Literal["fp32", "bf16"]

SETTING: dict[str, str] = {"fp32": "32-true", "bf16": "bf16-mixed"}
"""As the engine names them."""

MARGIN = 0.05
"""Between a frame's score in bf16 and in float32. No frame of the demonstration's clips differs
more, by any of its networks."""

GROUP = 4
"""Images that the network gets at once: at 448 px, sixteen need a gigabyte more and take longer."""


class Items(NamedTuple):
    """What of one person is judged, each by itself."""

    crops: np.ndarray
    """uint8 (n, S, S, 3), or clips (n, T, S, S, 3)."""
    seconds: list[float | None]
    """Time of each, or of its first frame."""


class Scored(NamedTuple):
    """The scores of one person's faces or clips, and what they come to."""

    values: np.ndarray
    """(n, 1 + C) float64, as :func:`mcxlib.engine.score.outputs`."""
    score: Interval
    precision: Used


def native_bf16() -> bool:
    """Whether the processor multiplies matrices of bf16 in hardware units of their own (AMX).

    One that has only instructions for vectors of them (AVX512-BF16) takes longer than in float32.
    """
    return bool(torch.cpu.get_capabilities().get("amx_bf16", False))


def score(
    network: Loaded,
    items: Items,
    scale: verdict.Scale,
    asked: Asked,
) -> Scored:
    """Score one person's faces or clips.

    ``asked="auto"`` computes in bf16 where the processor does so natively; and then once more, in
    float32, where scores that differ by ``MARGIN`` could mean another verdict. As an interval's
    ends are quantiles of means, they move no further than the scores do.

    Raises:
        OutOfMemory: none left for a group of crops, or for a clip.
    """
    used: Used = "bf16" if asked == "bf16" or (asked == "auto" and native_bf16()) else "fp32"
    values, found = _judged(network, items, used)
    if asked == "auto" and used == "bf16" and not verdict.steady(found, scale, MARGIN):
        used = "fp32"
        values, found = _judged(network, items, used)
    return Scored(values, found, used)


def _judged(network: Loaded, items: Items, precision: Used) -> tuple[np.ndarray, Interval]:
    of_clips = items.crops.ndim == 5
    values = _values(network, items.crops, precision, 1 if of_clips else GROUP)
    noun = "clip" if of_clips else "frame"
    return values, verdict.interval(values[:, 0].tolist(), items.seconds, noun)


def _values(network: Loaded, crops: np.ndarray, precision: Used, group: int) -> np.ndarray:
    size = network.config.train.input_size
    room = crops.shape[-2] - size
    middle = crops[..., room // 2 :, room // 2 :, :][..., :size, :size, :]
    images = torch.from_numpy(np.ascontiguousarray(middle)).movedim(-1, -3)
    with memory.explained(f"no memory left for crops of {size} px"):
        return outputs(network.model, images, torch.device("cpu"), SETTING[precision], group)

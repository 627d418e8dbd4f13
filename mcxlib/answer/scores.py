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


class Scored(NamedTuple):
    """The scores of one person's faces, and what they come to."""

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
    crops: np.ndarray,
    seconds: list[float | None],
    scale: verdict.Scale,
    asked: Asked,
) -> Scored:
    """Score crops, uint8 (n, S, S, 3), taken at these times.

    ``asked="auto"`` computes in bf16 where the processor does so natively; and then once more, in
    float32, where scores that differ by ``MARGIN`` could mean another verdict. As an interval's
    ends are quantiles of means, they move no further than the scores do.

    Raises:
        OutOfMemory: none left for a group of crops.
    """
    used: Used = "bf16" if asked == "bf16" or (asked == "auto" and native_bf16()) else "fp32"
    values = _values(network, crops, used)
    found = verdict.interval(values[:, 0].tolist(), seconds)
    if asked == "auto" and used == "bf16" and not verdict.steady(found, scale, MARGIN):
        used = "fp32"
        values = _values(network, crops, used)
        found = verdict.interval(values[:, 0].tolist(), seconds)
    return Scored(values, found, used)


def _values(network: Loaded, crops: np.ndarray, precision: Used) -> np.ndarray:
    size = network.config.train.input_size
    room = crops.shape[1] - size
    middle = crops[:, room // 2 :, room // 2 :][:, :size, :size]
    images = torch.from_numpy(np.ascontiguousarray(middle)).permute(0, 3, 1, 2)
    with memory.explained(f"no memory left for crops of {size} px"):
        return outputs(network.model, images, torch.device("cpu"), SETTING[precision], GROUP)

"""Counted arithmetic: floating-point operations of a step, without running it.

torch's own counter is used, with one formula corrected: for the gradient of a grouped
convolution's weight it counts all pairs of channels, which for Xception's depthwise convolutions is
hundreds of times too much.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from mcxlib.config import RunConfig
from mcxlib.engine.session import Step
from mcxlib.weights import build


def _convolution_backward(
    grad_shape: Any,
    input_shape: Any,
    weight_shape: Any,
    _bias: Any,
    _stride: Any,
    _padding: Any,
    _dilation: Any,
    transposed: bool,
    _output_padding: Any,
    _groups: int,
    wanted: list[bool],
    **_: Any,
) -> int:
    # Each multiply-add of the forward pass has one in the gradient of the input and one in the
    # gradient of the weight; weight_shape[1] is already the channels of one group.
    positions = prod((input_shape if transposed else grad_shape)[2:])
    forward = 2 * input_shape[0] * positions * prod(weight_shape)
    return forward * (bool(wanted[0]) + bool(wanted[1]))


def count(call: Callable[[], Any]) -> int:
    """Floating-point operations of the convolutions and matrix products in ``call``.

    A multiply-add counts as two. Elementwise operations, pooling and normalisation, limited by
    memory rather than arithmetic, are not counted.
    """
    formulas = {torch.ops.aten.convolution_backward: _convolution_backward}
    with FlopCounterMode(display=False, custom_mapping=formulas) as counter:
        call()
    return counter.get_total_flops()


def _empty(images: int, size: int) -> torch.Tensor:
    return torch.empty(images, 3, size, size, device="meta")


def training_step(config: RunConfig, images: int, size: int, *, frozen: bool = False) -> int:
    """Operations of one training step of ``images`` images of ``size`` px, forward and backward.

    Counted on tensors without data. ``frozen``: the backbone takes no gradient (section 4.1).
    """
    with torch.device("meta"):
        model = build(config)
    model.train()
    model.freeze(frozen)
    step = Step(model)
    labels = torch.empty(images, dtype=torch.int64, device="meta")
    return count(lambda: step(_empty(images, size), labels)["total"].backward())


def inference(config: RunConfig, images: int, size: int) -> int:
    """Operations of scoring ``images`` images of ``size`` px."""
    with torch.device("meta"):
        model = build(config).eval()
    with torch.no_grad():
        return count(lambda: model(_empty(images, size)))

"""Counted arithmetic: the floating-point operations of what is really computed.

torch's own counter is used, with one formula corrected: for the gradient of a grouped
convolution's weight it counts all pairs of channels, which for Xception's depthwise convolutions is
hundreds of times too much. A multiply-add counts as two. Elementwise operations, pooling,
normalisation and Fourier transforms, limited by memory rather than arithmetic, are not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode


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


@contextmanager
def counting() -> Iterator[Callable[[], int]]:
    """Count what is computed in the block; what it gives says how much, also afterwards."""
    formulas = {torch.ops.aten.convolution_backward: _convolution_backward}
    with FlopCounterMode(display=False, custom_mapping=formulas) as counter:
        yield counter.get_total_flops


def count(call: Callable[[], Any]) -> int:
    """Floating-point operations of the convolutions and matrix products in ``call``."""
    with counting() as total:
        call()
    return total()

"""Counted arithmetic: the floating-point operations of what is really computed.

torch's own counter is used, with one formula corrected and one added: for the gradient of a grouped
convolution's weight it counts all pairs of channels, which for Xception's depthwise convolutions is
hundreds of times too much, and attention it counts on GPUs only. A multiply-add counts as two.
Elementwise operations, pooling, normalisation and Fourier transforms, limited by memory rather than
arithmetic, are not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from typing import Any

import torch
from torch.utils.flop_counter import (
    FlopCounterMode,
    sdpa_backward_flop_count,
    sdpa_flop_count,
)


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


def _attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return sdpa_flop_count(query, key, value)


def _attention_backward(grad: Any, query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return sdpa_backward_flop_count(grad, query, key, value)


@contextmanager
def counting() -> Iterator[Callable[[], int]]:
    """Count what is computed in the block; what it gives says how much, also afterwards."""
    aten = torch.ops.aten
    formulas = {
        aten.convolution_backward: _convolution_backward,
        aten._scaled_dot_product_flash_attention_for_cpu: _attention,
        aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
    }
    with FlopCounterMode(display=False, custom_mapping=formulas) as counter:
        yield counter.get_total_flops


def count(call: Callable[[], Any]) -> int:
    """Floating-point operations of the convolutions and matrix products in ``call``."""
    with counting() as total:
        call()
    return total()

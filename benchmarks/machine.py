"""Which machine was measured, and how fast it multiplies matrices, the limit to all it does."""

from __future__ import annotations

import os
import time
from typing import Any

import torch

from benchmarks.measure import Settings, once, synchroniser
from mcxlib import provenance

SIZES = {"cpu": (1024, 2048, 3072), "cuda": (4096, 8192, 12288)}
SAME = ("processor", "cores", "device", "torch")
"""Entries measured where these agree may stand in one table."""


def description(device: torch.device) -> dict[str, Any]:
    """Processor, memory, versions, threads and date, JSON-ready."""
    record = provenance.collect()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return {
        "processor": record["processor"],
        "cores": record["cores"],
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": record["system"],
        "python": record["python"],
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "device": name,
        "date": time.strftime("%Y-%m-%d"),
    }


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two descriptions are of one machine with the same software."""
    return all(one.get(key) == other.get(key) for key in SAME)


def matrix_rates(settings: Settings) -> dict[str, dict[str, float]]:
    """Largest rate of a square matrix product, by type: {"fp32": {"flops", "size"}, "bf16": ...}.

    On a CUDA device also "tf32", the type that convolutions use there by default.
    """
    kind = settings.device.type
    sizes = (128,) if settings.quick else SIZES[kind]
    rates = {
        "fp32": _rate(settings, torch.float32, sizes),
        "bf16": _rate(settings, torch.bfloat16, sizes),
    }
    if kind == "cuda":
        before = torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = True
        try:
            rates["tf32"] = _rate(settings, torch.float32, sizes)
        finally:
            torch.backends.cuda.matmul.allow_tf32 = before
    return rates


def _rate(settings: Settings, dtype: torch.dtype, sizes: tuple[int, ...]) -> dict[str, float]:
    best = {"flops": 0.0, "size": 0}
    wait = synchroniser(settings.device)
    for size in sizes:
        left, right = (
            torch.randn(size, size, device=settings.device).to(dtype).contiguous() for _ in range(2)
        )
        product = torch.empty_like(left)

        def multiply(a=left, b=right, out=product) -> None:
            torch.mm(a, b, out=out)

        # The same product by the library that computes the convolutions: on some processors it
        # is the faster of the two, and the limit is what the machine can do.
        pixels = left.T.reshape(1, size, size // 32, 32).to(memory_format=torch.channels_last)
        kernels = right.T.reshape(size, size, 1, 1).contiguous()

        def convolve(x=pixels, w=kernels) -> None:
            torch.nn.functional.conv2d(x, w)

        for way in (multiply, convolve):
            way()
            # The largest rate is asked for, so the shortest time counts and not the median.
            begin, shortest = time.perf_counter(), float("inf")
            while shortest == float("inf") or time.perf_counter() - begin < settings.seconds(1.0):
                shortest = min(shortest, once(way, wait))
            rate = 2 * size**3 / shortest
            if rate > best["flops"]:
                best = {"flops": rate, "size": size}
    return best

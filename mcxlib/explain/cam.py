"""Class activation maps of one image without a partner, and numbers that test them (section 5.2).

The five methods of Fig. 5 and 6 differ only in how gradients weigh the last feature map; those
formulas come from ``pytorch_grad_cam``. The forward pass and the gradient are taken here, at the
feature map alone: that leaves the model's gradients, modes and flags as they were, costs no
backward pass through the backbone, and gives the unscaled maps too.

**What is explained.** "Output fake" has four of the five logits, so it needs a definition. With
p(fake) = 1 - p(real), it is the log-odds z = log p(fake) - log p(real), and "output real" is -z.
Against log p(fake) itself this only removes a factor: d log p(fake) = (1 - p(fake)) dz. That factor
changes no direction, but it goes to zero where the network is sure, so that the map of a
confident decision would be made of rounding errors. A class name explains that class's logit, as
is usual.

**What to expect.** This network averages its last feature map over space before the classifier, so
a gradient is the same in every cell of a channel. Then Grad-CAM, HiResCAM and XGrad-CAM are one
and the same map, up to rounding; only Grad-CAM++ and LayerCAM differ, because they drop negative
gradients. And in those three, what speaks for real is exactly what speaks against fake.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import NamedTuple

import cv2
import numpy as np
import pytorch_grad_cam
import torch
from matplotlib import colormaps
from torch import Tensor, nn

from mcxlib import CLASSES, backbones
from mcxlib.explain.features import evaluating

METHODS: Mapping[str, type] = MappingProxyType(
    {
        "Grad-CAM": pytorch_grad_cam.GradCAM,
        "Grad-CAM++": pytorch_grad_cam.GradCAMPlusPlus,
        "HiResCAM": pytorch_grad_cam.HiResCAM,
        "LayerCAM": pytorch_grad_cam.LayerCAM,
        "XGrad-CAM": pytorch_grad_cam.XGradCAM,
    }
)
"""The five methods, in the order of Fig. 6, and the class that holds each one's formula."""

OUTPUTS = ("real", "fake", *CLASSES[1:])
"""What can be explained. Note that "real" is the output (log-odds), not the class's logit."""


def activation_maps(
    model: nn.Module,
    images: Tensor,
    method: str,
    output: str,
    target_layer: nn.Module | None = None,
    *,
    batch_size: int = 16,
) -> np.ndarray:
    """Maps of what speaks for ``output``: (N, 3, H, W) RGB in [0, 1] -> (N, H, W) in [0, 1].

    Each map is positive evidence only, enlarged to the image and stretched to its own minimum and
    maximum (as in the paper's figures). So two maps cannot be compared in brightness: a map of
    Output real may glow although next to nothing speaks for real. :func:`raw_maps` can.

    Args:
        model: maps images to the five logits; :class:`mcxlib.model.MCXAPI`, say.
        images: on any device.
        method: a key of :data:`METHODS`.
        output: one of :data:`OUTPUTS`.
        target_layer: module whose output is explained; by default the last feature map before
            pooling.

    Raises:
        ValueError: unknown method or output, or a layer that gives no (N, C, h, w) map.
    """
    height, width = images.shape[-2:]
    maps = []
    for raw in raw_maps(model, images, method, output, target_layer, batch_size=batch_size):
        evidence = _stretch(np.maximum(raw, 0))
        maps.append(_stretch(cv2.resize(evidence, (width, height))))
    return np.stack(maps)


def raw_maps(
    model: nn.Module,
    images: Tensor,
    method: str,
    output: str,
    target_layer: nn.Module | None = None,
    *,
    batch_size: int = 16,
) -> np.ndarray:
    """Signed, unscaled maps at the feature map's own size: (N, h, w) float32.

    In units of the explained output (log-odds or logit) a cell, and so comparable between images
    and between outputs. Arguments and errors as :func:`activation_maps`.
    """
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; valid: {', '.join(METHODS)}")
    if output not in OUTPUTS:
        raise ValueError(f"unknown output {output!r}; valid: {', '.join(OUTPUTS)}")
    if images.ndim != 4 or images.shape[1] != 3 or not len(images):
        raise ValueError(
            f"images must have shape (N, 3, H, W) with N >= 1, not {tuple(images.shape)}"
        )
    layer = backbones.cam_layer(model.backbone) if target_layer is None else target_layer
    with evaluating(model) as device, _formula(METHODS[method], model, layer) as formula:
        maps = []
        for part in images.split(batch_size):
            activations, gradients, _ = _gradients(
                model, part.to(device), layer, lambda logits: _explained(logits, output)
            )
            maps.append(formula.get_cam_image(part, layer, None, activations, gradients, False))
    return np.concatenate(maps).astype(np.float32)


def hirescam_completeness(
    model: nn.Module, images: Tensor, target_layer: nn.Module | None = None
) -> float:
    """How far HiResCAM is from an exact account of the logits: the largest absolute error.

    For a network that ends in global average pooling and a linear classifier (this one, at
    inference), logit = bias + the sum over channels and space of gradient times activation: the
    map's cells add up to the logit. The error is rounding, or the map is wrong. ``model`` has its
    last layer as attribute ``classifier``.
    """
    layer = backbones.cam_layer(model.backbone) if target_layer is None else target_layer
    bias = model.classifier.bias.detach().cpu().numpy()
    worst = 0.0
    with evaluating(model) as device, _formula(METHODS["HiResCAM"], model, layer) as formula:
        for index in range(len(bias)):
            activations, gradients, logits = _gradients(
                model, images.to(device), layer, lambda logits, i=index: logits[:, i]
            )
            cells = formula.get_cam_image(images, layer, None, activations, gradients, False)
            account = cells.sum((1, 2), dtype=np.float64) + bias[index]
            worst = max(worst, float(np.abs(account - logits[:, index]).max()))
    return worst


class Deletion(NamedTuple):
    """Fall of log p(output) when part of the image is blanked; (N,) each, in nats."""

    top: np.ndarray
    """Blanked: the highest part of the map."""
    random: np.ndarray
    """Blanked: a region of the same size and shape elsewhere, mean over several places."""


def deletion(
    model: nn.Module,
    images: Tensor,
    maps: np.ndarray,
    output: str,
    share: float = 0.2,
    draws: int = 8,
    seed: int = 0,
) -> Deletion:
    """Does the network need what the map shows? Blank it and look at log p(output).

    The highest ``share`` of each map's pixels is set to the image's mean colour. For comparison
    the same mask is moved (around the edges) to ``draws`` random places: scattered random pixels
    would differ from the map's compact region in shape, which alone changes a network's answer.
    A map that shows what matters has ``top`` above ``random``.

    Args:
        images: (N, 3, H, W) RGB in [0, 1].
        maps: (N, H, W).
        output: one of :data:`OUTPUTS`.

    Raises:
        ValueError: maps that do not fit the images, a share outside (0, 1), an unknown output.
    """
    n, _, height, width = images.shape
    if maps.shape != (n, height, width):
        raise ValueError(f"maps of shape {maps.shape} do not fit images {tuple(images.shape)}")
    if not 0 < share < 1:
        raise ValueError(f"share must be between 0 and 1, not {share:g}")
    if output not in OUTPUTS:
        raise ValueError(f"unknown output {output!r}; valid: {', '.join(OUTPUTS)}")
    count = max(1, round(share * height * width))
    masks = np.zeros((n, height * width), bool)
    # Stable sorting: where a map is flat, the same pixels on every machine.
    order = np.argsort(-maps.reshape(n, -1), axis=1, kind="stable")
    np.put_along_axis(masks, order[:, :count], True, axis=1)
    masks = masks.reshape(n, height, width)

    generator = np.random.default_rng(seed)
    with evaluating(model) as device, torch.no_grad():
        images = images.to(device)
        mean = images.mean((2, 3), keepdim=True)

        def log_probability(blank: np.ndarray | None = None) -> np.ndarray:
            shown = images
            if blank is not None:
                shown = torch.where(torch.from_numpy(blank)[:, None].to(device), mean, images)
            log_p = model(shown).float().log_softmax(1).cpu()
            if output == "fake":
                return log_p[:, 1:].logsumexp(1).numpy()
            return log_p[:, CLASSES.index(output)].numpy()

        whole = log_probability()
        top = whole - log_probability(masks)
        falls = []
        for _ in range(draws):
            shift = generator.integers(0, (height, width))
            falls.append(whole - log_probability(np.roll(masks, shift, axis=(1, 2))))
    return Deletion(top, np.mean(falls, axis=0))


def region_share(maps: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Share of each map's energy inside a region: maps (N, H, W), region (H, W) or (N, H, W) bool.

    Returns (N,) in [0, 1]; NaN for a map that is zero everywhere. Compare with the region's share
    of the area, ``region.mean()``: what a flat map has.

    Raises:
        ValueError: negative maps, or shapes that do not fit.
    """
    maps, region = np.asarray(maps, np.float64), np.asarray(region, bool)
    if maps.ndim != 3 or region.shape not in (maps.shape, maps.shape[1:]):
        raise ValueError(f"region of shape {region.shape} does not fit maps {maps.shape}")
    if (maps < 0).any():
        raise ValueError("maps must not be negative; take activation_maps, not raw_maps")
    total = maps.sum((1, 2))
    inside = np.where(region, maps, 0).sum((1, 2))
    return np.divide(inside, total, out=np.full(len(maps), np.nan), where=total > 0)


def overlay(image: np.ndarray | Tensor, map: np.ndarray, strength: float = 0.75) -> np.ndarray:
    """A map laid over its image: (3, H, W) or (H, W, 3) in [0, 1], map (H, W) -> (H, W, 3) uint8.

    The image is in grey, so that every colour is the map's; the map's zeros are transparent.

    Raises:
        ValueError: shapes that do not fit.
    """
    image, map = np.asarray(image, np.float64), np.asarray(map, np.float64)
    if image.ndim == 3 and image.shape[0] == 3 and image.shape[1:] == map.shape:
        image = image.transpose(1, 2, 0)
    if image.shape != (*map.shape, 3):
        raise ValueError(f"a map of shape {map.shape} does not fit an image of {image.shape}")
    grey = (image @ (0.299, 0.587, 0.114))[..., None]
    alpha = strength * map.clip(0, 1)[..., None]
    colour = colormaps["inferno"](map.clip(0, 1))[..., :3]
    return np.rint(255 * ((1 - alpha) * grey + alpha * colour).clip(0, 1)).astype(np.uint8)


def _explained(logits: Tensor, output: str) -> Tensor:
    """(N, 5) logits -> (N,) scalars whose gradient makes the map; see the module's words."""
    if output not in ("real", "fake"):
        return logits[:, CLASSES.index(output)]
    # The softmax's normaliser cancels in the log-odds.
    odds = logits[:, 1:].logsumexp(1) - logits[:, 0]
    return odds if output == "fake" else -odds


@contextmanager
def _formula(kind: type, model: nn.Module, layer: nn.Module) -> Iterator:
    """The library's object, for its formula alone: its own hooks are taken off at once."""
    formula = kind(model, [layer])
    formula.activations_and_grads.release()
    yield formula


def _gradients(
    model: nn.Module, images: Tensor, layer: nn.Module, explain
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Feature map, gradient of the explained scalars at it, both (N, C, h, w), and logits."""
    seen: list[Tensor] = []

    def start_here(_module: nn.Module, _inputs: object, output: object) -> Tensor:
        if not isinstance(output, Tensor) or output.ndim != 4:
            shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise ValueError(
                f"the layer {type(layer).__name__} gives {shape}, not an (N, C, h, w) map; "
                "choose another target_layer"
            )
        # A new leaf: the graph starts at the feature map, whether or not weights are frozen.
        seen.append(output.detach().requires_grad_())
        # A copy, because the next layer may be a ReLU that works in place.
        return seen[-1].clone()

    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    handle = layer.register_forward_hook(start_here)
    try:
        model.requires_grad_(False)
        with torch.enable_grad():
            logits = model(images)
            if len(seen) != 1:
                raise ValueError(
                    f"the layer {type(layer).__name__} ran {len(seen)} times in a forward pass; "
                    "target_layer must be a part of the model that runs once"
                )
            (gradient,) = torch.autograd.grad(explain(logits).sum(), seen[0])
    finally:
        handle.remove()
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
    return tuple(t.detach().float().cpu().numpy() for t in (seen[0], gradient, logits))


def _stretch(map: np.ndarray) -> np.ndarray:
    """To [0, 1] between its own minimum and maximum; a flat map becomes zero."""
    map = map - map.min()
    peak = map.max()
    return map / peak if peak > 0 else map

"""Class activation maps of one image without a partner, and numbers that test them (section 5.2).

The five methods of Fig. 5 and 6 differ only in how gradients weigh the last feature map; those
formulas come from ``pytorch_grad_cam``. The forward pass and the gradient are taken here, at the
feature map alone: that leaves the model's gradients, modes and flags as they were, costs no
backward pass through the backbone, and gives the unscaled maps too.

**What is explained.** A detector has one logit a class, or one, or two: "output fake" needs a
definition that suits all. It is the log-odds z = log p(fake) - log p(real) of the detector's
``log_probabilities``, and "output real" is -z. Against log p(fake) itself this only removes a
factor: d log p(fake) = (1 - p(fake)) dz. That factor changes no direction, but it goes to zero
where the network is sure, so that the map of a confident decision would be made of rounding
errors. A class name explains that class's logit, as is usual.

**What to expect.** MCX-API averages its last feature map over space before the classifier, so a
gradient is the same in every cell of a channel. Then Grad-CAM, HiResCAM and XGrad-CAM are one and
the same map, up to rounding; only Grad-CAM++ and LayerCAM differ, because they drop negative
gradients. And in those three, what speaks for real is exactly what speaks against fake. A network
with another head (MesoNet's hidden layer sees where in the map something is) gives five maps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from operator import itemgetter
from types import MappingProxyType
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from mcxlib.detectors.base import Detector
from mcxlib.explain.features import evaluating

METHODS: Mapping[str, str] = MappingProxyType(
    {
        "Grad-CAM": "GradCAM",
        "Grad-CAM++": "GradCAMPlusPlus",
        "HiResCAM": "HiResCAM",
        "LayerCAM": "LayerCAM",
        "XGrad-CAM": "XGradCAM",
    }
)
"""The five methods, in the order of Fig. 6, and ``pytorch_grad_cam``'s class with the formula."""


def outputs(model: Detector) -> tuple[str, ...]:
    """What can be explained: "real", "fake", and the classes behind "real" in ``model.classes``.

    "real" is the output (log-odds), not the class's logit. A detector without one logit a class
    has the first two only.
    """
    return tuple(dict.fromkeys(("real", "fake", *model.classes[1:])))


def activation_maps(
    model: Detector,
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
        model: any detector.
        images: on any device.
        method: a key of :data:`METHODS`.
        output: one of :func:`outputs`.
        target_layer: module whose output is explained; by default the detector's own choice, the
            last feature map before pooling.

    Raises:
        ValueError: unknown method or output, a class of a detector that only tells real from
            fake, a detector without feature map, or a layer that gives no (N, C, h, w) map.
    """
    height, width = images.shape[-2:]
    maps = []
    for raw in raw_maps(model, images, method, output, target_layer, batch_size=batch_size):
        evidence = _stretch(np.maximum(raw, 0))
        maps.append(_stretch(cv2.resize(evidence, (width, height))))
    return np.stack(maps)


def raw_maps(
    model: Detector,
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
    _check_output(model, output)
    if images.ndim != 4 or images.shape[1] != 3 or not len(images):
        raise ValueError(
            f"images must have shape (N, 3, H, W) with N >= 1, not {tuple(images.shape)}"
        )
    layer = model.cam_layer() if target_layer is None else target_layer
    with evaluating(model) as device, _formula(method, model, layer) as formula:
        maps = []
        for part in images.split(batch_size):
            activations, gradients, _ = _gradients(
                model, part.to(device), layer, lambda logits: _explained(model, logits, output)
            )
            maps.append(formula.get_cam_image(part, layer, None, activations, gradients, False))
    return np.concatenate(maps).astype(np.float32)


def hirescam_completeness(
    model: Detector, images: Tensor, target_layer: nn.Module | None = None
) -> float:
    """How far HiResCAM is from an exact account of the logits: the largest absolute error.

    For a network that ends in global average pooling and a linear classifier (MCX-API's, at
    inference), logit = bias + the sum over channels and space of gradient times activation: the
    map's cells add up to the logit. The error is rounding, or the map is wrong.

    Raises:
        ValueError: a detector whose last layer is not a linear one named ``classifier``.
    """
    if not isinstance(classifier := getattr(model, "classifier", None), nn.Linear):
        raise ValueError(
            f"{model.name} does not end in a linear layer named classifier, whose logits "
            "HiResCAM's cells could add up to"
        )
    layer = model.cam_layer() if target_layer is None else target_layer
    bias = np.zeros(classifier.out_features)
    if classifier.bias is not None:
        bias += classifier.bias.detach().float().cpu().numpy()
    worst = 0.0
    with evaluating(model) as device, _formula("HiResCAM", model, layer) as formula:
        for index in range(len(bias)):
            activations, gradients, logits = _gradients(
                model, images.to(device), layer, itemgetter((slice(None), index))
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
    model: Detector,
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
        output: one of :func:`outputs`; of a class, probabilities count from 1e-38 on.

    Raises:
        ValueError: maps that do not fit the images, a share outside (0, 1), an unknown output, or
            a class of a detector that only tells real from fake.
    """
    n, _, height, width = images.shape
    if maps.shape != (n, height, width):
        raise ValueError(f"maps of shape {maps.shape} do not fit images {tuple(images.shape)}")
    if not 0 < share < 1:
        raise ValueError(f"share must be between 0 and 1, not {share:g}")
    _check_output(model, output)
    count = max(1, round(share * height * width))
    flat = np.zeros((n, height * width), bool)
    # Stable sorting: where a map is flat, the same pixels on every machine.
    order = np.argsort(-maps.reshape(n, -1), axis=1, kind="stable")
    np.put_along_axis(flat, order[:, :count], True, axis=1)
    masks = flat.reshape(n, height, width)

    generator = np.random.default_rng(seed)
    with evaluating(model) as device, torch.no_grad():
        images = images.to(device)
        mean = images.mean((2, 3), keepdim=True)

        def log_probability(blank: np.ndarray | None = None) -> np.ndarray:
            shown = images
            if blank is not None:
                shown = torch.where(torch.from_numpy(blank)[:, None].to(device), mean, images)
            return _log_probability(model, model(shown), output).cpu().numpy()

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
    # Here and not above: maps are often computed where nothing is drawn.
    from matplotlib import colormaps

    colour = colormaps["inferno"](map.clip(0, 1))[..., :3]
    return np.rint(255 * ((1 - alpha) * grey + alpha * colour).clip(0, 1)).astype(np.uint8)


def _check_output(model: Detector, output: str) -> None:
    if output not in outputs(model):
        raise ValueError(f"unknown output {output!r}; valid: {', '.join(outputs(model))}")


def _explained(model: Detector, logits: Tensor, output: str) -> Tensor:
    """(N, K) logits -> (N,) scalars whose gradient makes the map; see the module's words."""
    if output not in ("real", "fake"):
        index = model.classes.index(output)
        if model.class_probabilities(logits) is None or logits.shape[1] != len(model.classes):
            raise _no_classes(model, output)
        return logits[:, index]
    log_p = model.log_probabilities(logits)
    odds = log_p[:, 1] - log_p[:, 0]
    return odds if output == "fake" else -odds


def _log_probability(model: Detector, logits: Tensor, output: str) -> Tensor:
    """(N, K) logits -> (N,) log p(output)."""
    if output in ("real", "fake"):
        return model.log_probabilities(logits)[:, ("real", "fake").index(output)]
    probabilities = model.class_probabilities(logits)
    if probabilities is None:
        raise _no_classes(model, output)
    one = probabilities[:, model.classes.index(output)]
    return one.clamp(min=torch.finfo(one.dtype).tiny).log()


def _no_classes(model: Detector, output: str) -> ValueError:
    return ValueError(
        f"{model.name} has no output of its own for the class {output!r}; valid: real, fake"
    )


@contextmanager
def _formula(method: str, model: nn.Module, layer: nn.Module) -> Iterator[Any]:
    """The library's object, for its formula alone: its own hooks are taken off at once."""
    # Here and not above: it brings scikit-learn and more, which deletion and overlay do not need.
    import pytorch_grad_cam

    formula = getattr(pytorch_grad_cam, METHODS[method])(model, [layer])
    formula.activations_and_grads.release()
    yield formula


def _gradients(
    model: nn.Module, images: Tensor, layer: nn.Module, explain: Callable[[Tensor], Tensor]
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
    feature_map, gradients, outputs = (
        t.detach().float().cpu().numpy() for t in (seen[0], gradient, logits)
    )
    return feature_map, gradients, outputs


def _stretch(map: np.ndarray) -> np.ndarray:
    """To [0, 1] between its own minimum and maximum; a flat map becomes zero."""
    map = map - map.min()
    peak = map.max()
    return map / peak if peak > 0 else map

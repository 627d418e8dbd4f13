"""Drawings for a page's first look: a person under all manipulations; a backbone as it is built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mcxlib.figures.style import Plate, mark, new_figure, of, style

KINDS: Mapping[str, str] = {
    "real": "real",
    "DF": "Deepfakes",
    "F2F": "Face2Face",
    "FS": "FaceSwap",
    "NT": "NeuralTextures",
}
"""The paper's classes by their full names."""

# Entry, middle and exit flow of Xception, and what comes before and after.
_FILLS = {"stem": "#e8eef7", "entry": "#fdf1d8", "middle": "#e4f2e7", "exit": "#fbe3dd"}


def strip(
    images: np.ndarray,
    names: Sequence[str],
    maps: np.ndarray,
    source: str = "",
    title: str = "",
) -> Plate:
    """One wide picture: faces side by side, and under each where the network looks.

    Args:
        images: (N, 3, H, W) in [0, 1].
        names: N classes; the paper's are written out.
        maps: (N, H, W) in [0, 1].
        title: what made the maps, "Grad-CAM of MCX-API(RGB)", say.

    Raises:
        ValueError: no image, or names or maps that do not fit.
    """
    from mcxlib.explain import overlay

    images, maps = np.asarray(images), np.asarray(maps)
    if not len(images) or images.ndim != 4 or len(names) != len(images):
        raise ValueError(f"{len(names)} names for images of shape {images.shape}")
    if maps.shape != (len(images), *images.shape[2:]):
        raise ValueError(f"maps of shape {maps.shape} for images of shape {images.shape}")
    with style():
        # Twice the size at which it is shown, with letters to match: sharp on any screen.
        figure = new_figure(3.4 * len(images), 7.75)
        # The faces get all the room there is.
        figure.set_layout_engine("none")
        room = {"left": 0, "right": 1, "bottom": 0.065, "top": 0.945}
        room |= {"wspace": 0.012, "hspace": 0.012}
        axes = figure.subplots(2, len(images), squeeze=False, gridspec_kw=room)
        for column, (image, name, heat) in enumerate(zip(images, names, maps, strict=True)):
            axes[0, column].imshow(image.transpose(1, 2, 0).clip(0, 1))
            axes[1, column].imshow(overlay(image, heat))
            axes[0, column].set_title(KINDS.get(name, name), fontsize=24)
        for axis in axes.flat:
            axis.set_axis_off()
        mark(figure, f"{source}. Lower row: {title}" if source and title else source or title)
        for text in figure.texts:
            text.set_fontsize(17)
    shown = ", ".join(KINDS.get(name, name) for name in names)
    return Plate(
        figure,
        f"One person{of(source)} in {len(images)} pictures side by side: {shown}. Under each the "
        f"same face with a map of where the network looks ({title or 'activation maps'}).",
    )


class Stage(NamedTuple):
    """Consecutive parts of a network that give maps of one shape."""

    name: str
    """"block 4 to 11", say."""
    kind: str
    """stem, entry, middle or exit."""
    shape: tuple[int, ...]
    """(channels, height, width) of what it gives; (channels,) of pooled features."""
    parameters: int


def xception_stages(channels: int = 3, side: int = 448) -> list[Stage]:
    """What the paper's backbone is made of, read off the network itself.

    No number of this list is written down anywhere: the network is built without memory for its
    weights, an image of ``side`` pixels and ``channels`` planes is passed through its layers one
    by one, and shapes and parameters are counted.
    """
    import torch

    from mcxlib.detectors import backbones

    with torch.device("meta"):
        network: Any = backbones.create("legacy_xception", channels)
        x = torch.empty(1, channels, side, side)
    network.eval()
    parts: list[tuple[str, str, tuple[Any, ...]]]
    parts = [("conv 1", "stem", (network.conv1, network.bn1, network.act1))]
    parts += [("conv 2", "stem", (network.conv2, network.bn2, network.act2))]
    blocks = backbones.blocks(network)
    for number, block in enumerate(blocks, start=1):
        kind = "entry" if number <= 3 else "middle" if number < len(blocks) else "exit"
        parts.append((f"block {number}", kind, (block,)))
    parts += [("conv 3", "exit", (network.conv3, network.bn3, network.act3))]
    parts += [("conv 4", "exit", (network.conv4, network.bn4, network.act4))]
    parts += [("average", "exit", (network.global_pool,))]
    stages: list[Stage] = []
    for name, kind, modules in parts:
        for module in modules:
            x = module(x)
        count = sum(p.numel() for module in modules for p in module.parameters())
        shape = tuple(x.shape[1:])
        if stages and stages[-1].kind == kind == "middle":
            before = stages.pop()
            first, last = before.name.split()[1], name.split()[1]
            name, count = f"blocks {first} to {last}", count + before.parameters
        stages.append(Stage(name, kind, shape, count))
    return stages


def backbone(stages: Sequence[Stage], channels: int = 3, side: int = 448) -> Plate:
    """A network as a chain from top to bottom: a bar a stage, as wide as it has channels.

    Args:
        stages: from :func:`xception_stages` for the same ``channels`` and ``side``.

    Raises:
        ValueError: no stage.
    """
    from matplotlib.patches import FancyArrowPatch, Rectangle

    if not stages:
        raise ValueError("no stages: a network has at least one")
    rows = [Stage("image", "stem", (channels, side, side), 0), *stages]
    widest = max(stage.shape[0] for stage in rows)
    with style():
        figure = new_figure(9.2, 0.82 * len(rows) + 0.3)
        axis = figure.subplots()
        for place, stage in enumerate(rows):
            # Never narrower than its text.
            width = 2.7 + 3.3 * np.sqrt(stage.shape[0] / widest)
            box = Rectangle((3 - width / 2, -place - 0.3), width, 0.6, fc=_FILLS[stage.kind])
            box.set(ec="#444444", lw=1.4)
            axis.add_patch(box)
            axis.text(-0.15, -place, stage.name, ha="right", va="center", fontsize=18)
            shape = " × ".join(map(str, stage.shape))
            axis.text(3, -place, shape, ha="center", va="center", fontsize=18, zorder=3)
            said = f"{stage.parameters:,} weights" if stage.parameters else ""
            said = f"D = {stage.shape[0]}" if len(stage.shape) == 1 else said
            axis.text(6.15, -place, said, ha="left", va="center", fontsize=15, color="#444444")
            if place:
                ends = (3, -place + 0.7), (3, -place + 0.3)
                arrow = FancyArrowPatch(*ends, arrowstyle="-|>", shrinkA=0, shrinkB=0)
                arrow.set_mutation_scale(18)
                arrow.set(color="#444444", lw=1.4)
                axis.add_patch(arrow)
        axis.set(xlim=(-2.3, 8.9), ylim=(-len(rows) + 0.5, 0.45))
        axis.set_axis_off()
    total = sum(stage.parameters for stage in stages)
    chain = ", ".join(f"{s.name} {' by '.join(map(str, s.shape))}" for s in rows)
    return Plate(
        figure,
        f"Xception from top to bottom, each stage with the shape it gives: {chain}. The last are "
        f"the D = {stages[-1].shape[0]} features; {total:,} weights in all.",
    )

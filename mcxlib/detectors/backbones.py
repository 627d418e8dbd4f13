"""A name and a number of input channels -> a feature extractor (paper, sections 3.1 and 4.1).

The paper's backbone is Xception (timm's ``legacy_xception``, 2048 features after global average
pooling); its base architecture, API-Net, uses a ResNet. Every timm model with pooled features
will do; ``slim_xception`` and ``mini_xception`` are small members of the Xception family for
training on a CPU.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import timm
import torch
from timm.layers import ConvNormAct
from timm.models.resnet import ResNet
from timm.models.xception import Xception
from timm.models.xception_aligned import XceptionAligned
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

SLIM, MINI = "slim_xception", "mini_xception"
"""The two names here that are not timm's."""

# Running statistics move this far towards a batch's own at each step. At torch's default, 0.1,
# they lag behind the quickly changing weights of a run of a few hundred steps, and a network in
# eval mode performs at chance long after its training loss has fallen.
_SMALL_BN_MOMENTUM = 0.2


def create(
    name: str,
    in_channels: int,
    pretrained: bool | str | Path = False,
    *,
    bn_momentum: float | None = None,
) -> nn.Module:
    """Build a feature extractor with random or pretrained weights.

    Args:
        name: a timm model name, with or without a weights tag, ``"slim_xception"`` or
            ``"mini_xception"``.
        in_channels: channels of the input images; timm adapts the first convolution of
            pretrained weights to them.
        pretrained: False for random weights; True for timm's published weights, downloaded on
            first use; or the path of a local file with the model's weights in timm's layout.
        bn_momentum: momentum of every BatchNorm's running statistics; None keeps the model's own
            (the two small ones: 0.2).

    Returns:
        A module that maps (B, in_channels, H, W) to pooled features (B, D), with D as its
        attribute ``num_features``.

    Raises:
        ValueError: for an unknown name (with close matches), a number of channels below 1, or
            published weights that do not exist.
        RuntimeError: if pretrained weights cannot be downloaded or read.
    """
    if in_channels < 1:
        raise ValueError(f"in_channels must be at least 1, not {in_channels}")
    if name in _WIDTHS:
        backbone = _small(name, in_channels, pretrained)
    else:
        backbone = _timm(name, in_channels, pretrained)
    # Some models end in a further layer after pooling, whose width timm stores under this name.
    backbone.num_features = getattr(backbone, "head_hidden_size", None) or backbone.num_features
    if bn_momentum is not None:
        for module in backbone.modules():
            if isinstance(module, _BatchNorm):
                module.momentum = bn_momentum
    return backbone


def width(backbone: Any) -> int:
    """D, the width of a backbone's pooled features."""
    return int(backbone.num_features)


def cam_layer(backbone: Any) -> nn.Module:
    """The module whose output is the last feature map before global pooling.

    This is where class activation maps are taken ("the last block of the exit flow", Fig. 5 and
    6): after the activation that follows Xception's last separable convolution, the last block of
    slim_xception, the last block of a ResNet. Any other network is run once on a blank image to
    find the last module that gives a (B, C, h, w) map.

    Raises:
        ValueError: if the network has no such map (a vision transformer, say).
    """
    if isinstance(backbone, XceptionAligned | ResNet):
        return blocks(backbone)[-1]
    if hasattr(backbone, "conv4") and hasattr(backbone, "act4"):  # legacy_xception
        return backbone.act4
    return _last_map(backbone)


def blocks(backbone: nn.Module) -> list[nn.Module]:
    """The blocks a backbone is a chain of, in order: each maps one tensor to the next one's input.

    Known for the Xception and ResNet families; an empty list for any other.
    """
    if isinstance(backbone, Xception):
        return [getattr(backbone, f"block{i}") for i in range(1, 13)]
    if isinstance(backbone, XceptionAligned):
        return list(backbone.blocks)
    if isinstance(backbone, ResNet):
        return [block for i in range(1, 5) for block in getattr(backbone, f"layer{i}")]
    return []


def checkpoint_blocks(backbone: nn.Module) -> None:
    """Keep only the blocks' inputs for the backward pass, and compute the rest a second time.

    A step then takes about a third longer and a fraction of the memory. Weights and their names,
    outputs and gradients stay what they are, and running statistics are updated once a step.

    Raises:
        ValueError: for a backbone whose blocks are not known (see :func:`blocks`).
    """
    found = blocks(backbone)
    if not found:
        raise ValueError(
            f"the blocks of {type(backbone).__name__} are not known: gradient checkpointing works "
            "for the Xception and ResNet families; leave checkpoint_backbone=False"
        )
    for block in found:
        cls = type(block)
        if not issubclass(cls, _Checkpointed):
            # A change of class, not a wrapping module: the names of the weights stay as they are.
            block.__class__ = type(f"Checkpointed{cls.__name__}", (_Checkpointed, cls), {})


class _Checkpointed(nn.Module):
    """Mixed in before a block's own class."""

    def forward(self, x: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return super().forward(x)
        return checkpoint(
            super().forward,
            x,
            use_reentrant=False,
            context_fn=lambda: (nullcontext(), _without_running_statistics(self)),
        )


@contextmanager
def _without_running_statistics(block: nn.Module) -> Iterator[None]:
    """The second computation normalises as the first did and leaves the statistics alone."""
    modules = [m for m in block.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    before = [(module, module.momentum, module.num_batches_tracked) for module in modules]
    for module, _, count in before:
        # Not by turning the statistics off: the two computations must do the same operations.
        module.momentum = 0.0
        module.num_batches_tracked = None if count is None else torch.zeros_like(count)
    try:
        yield
    finally:
        for module, momentum, count in before:
            module.momentum = momentum
            module.num_batches_tracked = count


# Xception's stem, entry and exit flow with three blocks in place of thirteen: few wide layers learn
# more reliably in a short run than many; narrow where the maps are large, which is where the time
# goes; and a total stride of 8, so that crops of 64 to 96 px keep maps of 8 to 12 for class
# activation maps. Widths: after each of the stem's convolutions, then after each block.
_WIDTHS = {SLIM: ((32, 64), (64, 128, 256)), MINI: ((16, 32), (64, 128, 192))}


def _small(name: str, in_channels: int, pretrained: bool | str | Path) -> nn.Module:
    if pretrained:
        raise ValueError(f"{name} has no published weights; leave pretrained=False")
    (first, second), widths = _WIDTHS[name]
    blocks: list[dict[str, Any]] = [
        {"in_chs": inputs, "out_chs": outputs, "stride": stride}
        for inputs, outputs, stride in zip((second, *widths), widths, (2, 2, 1), strict=False)
    ]
    backbone = XceptionAligned(blocks, num_classes=0, in_chans=in_channels, global_pool="avg")
    if (first, second) != (32, 64):  # timm's own stem
        backbone.stem = nn.Sequential(
            ConvNormAct(in_channels, first, kernel_size=3, stride=2),
            ConvNormAct(first, second, kernel_size=3),
        )
    for module in backbone.modules():
        if isinstance(module, _BatchNorm):
            module.momentum = _SMALL_BN_MOMENTUM
    return backbone


def _timm(name: str, in_channels: int, pretrained: bool | str | Path) -> nn.Module:
    if not timm.is_model(name):
        known = [*timm.list_models(), *_WIDTHS]
        close = difflib.get_close_matches(name, known, n=5, cutoff=0.5)
        hint = f"did you mean {', '.join(close)}?" if close else "see timm.list_models()"
        raise ValueError(f"unknown backbone {name!r}; {hint}")
    options: dict[str, Any] = {"in_chans": in_channels, "num_classes": 0, "global_pool": "avg"}
    if not pretrained:
        return timm.create_model(name, pretrained=False, **options)
    if not isinstance(pretrained, bool):
        file = Path(pretrained)
        if not file.is_file():
            raise RuntimeError(f"no weights file {file}; give a file, or leave pretrained=False")
        options["pretrained_cfg_overlay"] = {"file": str(file)}
    elif not timm.is_model_pretrained(name):
        raise ValueError(f"timm publishes no weights for {name!r}; leave pretrained=False")
    try:
        return timm.create_model(name, pretrained=True, **options)
    except Exception as error:  # hub, URL, cache and file errors come in many types
        raise RuntimeError(
            f"the pretrained weights of {name!r} could not be loaded "
            f"({type(error).__name__}: {error}). Without a network, download the weights "
            "elsewhere and pass pretrained='path/to/the/file', or leave pretrained=False"
        ) from error


def _last_map(backbone: nn.Module) -> nn.Module:
    seen: list[tuple[nn.Module, int]] = []

    def record(module: nn.Module, _: Any, output: Any) -> None:
        if isinstance(output, Tensor) and (
            output.ndim == 3 or (output.ndim == 4 and min(output.shape[2:]) > 1)
        ):
            seen.append((module, output.ndim))

    config = getattr(backbone, "pretrained_cfg", None) or {}
    _, height, width = config.get("input_size", (3, 224, 224))
    weight = next(backbone.parameters())
    channels = getattr(backbone, "in_chans", None) or _first_convolution(backbone).in_channels
    blank = torch.zeros(1, channels, height, width, device=weight.device, dtype=weight.dtype)
    handles = [module.register_forward_hook(record) for module in backbone.modules()]
    was_training = [(module, module.training) for module in backbone.modules()]
    try:
        backbone.eval()  # a blank image must not enter BatchNorm's running statistics
        with torch.no_grad():
            backbone(blank)
    finally:
        for handle in handles:
            handle.remove()
        for module, training in was_training:
            module.training = training
    # Tokens after the last map mean that it is only a patch embedding; channels in last place
    # mean a map that the usual class activation formulas would misread.
    if not seen or seen[-1][1] == 3 or getattr(backbone, "output_fmt", "NCHW") == "NHWC":
        raise ValueError(
            f"{type(backbone).__name__} has no (B, C, h, w) feature map before its pooling; "
            "class activation maps need a convolutional backbone"
        )
    return seen[-1][0]


def _first_convolution(backbone: nn.Module) -> nn.Conv2d:
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d):
            return module
    raise ValueError(f"{type(backbone).__name__} has no convolution")

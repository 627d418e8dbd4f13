"""Whose weights are known: how each names its tensors, and what its network expects.

Each entry says how a tensor is called there that is called so here, and which of this project's
detectors, with which settings, computes the same. Nothing is guessed: a name that is not expected
is an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from mcxlib import CLASSES
from mcxlib.weights.known import UNKNOWN

Tensors = Mapping[str, Tensor]
_BINARY = ("real", "fake")
_MODULES = (
    *("conv1", "bn1", "act1", "conv2", "bn2"),
    *(f"block{number}" for number in range(1, 13)),
    *("conv3", "bn3", "conv4", "bn4"),
)
"""Xception's modules in the order in which MCX-API's released code chains them."""


@dataclass(frozen=True)
class Layout:
    """One way to store the weights of one network."""

    name: str
    what: str
    marks: tuple[str, ...]
    """Regular expressions, each of which a name in the file matches; no other layout has all."""
    theirs: Callable[[str], tuple[str, ...]]
    """Name of a tensor here -> what it can be called there."""
    detector: str
    """"" for a backbone alone."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of the run it is taken to be of: the detector's, the crops', the input size."""
    classes: tuple[str, ...] = _BINARY
    extra: str = r"(?!)"
    """Regular expression of names that no output depends on: dropped."""
    crops: Mapping[str, Any] = field(default_factory=dict)
    """How the crops it was trained on were cut, where that differs from this project's way."""
    normalisation: str = ""
    unlike: str = r"(?!)"
    """Regular expression that no name in the file matches."""
    outputs: int = 0
    """Of its last layer, where that tells it from another layout; 0 for any number."""

    def fits(self, tensors: Tensors) -> bool:
        """Whether a file with these tensors, as :func:`canonical` gives them, is of this layout."""
        rows = {v.shape[0] for k, v in tensors.items() if v.ndim and re.fullmatch(_HEAD, k)}
        return (
            all(_any(mark, tensors) for mark in self.marks)
            and not _any(self.unlike, tensors)
            and not (self.outputs and rows - {self.outputs})
        )


_HEAD = r"(model\.)?(fc|last_linear)(\.1)?\.weight"


def _any(pattern: str, names: Tensors) -> bool:
    return any(re.fullmatch(pattern, name) for name in names)


def canonical(tensors: Tensors) -> dict[str, Tensor]:
    """Tensors as read, with axes in torch's order.

    Keras's layers are numbered from 1; pointwise convolutions that were stored as matrices become
    convolutions; half precision becomes single.
    """
    found = {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}
    if any("/" in name for name in found):
        return _from_keras(found)
    return {
        name: value[:, :, None, None] if "pointwise" in name and value.ndim == 2 else value
        for name, value in found.items()
    }


def _xception(prefix: str, *heads: str) -> Callable[[str], tuple[str, ...]]:
    def theirs(name: str) -> tuple[str, ...]:
        part, _, rest = name.partition(".")
        if part == "backbone":
            return (f"{prefix}{rest}",)
        return tuple(f"{prefix}{head}.{rest}" for head in heads)

    return theirs


def _released(name: str) -> tuple[str, ...]:
    part, _, rest = name.partition(".")
    if part == "backbone":
        module, _, rest = rest.partition(".")
        number = _MODULES.index(module)
        return f"conv.module.{number}.{rest}", f"conv.{number}.{rest}"
    return (f"{'fc' if part == 'classifier' else part}.{rest}",)


def _seferbekov(name: str) -> tuple[str, ...]:
    part, _, rest = name.partition(".")
    return (f"encoder.{rest}" if part == "backbone" else f"fc.{rest}",)


_AXES = {2: (1, 0), 4: (3, 2, 0, 1)}
"""Of Keras's kernels: dense ones are (in, out), convolutions (height, width, in, out)."""


def _from_keras(tensors: Tensors) -> dict[str, Tensor]:
    """Layers numbered anew by the order of their creation, kernels in torch's order of axes.

    Keras counts on from one network to the next in a process, and newer versions leave out the
    first number. The first dense layer reads a map whose channels are innermost.
    """
    numbers: dict[str, list[int]] = {}
    parsed = []
    for name, value in tensors.items():
        layer, _, weight = name.partition("/")
        match = re.fullmatch(r"(.*?)(?:_(\d+))?", layer)
        assert match is not None  # it matches everything
        kind, number = match[1], int(match[2] or 0)
        if number not in numbers.setdefault(kind, []):
            numbers[kind].append(number)
        parsed.append((kind, number, weight, value))
    found = {}
    for kind, number, weight, value in parsed:
        place = sorted(numbers[kind]).index(number) + 1
        if weight == "kernel" and value.ndim in _AXES:
            if kind == "dense" and place == 1 and value.shape[0] == 8 * 8 * 16:
                value = value.view(8, 8, 16, -1).permute(2, 0, 1, 3).reshape(8 * 8 * 16, -1)
            value = value.permute(*_AXES[value.ndim])
        found[f"{kind}_{place}/{weight}"] = value
    return found


def _mesonet_names(
    convolutions: tuple[str, ...], norms: tuple[str, ...]
) -> Callable[[str], tuple[str, ...]]:
    layers = {name: f"conv2d_{i}" for i, name in enumerate(convolutions, start=1)}
    layers |= {name: f"batch_normalization_{i}" for i, name in enumerate(norms, start=1)}
    layers |= {"hidden": "dense_1", "output": "dense_2"}
    normal = {
        "weight": "gamma",
        "bias": "beta",
        "running_mean": "moving_mean",
        "running_var": "moving_variance",
    }

    def theirs(name: str) -> tuple[str, ...]:
        layer, _, weight = name.rpartition(".")
        names = normal if layer in norms else {"weight": "kernel", "bias": "bias"}
        return (f"{layers[layer]}/{names[weight]}",) if weight in names else ()

    return theirs


def _inception(block: int) -> tuple[str, ...]:
    branches = f"blocks.{block}.branches"
    behind = (f"{branches}.{b}.{step}.0" for b in (1, 2, 3) for step in (0, 1))
    return f"{branches}.0.0", *behind


_DLIB = {"detector": "dlib", "facenet_pytorch": None, "detection": None}
_UNKNOWN_CROPS = {"min_probability": UNKNOWN, "frame_rule": UNKNOWN, "frame_count": None}
_HALF = "mean and deviation 0.5"


def _mesonet(
    name: str, marks: str, convolutions: tuple[str, ...], norms: tuple[str, ...], **more: str
) -> Layout:
    variant = name.removeprefix("mesonet-")
    return Layout(
        name=name,
        what=f"MesoNet's {'Meso4' if variant == 'meso4' else 'MesoInception'}_*.h5 (Keras)",
        marks=(marks,),
        theirs=_mesonet_names(convolutions, norms),
        detector="mesonet",
        settings={"variant": variant, "train_on": UNKNOWN} | {"input_size": 256, "crop_size": 256},
        crops={"detector": "Viola and Jones, aligned by landmarks", "facenet_pytorch": None}
        | {"detection": None, "loose_factor": UNKNOWN}
        | _UNKNOWN_CROPS,
        normalisation="none: RGB in [0, 1]",
        **more,  # type: ignore[arg-type]
    )


LAYOUTS = (
    Layout(
        name="mcx-api-released",
        what="MCX-API's model_best.pth.tar",
        marks=(r"conv\.(module\.)?0\.weight", r"map1\.weight", r"map2\.weight"),
        theirs=_released,
        detector="mcx-api-released",
        settings={"input_size": 448, "crop_size": 512, "crop_rule": "authors"}
        | {"detection": "exact", "frame_rule": "every", "faces": "all"},
        classes=CLASSES,
        extra=r"conv_reduce\..*",
        normalisation="ImageNet's mean and deviation",
    ),
    Layout(
        name="deepfakebench-xception",
        what="DeepfakeBench's xception_best.pth",
        marks=(r"backbone\.conv1\.weight", r"backbone\.last_linear\.(1\.)?weight"),
        theirs=_xception("backbone.", "last_linear", "last_linear.1"),
        detector="xception",
        settings={"normalisation": "half", "input_size": 256, "crop_size": 256},
        extra=r"backbone\.adjust_channel\..*",
        crops={**_DLIB, **_UNKNOWN_CROPS, "aligned": "by 81 landmarks", "frame_rule": "even"}
        | {"frame_count": 32},
        normalisation=_HALF,
    ),
    Layout(
        name="faceforensics-xception",
        what="FaceForensics++'s Xception (its state dict)",
        marks=(r"(model\.)?conv1\.weight", r"(model\.)?last_linear\.(1\.)?weight"),
        outputs=2,
        theirs=lambda name: tuple(
            option
            for prefix in ("model.", "")
            for option in _xception(prefix, "last_linear", "last_linear.1")(name)
        ),
        detector="xception",
        settings={"normalisation": "half", "input_size": 299, "crop_size": 299},
        crops={**_DLIB, "detector": "Face2Face's tracker", **_UNKNOWN_CROPS},
        normalisation=_HALF,
    ),
    Layout(
        name="imagenet-xception",
        what="Xception's ImageNet weights, as timm or Cadene store them",
        marks=(r"conv1\.weight", r"block12\.rep\.1\.conv1\.weight"),
        theirs=lambda name: (name,),
        detector="",
        outputs=1000,
        extra=r"(fc|last_linear)\.(weight|bias)",
        normalisation=_HALF,
    ),
    _mesonet(
        "mesonet-meso4",
        r"conv2d_4/kernel",
        tuple(f"blocks.{i}.0.0" for i in range(4)),
        tuple(f"blocks.{i}.1" for i in range(4)),
        unlike=r"conv2d_5/kernel",
    ),
    _mesonet(
        "mesonet-mesoinception4",
        r"conv2d_16/kernel",
        (*_inception(0), *_inception(1), "blocks.2.0.0", "blocks.3.0.0"),
        ("blocks.0.normalise", "blocks.1.normalise", "blocks.2.1", "blocks.3.1"),
    ),
    Layout(
        name="seferbekov",
        what="Seferbekov's DeepFakeClassifier (EfficientNet-B7)",
        marks=(r"encoder\.conv_stem\.weight", r"fc\.weight"),
        theirs=_seferbekov,
        detector="seferbekov",
        settings={"train_on": "DFDC", "input_size": 380, "crop_size": 380}
        | {"crop_rule": "seferbekov", "frame_rule": "even", "frame_count": 32, "faces": "all"},
        extra=r"encoder\.classifier\.(weight|bias)",
        crops={
            "min_probability": "MTCNN's thresholds 0.7, 0.8, 0.8; in training 0.85, 0.95, 0.95",
            "detection": "on frames halved",
        },
        normalisation="ImageNet's mean and deviation",
    ),
)

"""A network of this project -> a file that other programs run: ONNX, or PyTorch's exported program.

Colour conversion and normalisation are inside. The input is what :meth:`Detector.forward` takes:
(B, 3, H, W), or clips (B, T, 3, H, W), float32 RGB in [0, 1], of the size the network was trained
on, any number of them.
The outputs are ``fake_score`` (B,), larger is more likely fake, and ``probabilities`` (B, classes);
a detector that only tells real from fake has two.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mcxlib.detectors.base import Detector
from mcxlib.detectors.clips import clip_of
from mcxlib.files import digest, replacing
from mcxlib.weights.card import Card
from mcxlib.weights.format import load

OPSET = 18
"""Of the ONNX files; runtimes of 2023 and later know it."""

SUFFIXES = {"onnx": ".onnx", "torch": ".pt2"}
TOLERANCE = 1e-4
"""How far an exported file may be from the network, in probability."""

_OUTPUTS = ("fake_score", "probabilities")


class Scorer(nn.Module):
    """A detector with its probabilities."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W), or clips, RGB in [0, 1] -> score of fake (B,) and probabilities (B, K),
        float32."""
        logits = self.detector(images)
        probabilities = self.detector.class_probabilities(logits)
        if probabilities is None:
            probabilities = self.detector.log_probabilities(logits).exp()
        return self.detector.fake_score(logits).float(), probabilities.float()


def export(weights: Path, to: str, output: Path) -> dict[str, Any]:
    """Write the network of a file of weights as ``output``, whole or not at all.

    What was written is run once on noise and compared with the network.

    Args:
        weights: a ``.safetensors`` of this project.
        to: ``"onnx"`` or ``"torch"``.
        output: a file ending in ``.onnx`` or ``.pt2``.

    Returns:
        What the file says of itself: the card, names, order and shapes of inputs and outputs.

    Raises:
        ValueError: another ``to`` or suffix, or as :func:`mcxlib.weights.load`.
        RuntimeError: a package is missing, the detector cannot be exported, or the file gives
            other numbers than the network.
    """
    if to not in SUFFIXES:
        raise ValueError(f"--to is one of {', '.join(SUFFIXES)}, not {to!r}")
    output = Path(output)
    if output.suffix != SUFFIXES[to]:
        raise ValueError(f"{output} has to end in {SUFFIXES[to]} for --to {to}")
    if to == "onnx":
        _require_onnx()
    model, _, card = load(weights)
    about = _about(model, card, weights)
    scorer = Scorer(model).eval()
    size, frames = about["input"]["size"], about["input"]["frames"]
    shape = (2, *([frames] if frames > 1 else []), 3, size, size)
    images = torch.rand(*shape, generator=torch.Generator().manual_seed(0))
    try:
        program = _traced(scorer, images)
        with replacing(output) as temporary:
            if to == "onnx":
                _write_onnx(program, images, temporary, about)
                found = _run_onnx(temporary, images[:1])
            else:
                files = {"card.json": json.dumps(about)}
                with _quiet():
                    torch.export.save(program, temporary, extra_files=files)
                found = _run_torch(temporary, images[:1])
            _compare(found, scorer, images[:1], output)
    except (ValueError, OSError, _Differs):
        raise
    except Exception as error:  # the exporters' own errors come in many types
        text = (str(error).strip().splitlines() or [""])[0]
        other = "torch" if to == "onnx" else "onnx"
        raise RuntimeError(
            f"{card.label} cannot be written as {to} ({type(error).__name__}: {text[:200]}); try "
            f"--to {other}"
        ) from error
    return about


class _Differs(RuntimeError):
    pass


def _require_onnx() -> None:
    missing = [name for name in ("onnx", "onnxruntime", "onnxscript") if find_spec(name) is None]
    if missing:
        raise RuntimeError(
            f"--to onnx needs {', '.join(missing)}, not installed: pip install '.[weights]' in the "
            "project's folder"
        )


def _about(model: Detector, card: Card, weights: Path) -> dict[str, Any]:
    has_classes = model.class_probabilities(torch.zeros(1, _outputs(model))) is not None
    frames = clip_of(type(model), model.settings).frames
    return {
        "format": 1,
        "card": card.model_dump(mode="json"),
        "weights_sha256": digest(weights),
        "input": {
            "name": "images",
            "size": card.input["size"],
            "frames": frames,
            "layout": f"batch, {'frames, ' if frames > 1 else ''}3 (red, green, blue), height, "
            "width; float32 in [0, 1]",
        },
        "outputs": {
            "fake_score": "larger is more likely fake",
            "probabilities": list(card.classes) if has_classes else ["real", "fake"],
        },
        "threshold": card.validation.get("threshold", 0.5),
        "opset": OPSET,
    }


def _outputs(model: Detector) -> int:
    return [m for m in model.modules() if isinstance(m, nn.Linear)][-1].out_features


def _traced(scorer: Scorer, images: Tensor) -> torch.export.ExportedProgram:
    """The computation as one graph, of any number of images."""
    batch = torch.export.Dim("batch", min=1)
    with _quiet():
        # With gradients, colours are converted in one go; without, in a loop over a few images at
        # a time, which a graph would unroll.
        return torch.export.export(
            scorer, (images.requires_grad_(),), dynamic_shapes=({0: batch},), strict=False
        )


def _write_onnx(
    program: torch.export.ExportedProgram, images: Tensor, path: Path, about: dict[str, Any]
) -> None:
    import onnx

    with _quiet():
        made = torch.onnx.export(
            program,
            (images,),
            input_names=["images"],
            output_names=list(_OUTPUTS),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert made is not None
    proto = made.model_proto
    onnx.helper.set_model_props(proto, {k: json.dumps(v) for k, v in about.items()})
    path.write_bytes(proto.SerializeToString())


def _run_onnx(path: Path, images: Tensor) -> list[np.ndarray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(list(_OUTPUTS), {"images": images.detach().numpy()})


@torch.no_grad()
def _run_torch(path: Path, images: Tensor) -> list[np.ndarray]:
    return [value.numpy() for value in torch.export.load(path).module()(images.detach())]


@torch.no_grad()
def _compare(found: list[np.ndarray], scorer: Scorer, images: Tensor, output: Path) -> None:
    expected = [value.numpy() for value in scorer(images.detach())]
    difference = max(float(np.abs(a - b).max()) for a, b in zip(found, expected, strict=True))
    if not difference <= TOLERANCE:
        raise _Differs(
            f"{output} was not written: it would give other numbers than the network, by up to "
            f"{difference:.1g} in probability"
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporters' reports on their own progress."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)

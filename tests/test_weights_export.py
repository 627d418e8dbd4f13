"""Exported networks give the same numbers elsewhere, without this project."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from peers import settled
from PIL import Image
from typer.testing import CliRunner

from mcxlib import CLASSES, weights
from mcxlib.cli import app
from mcxlib.config import load
from mcxlib.weights.export import export

ROOT = Path(__file__).parents[1]


def stored(path: Path, seed: int = 0, **settings) -> Path:
    """Weights of the test preset that answer differently to different images."""
    config = load("test", **settings)
    torch.manual_seed(seed)
    model = settled(weights.build(config), faces(8, seed=5))
    card = weights.Card(
        detector=config.detector,
        label=config.label,
        classes=CLASSES,
        input={"size": 64, "colour": "RGB", "range": [0, 1]},
        config=config.stored(),
        validation={"threshold": 0.25},
    )
    weights.save(path, model, card)
    return path


def faces(count: int, seed: int = 0) -> torch.Tensor:
    """Images of one colour each, with noise."""
    generator = torch.Generator().manual_seed(seed)
    colours = torch.rand(count, 3, 1, 1, generator=generator)
    noise = torch.rand(count, 3, 64, 64, generator=generator)
    return 0.6 * colours + 0.4 * noise


@torch.no_grad()
def expected(file: Path, images: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    model = weights.load(file).model
    logits = model(images)
    probabilities = logits.softmax(1) if logits.shape[1] > 1 else None
    score = model.fake_score(logits)
    if probabilities is None:
        probabilities = torch.stack([1 - score, score], dim=1)
    assert score.max() - score.min() > 0.01, "the images have to matter"
    return score.numpy(), probabilities.numpy()


@pytest.fixture(scope="module")
def four(tmp_path_factory):
    """A network that sees all four colour spaces, and its ONNX file."""
    folder = tmp_path_factory.mktemp("four")
    file = stored(folder / "w.safetensors", colorspace="rgb+hsv+lab+ycbcr")
    export(file, "onnx", folder / "w.onnx")
    return file, folder / "w.onnx"


def run(file: Path, images: torch.Tensor) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return session.run(["fake_score", "probabilities"], {"images": images.numpy()})


@pytest.mark.parametrize("count", [1, 5])
def test_onnx_equals_torch_in_all_colour_spaces(four, count):
    images = faces(7)[-count:] if count > 1 else faces(7)
    score, probabilities = expected(four[0], images)
    found = (
        run(four[1], images)
        if count > 1
        else [
            np.concatenate(parts)
            for parts in zip(*(run(four[1], i[None]) for i in images), strict=True)
        ]
    )
    assert found[0].shape == (len(images),)
    np.testing.assert_allclose(found[0], score, atol=1e-4)
    np.testing.assert_allclose(found[1], probabilities, atol=1e-4)


def test_an_onnx_file_says_what_it_is(four):
    proto = onnx.load(four[1])
    onnx.checker.check_model(proto)
    assert [(entry.domain, entry.version) for entry in proto.opset_import][:1] == [("", 18)]
    shape = proto.graph.input[0].type.tensor_type.shape.dim
    assert shape[0].dim_param
    assert [d.dim_value for d in shape][1:] == [3, 64, 64]
    about = {entry.key: json.loads(entry.value) for entry in proto.metadata_props}
    assert about["card"]["label"] == "MCX-API(RGB+HSV+CIELab+YCbCr)"
    assert about["card"]["classes"] == list(CLASSES)
    assert about["outputs"]["probabilities"] == list(CLASSES)
    assert (about["input"]["size"], about["opset"], about["threshold"]) == (64, 18, 0.25)


def test_the_example_needs_nothing_of_this_project(four, tmp_path):
    """book/score_onnx.py on PNGs, in a process that can import neither mcxlib nor torch."""
    images = (faces(3, seed=1) * 255).round() / 255
    files = []
    for number, image in enumerate(images):
        files.append(f"face{number}.png")
        pixels = (image.permute(1, 2, 0) * 255).round().byte().numpy()
        Image.fromarray(pixels).save(tmp_path / files[-1])
    code = (
        "import runpy, sys; sys.modules.update(mcxlib=None, torch=None); "
        f"sys.argv[1:] = {[str(four[1]), *files]!r}; "
        f"runpy.run_path({str(ROOT / 'book/score_onnx.py')!r}, run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
    )
    assert done.returncode == 0, done.stderr
    first, *lines = done.stdout.splitlines()
    assert first == "MCX-API(RGB+HSV+CIELab+YCbCr), 64 px, fake from 0.25"
    score, _ = expected(four[0], images)
    assert [line.split(":")[0] for line in lines] == files
    found = [float(line.split(": ")[1].split()[0]) for line in lines]
    np.testing.assert_allclose(found, score, atol=1.5e-4)


def test_an_exported_program_and_a_detector_of_two_answers(tmp_path):
    """MesoNet has one output, p(real); to torch's format by the command line."""
    file = stored(tmp_path / "w.safetensors", detector="mesonet")
    output = tmp_path / "w.pt2"
    done = CliRunner().invoke(app, ["weights", "export", str(file), str(output), "--to", "torch"])
    assert done.exit_code == 0, done.output
    extra = {"card.json": ""}
    program = torch.export.load(output, extra_files=extra)
    about = json.loads(extra["card.json"])
    assert about["outputs"]["probabilities"] == ["real", "fake"]
    assert about["card"]["detector"] == "mesonet"
    images = faces(4)
    score, probabilities = expected(file, images)
    found = program.module()(images)
    np.testing.assert_allclose(found[0].detach(), score, atol=1e-4)
    np.testing.assert_allclose(found[1].detach(), probabilities, atol=1e-4)


def test_what_cannot_be_exported_is_said(tmp_path, monkeypatch):
    file = stored(tmp_path / "w.safetensors", detector="mesonet")
    with pytest.raises(ValueError, match="--to is one of onnx, torch, not 'tflite'"):
        export(file, "tflite", tmp_path / "w.tflite")
    with pytest.raises(ValueError, match=r"w\.pt2 has to end in \.onnx for --to onnx"):
        export(file, "onnx", tmp_path / "w.pt2")
    monkeypatch.setattr(
        "mcxlib.weights.export._run_torch", lambda *_: [np.ones(1), np.ones((1, 2))]
    )
    with pytest.raises(RuntimeError, match=r"w\.pt2 was not written: it would give other numbers"):
        export(file, "torch", tmp_path / "w.pt2")
    assert not (tmp_path / "w.pt2").exists()
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(
        RuntimeError, match=r"needs onnxscript, not installed: pip install '\.\[weights\]'"
    ):
        export(file, "onnx", tmp_path / "w.onnx")

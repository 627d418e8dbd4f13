"""``mcxlib/scaling/counted.csv``: operations and memory of every row of the tables, counted."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import torch
from tqdm import tqdm

from benchmarks import flops
from benchmarks.memory import training_bytes
from mcxlib import detectors
from mcxlib.config import RunConfig, load
from mcxlib.detectors.clips import clip_of
from mcxlib.engine.flops import count
from mcxlib.engine.session import Step
from mcxlib.files import write_text
from mcxlib.scaling.work import COUNTED
from mcxlib.settings import matrix
from mcxlib.weights import build

FEW = 2
"""Images of each category in a step that has to be computed to be counted."""
LARGE = 60_000_000
"""Parameters above which its backward pass would take more memory than a small machine has."""

COLUMNS = ("run", "images", "pixels", "image", "step", "frozen_step", "step_bytes", "parameters")


def row(of: matrix.Row) -> dict[str, object]:
    """One row at the preset ``paper``: on tensors without data where its operations exist for
    those, else by computing a smaller batch, whose count is multiplied.

    A detector of clips has its own size of input, and fewer clips than the preset has frames: what
    is written is what a frame of the preset, at the preset's size, comes to.
    """
    config = load("paper", **of.settings)
    train = config.train
    batch = train.categories * train.per_category
    usual = load("paper")
    clip = clip_of(detectors.find(config.detector), config.model)
    has_memory = "backbone" in config.flat() and clip.frames == 1
    share, pixels = 1.0, train.input_size
    if clip.frames > 1:
        clips = 1 + (config.data.frame_count - clip.frames) // clip.stride
        share, pixels = clips / usual.data.frame_count, usual.train.input_size
    step = round(share * _step(config, batch, False))
    freezes = train.freeze_epochs > 0
    return {
        "run": of.run_id(0),
        "images": batch,
        "pixels": pixels,
        "image": round(share * _image(config)),
        "step": step,
        # The preset's frozen epochs are like the others for a detector that freezes nothing.
        "frozen_step": round(share * _step(config, batch, True)) if freezes else step,
        "step_bytes": training_bytes(config).total if has_memory else 0,
        "parameters": parameters(config),
    }


def parameters(config: RunConfig) -> int:
    """Of the whole network."""
    with torch.device("meta"):
        return sum(p.numel() for p in build(config).parameters())


def _image(config: RunConfig) -> int:
    size = config.train.input_size
    try:
        return flops.inference(config, 1, size)
    except RuntimeError:  # an operation that does not exist without data
        model = build(config).eval()
        with torch.no_grad():
            return count(lambda: model(torch.rand(flops.shape(config, 1, size))))


def _step(config: RunConfig, batch: int, frozen: bool) -> int:
    size, categories = config.train.input_size, config.train.categories
    try:
        return flops.training_step(config, batch, size, frozen=frozen)
    except RuntimeError:
        step = Step(build(config).train())
        labels = torch.arange(categories).repeat_interleave(FEW)
        images = torch.rand(flops.shape(config, len(labels), size))
        if parameters(config) > LARGE:
            # A convolution's two gradients take as many operations as it does, each.
            with torch.no_grad():
                counted = 3 * count(lambda: step(images, labels))
        else:
            counted = count(lambda: step(images, labels)["total"].backward())
        return round(counted * batch / len(labels))


def write(path: Path = COUNTED) -> Path:
    """Count every row of the paper's tables; some minutes."""
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    for one in tqdm(matrix.rows("paper"), "rows", leave=False):
        table.writerow(row(one))
    write_text(path, text.getvalue())
    return path

"""A score of fake for every frame, from one image at a time without a partner.

For a network with one output a class the score of fake is 1 - p(real) and the decision is at 0.5
(the released code; the paper does not describe inference). Test images are the central part of
the crop (section 4.1).

A convolution's last bits depend on how many images it is given at once. The network therefore
always gets :data:`GROUP` images, the same ones together however many are read at a time and by
however many processes, and a row's scores are the same to the last bit (on one machine, with one
number of threads).
"""

from __future__ import annotations

import hashlib
import math
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mcxlib.config import RunConfig
from mcxlib.data.crops import dataset as crops
from mcxlib.data.crops.clips import clips
from mcxlib.detectors.base import Detector
from mcxlib.detectors.clips import clip_of
from mcxlib.engine import flops, memory
from mcxlib.files import clear_partial, read_json, write_json, write_parquet

COLUMNS = (
    "dataset",
    "video_id",
    "frame_index",
    "face",
    "split",
    "is_fake",
    "manipulation",
    "target_id",
    "donor_id",
    "synthetic",
)
"""Of the rows, as far as they have them; ``face`` counts the faces of one frame."""

GROUP = 16
"""Images the network gets at once; the last group is filled up with black ones."""

PART_ROWS = 256 * GROUP
"""Rows of a stored part: what an interruption costs at most."""


@dataclass(frozen=True)
class Parts:
    """Where finished parts of a long scoring are kept until all are done."""

    folder: Path
    """Of this call's own; removed at the end."""
    made_from: dict[str, Any]
    """What the result depends on beside the rows' order, such as digests of weights and data. A
    call that was interrupted goes on from parts that were made from the same."""


def score_rows(
    model: Detector,
    rows: pd.DataFrame,
    crop_folder: Path,
    config: RunConfig,
    batch_size: int = 64,
    device: torch.device | str = "cpu",
    *,
    precision: str | None = None,
    loader_workers: int = 0,
    progress: Callable[[int, int], None] | None = None,
    parts: Parts | None = None,
) -> pd.DataFrame:
    """``fake_score``, and p_real, p_DF, ... where the detector has them, for every row of crops, or
    for every clip of them, under its first frame.

    The model is put into evaluation mode for the call and back into the mode it was in. The table's
    ``attrs["flop"]`` is its arithmetic, counted at the first batch and NaN if there was none left.

    Args:
        model: on ``device``.
        rows: of :func:`mcxlib.data.crops.rows.join`.
        crop_folder: where the rows' files lie.
        config: gives the input size and, unless ``precision`` is given, the precision.
        batch_size: images read and moved to the device at once, rounded up to a multiple of
            :data:`GROUP`. It decides nothing about the result.
        device: where to compute.
        precision: ``"32-true"``, ``"bf16-mixed"`` or ``"16-mixed"``; None: as in training.
        loader_workers: processes that read ahead.
        progress: called with (rows done, rows) after each batch.
        parts: keep what is done, and go on from it.

    Raises:
        ValueError: an unknown precision.
        OutOfMemory: the device's memory does not hold a group of images.
        OutOfSpace: no room for a part.
    """
    device = torch.device(device)
    if device.type == "cpu":
        memory.keep_freed()
    precision = precision or config.train.precision
    if precision not in memory.AUTOCAST:
        raise ValueError(
            f"unknown precision {precision!r}; valid: {', '.join(map(repr, memory.AUTOCAST))}"
        )
    clip = clip_of(type(model), model.settings)
    found = clips(rows.reset_index(drop=True), *clip)
    rows, group = found.rows, max(1, GROUP // clip.frames)
    columns = _columns(model)
    values = np.full((len(rows), len(columns)), np.nan)
    starts = list(range(0, len(rows), PART_ROWS))
    if parts is not None:
        starts = _restore(parts, _recipe(rows, parts, columns, precision, device), starts, values)

    read = -(-max(1, batch_size // clip.frames) // group) * group
    batches = [
        list(range(first, min(first + read, start + PART_ROWS, len(rows))))
        for start in starts
        for first in range(start, min(start + PART_ROWS, len(rows)), read)
    ]
    dataset = crops.CropDataset(rows, crop_folder, config.train.input_size)
    loader = crops.loader(dataset, batches, loader_workers)
    training = model.training
    model.eval()
    done = len(rows) - sum(map(len, batches))
    of_group = math.nan
    full = (
        f"{device} has no memory left for {group} crops of {config.train.input_size} px in "
        f"{precision}; score with precision='bf16-mixed', on another device, or on the CPU"
    )
    try:
        for indices, (images, _) in zip(batches, loader, strict=True):
            first = math.isnan(of_group)
            with memory.explained(full), flops.counting() if first else nullcontext() as total:
                values[indices] = outputs(model, images, device, precision, group)
            if total:
                of_group = total() / -(-len(indices) // group)
            done += len(indices)
            last = indices[-1] + 1
            if parts is not None and (last % PART_ROWS == 0 or last == len(rows)):
                start = (last - 1) // PART_ROWS * PART_ROWS
                part = pd.DataFrame(values[start:last], columns=columns)
                write_parquet(_part(parts.folder, start), part)
            if progress:
                progress(done, len(rows))
    finally:
        model.train(training)
    table = rows[[c for c in COLUMNS if c in rows]].copy()
    for i, name in enumerate(columns):
        table[name] = values[:, i] if name == "fake_score" else values[:, i].astype(np.float32)
    table.attrs["flop"] = of_group * -(-len(rows) // group)
    table.attrs["clips"] = found.words()
    if parts is not None:
        shutil.rmtree(parts.folder, ignore_errors=True)
    return table


def embed_rows(
    model: Detector,
    rows: pd.DataFrame,
    crop_folder: Path,
    config: RunConfig,
    device: torch.device | str = "cpu",
) -> np.ndarray:
    """Features (N, D) float32 of the rows' central crops, in groups as :func:`score_rows`; of the
    clips, for rows of :func:`mcxlib.data.crops.clips.clips`.

    Raises:
        ValueError: the detector has no feature vector.
    """
    device = torch.device(device)
    dataset = crops.CropDataset(rows.reset_index(drop=True), crop_folder, config.train.input_size)
    groups = [list(range(i, min(i + GROUP, len(rows)))) for i in range(0, len(rows), GROUP)]
    training = model.training
    model.eval()
    try:
        found = [
            _grouped(model.features, images, device, config.train.precision)
            for images, _ in crops.loader(dataset, groups)
        ]
    finally:
        model.train(training)
    return torch.cat(found).numpy()


def _columns(model: Detector) -> list[str]:
    """Names of what is stored of each image: fake_score first."""
    known = model.class_probabilities(torch.zeros(1, model.outputs))
    return ["fake_score", *(f"p_{name}" for name in model.classes if known is not None)]


def outputs(
    model: Detector, images: Tensor, device: torch.device, precision: str, group: int = GROUP
) -> np.ndarray:
    """Images, uint8 (B, 3, H, W), or clips, of a model in evaluation mode -> float64 (B, 1 + C):
    the score of fake, and the probabilities of the classes where the detector has them (else C is
    0).

    The network gets ``group`` images at once, which decides the memory it takes.
    """
    logits = _grouped(model, images, device, precision, group)
    scores = model.fake_score(logits)[:, None]
    probabilities = model.class_probabilities(logits)
    if probabilities is None:
        return scores.numpy()
    return torch.cat([scores, probabilities.double()], dim=1).numpy()


@torch.inference_mode()
def _grouped(
    function: Callable[[Tensor], Tensor],
    images: Tensor,
    device: torch.device,
    precision: str,
    group: int = GROUP,
) -> Tensor:
    """``function`` of uint8 images (B, 3, H, W), or clips, computed in groups of one size: float32,
    on the CPU."""
    missing = -len(images) % group
    if missing:
        images = torch.cat([images, images.new_zeros(missing, *images.shape[1:])])
        if images.ndim == 4:
            images = images.contiguous(memory_format=torch.channels_last)
    images = images.to(device, non_blocking=True)
    dtype = memory.AUTOCAST[precision]
    with torch.autocast(device.type, dtype=dtype) if dtype else nullcontext():
        out = [function(crops.to_float(part, device)) for part in images.split(group)]
    return torch.cat(out)[: len(images) - missing].float().cpu()


def _part(folder: Path, start: int) -> Path:
    return Path(folder) / f"part-{start:09d}.parquet"


def _recipe(
    rows: pd.DataFrame, parts: Parts, columns: list[str], precision: str, device: torch.device
) -> dict[str, Any]:
    order = rows[["file", "row"]].to_csv(index=False)
    return parts.made_from | {
        "order_sha256": hashlib.sha256(order.encode()).hexdigest(),
        "columns": columns,
        "precision": precision,
        "device": device.type,
        "torch": torch.__version__,
        "group": GROUP,
        "part_rows": PART_ROWS,
    }


def _restore(
    parts: Parts, recipe: dict[str, Any], starts: list[int], values: np.ndarray
) -> list[int]:
    """Fill in the parts that lie there; returns the starts of those that do not."""
    note = Path(parts.folder) / "made_from.json"
    if not note.is_file() or read_json(note) != recipe:
        shutil.rmtree(parts.folder, ignore_errors=True)
        write_json(note, recipe)
    clear_partial(parts.folder)
    missing = []
    for start in starts:
        file = _part(parts.folder, start)
        if file.is_file():
            part = pd.read_parquet(file).to_numpy()
            values[start : start + len(part)] = part
        else:
            missing.append(start)
    return missing

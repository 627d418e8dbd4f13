"""Five probabilities for every frame, from one image at a time without a partner.

The score of fake is 1 - p(real), the decision is at 0.5 (the released code; the paper does not
describe inference). Test images are the central part of the crop (section 4.1).

A convolution's last bits depend on how many images it is given at once. The network therefore
always gets :data:`GROUP` images, the same ones together however many are read at a time and by
however many processes, and a row's probabilities are the same to the last bit (on one machine,
with one number of threads).
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mcxlib import CLASSES, memory
from mcxlib.config import RunConfig
from mcxlib.data import frames
from mcxlib.files import clear_partial, read_json, write_json, write_parquet
from mcxlib.model import MCXAPI

PROBABILITIES = tuple(f"p_{name}" for name in CLASSES)

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
    *PROBABILITIES,
)
"""Of the result, as far as the rows have them; ``face`` counts the faces of one frame."""

GROUP = 16
"""Images the network gets at once; the last group is filled up with black ones."""

PART_ROWS = 256 * GROUP
"""Rows of a stored part: what an interruption costs at most."""


def score_rows(
    model: MCXAPI,
    rows: pd.DataFrame,
    crop_folder: Path,
    config: RunConfig,
    batch_size: int = 64,
    device: torch.device | str = "cpu",
    *,
    precision: str | None = None,
    loader_workers: int = 0,
    progress: Callable[[int, int], None] | None = None,
    parts_folder: Path | None = None,
    made_from: dict[str, Any] | None = None,
) -> pd.DataFrame:
    """Probabilities p_real, p_DF, p_F2F, p_FS, p_NT (sum 1) for every row of joined crops.

    The model is put into evaluation mode for the call and back into the mode it was in.

    Args:
        model: on ``device``.
        rows: of :func:`mcxlib.data.frames.join`.
        crop_folder: where the rows' files lie.
        config: gives the input size and, unless ``precision`` is given, the precision.
        batch_size: images read and moved to the device at once, rounded up to a multiple of
            :data:`GROUP`. It decides nothing about the result.
        device: where to compute.
        precision: ``"32-true"``, ``"bf16-mixed"`` or ``"16-mixed"``; None: as in training.
        loader_workers: processes that read ahead.
        progress: called with (rows done, rows) after each batch.
        parts_folder: a folder of this call's own, in which finished parts are kept until all are
            done. A call that was interrupted goes on from them, if it is ``made_from`` the same;
            the folder is removed at the end.
        made_from: what the result depends on beside the rows' order, such as digests of the
            weights and of the data; needed with ``parts_folder``.

    Raises:
        ValueError: an unknown precision, or ``parts_folder`` without ``made_from``.
        OutOfMemory: the device's memory does not hold a group of images.
        OutOfSpace: no room for a part.
    """
    device = torch.device(device)
    if device.type == "cpu":
        memory.keep_freed()
    precision = precision or config.precision
    if precision not in memory.AUTOCAST:
        raise ValueError(
            f"unknown precision {precision!r}; valid: {', '.join(map(repr, memory.AUTOCAST))}"
        )
    rows = rows.reset_index(drop=True)
    probabilities = np.full((len(rows), len(CLASSES)), np.nan, np.float32)
    starts = list(range(0, len(rows), PART_ROWS))
    if parts_folder is not None:
        if made_from is None:
            raise ValueError("parts_folder needs made_from: parts of other weights may lie there")
        recipe = _recipe(rows, made_from, precision, device)
        starts = _restore(parts_folder, recipe, starts, probabilities)

    read = -(-max(1, batch_size) // GROUP) * GROUP
    batches = [
        list(range(first, min(first + read, start + PART_ROWS, len(rows))))
        for start in starts
        for first in range(start, min(start + PART_ROWS, len(rows)), read)
    ]
    dataset = frames.CropDataset(rows, crop_folder, config.input_size)
    loader = frames.loader(dataset, batches, loader_workers)
    training = model.training
    model.eval()
    done = len(rows) - sum(map(len, batches))
    try:
        for indices, (images, _) in zip(batches, loader, strict=True):
            with memory.explained(
                f"{device} has no memory left for {GROUP} crops of {config.input_size} px in "
                f"{precision}; score with precision='bf16-mixed', on another device, or on the CPU"
            ):
                probabilities[indices] = _probabilities(model, images, device, precision)
            done += len(indices)
            last = indices[-1] + 1
            if parts_folder is not None and (last % PART_ROWS == 0 or last == len(rows)):
                start = (last - 1) // PART_ROWS * PART_ROWS
                part = pd.DataFrame(probabilities[start:last], columns=list(PROBABILITIES))
                write_parquet(_part(parts_folder, start), part)
            if progress:
                progress(done, len(rows))
    finally:
        model.train(training)
    table = rows[[c for c in COLUMNS if c in rows and c not in PROBABILITIES]].copy()
    for i, name in enumerate(PROBABILITIES):
        table[name] = probabilities[:, i]
    if parts_folder is not None:
        shutil.rmtree(parts_folder, ignore_errors=True)
    return table


@torch.inference_mode()
def _probabilities(
    model: MCXAPI, images: Tensor, device: torch.device, precision: str
) -> np.ndarray:
    """uint8 (B, 3, H, W) -> float32 (B, C), computed in groups of ``GROUP``."""
    missing = -len(images) % GROUP
    if missing:
        images = torch.cat([images, images.new_zeros(missing, *images.shape[1:])])
        images = images.contiguous(memory_format=torch.channels_last)
    images = images.to(device, non_blocking=True)
    dtype = memory.AUTOCAST[precision]
    with torch.autocast(device.type, dtype=dtype) if dtype else nullcontext():
        logits = [model(frames.to_float(group, device)) for group in images.split(GROUP)]
    probabilities = torch.cat(logits).float().softmax(1).cpu().numpy()
    return probabilities[: len(probabilities) - missing]


def _part(folder: Path, start: int) -> Path:
    return Path(folder) / f"part-{start:09d}.parquet"


def _recipe(
    rows: pd.DataFrame, made_from: dict[str, Any], precision: str, device: torch.device
) -> dict[str, Any]:
    order = rows[["file", "row"]].to_csv(index=False)
    return made_from | {
        "order_sha256": hashlib.sha256(order.encode()).hexdigest(),
        "precision": precision,
        "device": device.type,
        "torch": torch.__version__,
        "group": GROUP,
        "part_rows": PART_ROWS,
    }


def _restore(
    folder: Path, recipe: dict[str, Any], starts: list[int], probabilities: np.ndarray
) -> list[int]:
    """Fill in the parts that ``folder`` holds; returns the starts of those that it does not."""
    note = Path(folder) / "made_from.json"
    if not note.is_file() or read_json(note) != recipe:
        shutil.rmtree(folder, ignore_errors=True)
        write_json(note, recipe)
    clear_partial(folder)
    missing = []
    for start in starts:
        file = _part(folder, start)
        if file.is_file():
            part = pd.read_parquet(file).to_numpy()
            probabilities[start : start + len(part)] = part
        else:
            missing.append(start)
    return missing

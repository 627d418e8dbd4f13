"""Stored crops -> training and test tensors.

Section 4.1: a random 448 px part of the 512 px crop, flipped at random, in training; the central
part in testing. Batches are uint8 (B, 3, H, W) in channels-last memory, as the crops lie on disk;
the conversion to float happens on the device (:func:`to_float`).
"""

from __future__ import annotations

import hashlib
import signal
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mcxlib import CLASSES
from mcxlib.data import storage

MANIFEST_COLUMNS = ["split", "is_fake", "manipulation", "target_id", "donor_id"]


def join(crops: pd.DataFrame, manifest: pd.DataFrame, split: str | None = None) -> pd.DataFrame:
    """Rows of ``crops`` that hold a face, with their video's columns of ``manifest``.

    Adds ``class_index`` (0 to 4 in the order of ``CLASSES``; -1 for other manipulations).

    Raises:
        ValueError: no such row is left; says what was asked and what there is.
    """
    keys = ["dataset", "video_id"]
    rows = crops[crops["status"] == "ok"].merge(
        manifest[keys + MANIFEST_COLUMNS], on=keys, how="inner", validate="many_to_one"
    )
    if split is not None:
        counts = rows["split"].value_counts().to_dict()
        rows = rows[rows["split"] == split]
        if rows.empty:
            raise ValueError(f"no face crop of split {split!r}; crops by split: {counts}")
    index = {name: i for i, name in enumerate(CLASSES)}
    rows = rows.assign(class_index=rows["manipulation"].map(index).fillna(-1).astype(int))
    return rows.reset_index(drop=True)


class CropDataset(Dataset):
    """Crops of the rows of :func:`join`, cut to ``size``; items come in whole batches.

    ``augment``: random position and flip, drawn from (seed, epoch, row) alone, so that neither
    the number of loader processes nor an interruption changes what an image looks like.
    """

    def __init__(
        self, rows: pd.DataFrame, folder: Path, size: int, augment: bool = False, seed: int = 0
    ):
        self.files = rows["file"].to_numpy()
        self.rows = rows["row"].to_numpy()
        self.labels = torch.tensor(rows["class_index"].tolist(), dtype=torch.int64)
        self.folder = Path(folder)
        self.size = size
        self.augment = augment
        self.seed = seed
        self.epoch = 0
        self._open = lru_cache(maxsize=256)(self._map)

    def __getstate__(self) -> dict:
        # Open maps stay with their process; a loader worker opens its own.
        return {k: v for k, v in self.__dict__.items() if k != "_open"}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._open = lru_cache(maxsize=256)(self._map)

    def _map(self, file: str) -> np.ndarray:
        return storage.open_crops(self.folder / file)

    def __len__(self) -> int:
        return len(self.files)

    def crop(self, index: int) -> np.ndarray:
        """The stored crop of one row: uint8 (S, S, 3), RGB."""
        return self._open(self.files[index])[self.rows[index]]

    def __getitems__(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        """A batch: images uint8 (B, 3, size, size) and labels int64 (B,)."""
        batch = np.empty((len(indices), self.size, self.size, 3), np.uint8)
        for out, index in zip(batch, indices, strict=True):
            crop = self.crop(index)
            room = crop.shape[0] - self.size
            if room < 0:
                raise ValueError(
                    f"{self.folder / self.files[index]}: crops of {crop.shape[0]} px are smaller "
                    f"than the input of {self.size} px"
                )
            if self.augment:
                draw = np.random.default_rng([self.seed, self.epoch, index])
                top, left = draw.integers(0, room + 1, size=2)
                flip = draw.random() < 0.5
            else:
                top = left = room // 2
                flip = False
            part = crop[top : top + self.size, left : left + self.size]
            if flip:
                cv2.flip(part, 1, dst=out)  # many times faster than NumPy's reversed copy
            else:
                out[:] = part
        return torch.from_numpy(batch).permute(0, 3, 1, 2), self.labels[indices]


def _as_is(batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return batch


def _leave_stopping_to_the_main_process(_: int) -> None:
    # Ctrl-C and a scheduler's SIGTERM reach every process of the group. Were the workers to end
    # there, the main process could not finish its step; they end when it does.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def loader(dataset: CropDataset, batches, workers: int = 0) -> DataLoader:
    """A loader over ``batches`` (lists of indices: a batch sampler or plain lists)."""
    return DataLoader(
        dataset,
        batch_sampler=batches,
        collate_fn=_as_is,
        num_workers=workers,
        worker_init_fn=_leave_stopping_to_the_main_process,
        pin_memory=torch.cuda.is_available(),
        # A generator of its own: a loader draws a seed when it starts, and must not take it from
        # the generator that dropout uses, or a resumed epoch would drop other units.
        generator=torch.Generator(),
    )


def to_float(images: Tensor, device: torch.device) -> Tensor:
    """uint8 (B, 3, H, W) -> float32 in [0, 1] on ``device``, in the same memory order."""
    return images.to(device, non_blocking=True).float().div_(255)


def fingerprint(rows: pd.DataFrame) -> str:
    """SHA-256 over which crops of which videos are used, with labels, splits and boxes."""
    order = ["dataset", "video_id", "frame_index", *(["face"] if "face" in rows else [])]
    keys = [*order, "split", "class_index", "x1", "y1", "x2", "y2"]
    text = rows[keys].sort_values(order).to_csv(index=False, float_format="%.2f")
    return hashlib.sha256(text.encode()).hexdigest()

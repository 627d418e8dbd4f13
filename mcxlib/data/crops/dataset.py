"""Stored crops -> training and test tensors.

Section 4.1: a random 448 px part of the 512 px crop, flipped at random, in training; the central
part in testing. Batches are uint8 (B, 3, H, W) in channels-last memory, as the crops lie on disk;
the conversion to float happens on the device (:func:`to_float`).
"""

from __future__ import annotations

import signal
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mcxlib import sockets
from mcxlib.data.crops import storage


class CropDataset(Dataset):
    """Crops of the rows of :func:`~mcxlib.data.crops.rows.join`, or clips of them of the rows of
    :func:`~mcxlib.data.crops.clips.clips`, cut to ``size``, in whole batches.

    ``augment``: random position and flip, drawn from (seed, epoch, row) alone, so that neither
    the number of loader processes nor an interruption changes what an image looks like. The frames
    of a clip share theirs.

    ``masks``: the folder of the masks that the rows' columns ``mask`` (a file, or "" for a face of
    which nothing was altered) and ``mask_known`` speak of; a mask moves with its crop.
    """

    def __init__(
        self,
        rows: pd.DataFrame,
        folder: Path,
        size: int,
        augment: bool = False,
        seed: int = 0,
        masks: Path | None = None,
    ):
        self.files = rows["file"].to_numpy()
        self.rows = rows["row"].to_numpy()
        self.labels = torch.tensor(rows["class_index"].tolist(), dtype=torch.int64)
        self.folder = Path(folder)
        self.masks = masks and Path(masks).absolute()
        if self.masks is not None:
            self.mask_files = [str(self.masks / file) if file else "" for file in rows["mask"]]
            self.known = torch.tensor(rows["mask_known"].tolist())
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

    def _map(self, file: str) -> np.ndarray | storage.CompressedCrops:
        # Of a mask the whole path is given, which stays what it is.
        return storage.open_crops(self.folder / file)

    def __len__(self) -> int:
        return len(self.files)

    def crop(self, index: int) -> np.ndarray:
        """The stored crop of one row: uint8 (S, S, 3), RGB."""
        return self._open(self.files[index])[self.rows[index]]

    def __getitems__(self, indices: list[int]) -> tuple[Tensor, ...]:
        """A batch: images uint8 (B, 3, size, size), or clips (B, T, 3, size, size), and labels
        int64 (B,); with masks of images, also masks uint8 (B, 1, size, size), 255 for altered, and
        which of them are known, bool (B,)."""
        if isinstance(self.rows[indices[0]], tuple):
            return self._clips(indices), self.labels[indices]
        batch = np.empty((len(indices), self.size, self.size, 3), np.uint8)
        masks = np.zeros((len(indices), self.size, self.size), np.uint8) if self.masks else None
        for place, index in enumerate(indices):
            crop = self.crop(index)
            part, flip = self._part(index, crop.shape[0])
            _place(crop[part], flip, batch[place])
            if masks is not None and self.mask_files[index]:
                mask = self._open(self.mask_files[index])[self.rows[index]]
                _place(mask[part], flip, masks[place])
        images = torch.from_numpy(batch).permute(0, 3, 1, 2), self.labels[indices]
        if masks is None:
            return images
        return *images, torch.from_numpy(masks)[:, None], self.known[indices]

    def _clips(self, indices: list[int]) -> Tensor:
        frames = len(self.rows[indices[0]])
        batch = np.empty((len(indices), frames, self.size, self.size, 3), np.uint8)
        for place, index in enumerate(indices):
            stored = self._open(self.files[index])
            part, flip = self._part(index, stored.shape[1])
            for frame, row in zip(batch[place], self.rows[index], strict=True):
                _place(stored[row][part], flip, frame)
        return torch.from_numpy(batch).permute(0, 1, 4, 2, 3)

    def _part(self, index: int, side: int) -> tuple[tuple[slice, slice], bool]:
        """Which part of a crop of that side a row is shown, and whether it is mirrored."""
        room = side - self.size
        if room < 0:
            raise ValueError(
                f"{self.folder / self.files[index]}: crops of {side} px are smaller than the "
                f"input of {self.size} px"
            )
        top = left = room // 2
        flip = False
        if self.augment:
            draw = np.random.default_rng([self.seed, self.epoch, index])
            top, left = draw.integers(0, room + 1, size=2)
            flip = bool(draw.random() < 0.5)
        return np.s_[top : top + self.size, left : left + self.size], flip


def _place(part: np.ndarray, flip: bool, out: np.ndarray) -> None:
    """Copy a part of a crop, mirrored or not."""
    if flip:
        cv2.flip(part, 1, dst=out)  # many times faster than NumPy's reversed copy
    else:
        out[:] = part


def _as_is(batch: Any) -> Any:
    return batch


def _leave_stopping_to_the_main_process(_: int) -> None:
    # Ctrl-C and a scheduler's SIGTERM reach every process of the group. Were the workers to end
    # there, the main process could not finish its step; they end when it does.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def loader(dataset: CropDataset, batches: Iterable[list[int]], workers: int = 0) -> DataLoader:
    """A loader over ``batches`` (lists of indices: a batch sampler or plain lists)."""
    if workers:
        sockets.make_room()
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
    """uint8 images or clips -> float32 in [0, 1] on ``device``, in the same memory order."""
    return images.to(device, non_blocking=True).float().div_(255)

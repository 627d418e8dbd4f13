"""Faces to show: a few crops of each class, or one person real and under every manipulation."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mcxlib import pipeline

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from mcxlib.config import RunConfig


class Sample(NamedTuple):
    """Crops and the class of each."""

    images: np.ndarray
    """(N, 3, H, W) float32 RGB in [0, 1]."""
    labels: list[str]


def crops_by_class(
    config: RunConfig, dataset: str, split: str, per_class: int, size: int | None = None
) -> Sample:
    """``per_class`` crops of each class, one a video as far as the videos go, in class order.

    The central ``size`` px of each (the whole crop by default).
    """
    import pandas as pd

    rows = pipeline.ensure_rows(config, dataset)
    rows = rows[rows["split"] == split].sort_values(["frame_index", "video_id"], kind="stable")
    chosen = pd.concat(
        rows[rows["class_index"] == i].head(per_class)
        for i in sorted(set(rows["class_index"]) - {-1})
    ).reset_index(drop=True)
    size = size or config.data.crop_size
    images = _images(config, dataset, chosen, size)
    return Sample(images.contiguous().numpy(), chosen["manipulation"].tolist())


def test_rows(config: RunConfig) -> pd.DataFrame:
    """The test crops of the data set trained on."""
    rows = pipeline.ensure_rows(config, config.data.train_on)
    return rows[rows["split"] == "test"].reset_index(drop=True)


def test_images(config: RunConfig, rows: pd.DataFrame) -> Tensor:
    """Central parts of the crops of ``rows``, as the network gets them: (N, 3, H, W) in [0, 1]."""
    return _images(config, config.data.train_on, rows, config.train.input_size)


def person_rows(config: RunConfig) -> pd.DataFrame:
    """The first test person's crop, real and under each manipulation: a row each.

    Of data that show nobody both real and fake: the first crop of each class.
    """
    rows = test_rows(config)
    kinds = rows.groupby("target_id")["class_index"].nunique()
    first = kinds[kinds == kinds.max()].index[0]
    person = rows[rows["target_id"] == first] if kinds.max() > 1 else rows
    return person.sort_values(["class_index", "frame_index"]).groupby("class_index").head(1)


def one_person(config: RunConfig) -> Sample:
    """The crops of :func:`person_rows`, as the network gets them."""
    chosen = person_rows(config)
    return Sample(test_images(config, chosen).contiguous().numpy(), chosen["manipulation"].tolist())


def _images(config: RunConfig, dataset: str, rows: pd.DataFrame, size: int) -> Tensor:
    import torch

    from mcxlib.data.crops.dataset import CropDataset, to_float

    crops = CropDataset(rows, pipeline.crop_folder(config, dataset), size)
    images, _ = crops.__getitems__(list(range(len(rows))))
    return to_float(images, torch.device("cpu"))

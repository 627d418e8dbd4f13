"""Five probabilities for every frame, from one image at a time without a partner.

The score of fake is 1 - p(real), the decision is at 0.5 (the released code; the paper does not
describe inference). Test images are the central part of the crop (section 4.1).
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import torch

from mcxlib import CLASSES
from mcxlib.config import RunConfig
from mcxlib.data import frames
from mcxlib.model import MCXAPI

COLUMNS = (
    "dataset",
    "video_id",
    "frame_index",
    "split",
    "is_fake",
    "manipulation",
    "target_id",
    "donor_id",
    *(f"p_{name}" for name in CLASSES),
)


@torch.inference_mode()
def score_rows(
    model: MCXAPI,
    rows: pd.DataFrame,
    crop_folder: Path,
    config: RunConfig,
    batch_size: int = 64,
    device: torch.device | str = "cpu",
) -> pd.DataFrame:
    """Probabilities p_real, p_DF, p_F2F, p_FS, p_NT (sum 1) for every row of joined crops.

    The model is put into evaluation mode for the call and back into the mode it was in.
    """
    device = torch.device(device)
    rows = rows.reset_index(drop=True)
    dataset = frames.CropDataset(rows, crop_folder, config.input_size)
    training = model.training
    model.eval()
    try:
        parts = [
            model(frames.to_float(images, device)).float().softmax(1).cpu()
            for images, _ in frames.loader(dataset, frames.in_order(len(rows), batch_size))
        ]
    finally:
        model.train(training)
    table = rows[[c for c in COLUMNS if c in rows]].copy()
    probabilities = torch.cat(parts).numpy()
    for i, name in enumerate(CLASSES):
        table[f"p_{name}"] = probabilities[:, i]
    return table

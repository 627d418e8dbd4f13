"""Shared test material: tiny crop tables with a known, learnable difference between classes."""

import numpy as np
import pandas as pd
import pytest
import torch

from mcxlib import CLASSES

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def crop_tables(tmp_path_factory):
    """(joined rows, crop folder): 5 classes x 10 targets, 4 crops of 40 px; the class decides
    which corner of the crop is bright."""
    folder = tmp_path_factory.mktemp("crops")
    rng = np.random.default_rng(0)
    rows = []
    for target in range(10):
        split = "train" if target < 6 else "val" if target < 8 else "test"
        for index, name in enumerate(CLASSES):
            video = f"{name}/{target:03d}"
            crops = rng.integers(60, 120, (4, 40, 40, 3))
            if index:
                top, left = divmod(index - 1, 2)
                crops[:, 8 + 12 * top :, 8 + 12 * left :][:, :12, :12] += 110
            file = folder / f"{video}.npy"
            file.parent.mkdir(exist_ok=True)
            np.save(file, crops.astype(np.uint8))
            rows.extend(
                {
                    "dataset": "FaceForensics++",
                    "video_id": video,
                    "frame_index": frame,
                    "status": "ok",
                    "probability": 1.0,
                    **dict(zip(("x1", "y1", "x2", "y2"), (0.0, 0.0, 40.0, 40.0), strict=True)),
                    "file": f"{video}.npy",
                    "row": frame,
                    "split": split,
                    "is_fake": index > 0,
                    "manipulation": name,
                    "target_id": f"{target:03d}",
                    "donor_id": "",
                    "class_index": index,
                }
                for frame in range(4)
            )
    return pd.DataFrame(rows), folder


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty place for videos, data, runs and results."""
    return _at_home(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def module_home(tmp_path_factory):
    """The same, one for all tests of a file."""
    with pytest.MonkeyPatch.context() as patch:
        yield _at_home(tmp_path_factory.mktemp("home"), patch)


def _at_home(folder, patch):
    for name in ("DATA", "RUNS", "VIDEOS", "RESULTS"):
        patch.setenv(f"MCX_{name}", str(folder / name.lower()))
    (folder / "videos").mkdir()
    return folder

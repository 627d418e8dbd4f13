"""``mcxlib/scaling/measured.json``: rates of each step, and how well they foretell larger sizes.

The rendered videos of the demonstration, at three sizes, on one core. The rate of each step is
measured at the smallest size; what the model says of all three stands beside what they took.
"""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks import flops
from mcxlib import pipeline
from mcxlib.config import RunConfig, load
from mcxlib.data.crops.dataset import CropDataset
from mcxlib.data.faces import extract
from mcxlib.engine import memory
from mcxlib.engine.fit import fit
from mcxlib.engine.hardware import Hardware
from mcxlib.engine.score import score_rows
from mcxlib.engine.session import TrainingData
from mcxlib.files import read_json, write_json
from mcxlib.provenance import processor
from mcxlib.scaling.measured import FILE, FORMAT
from mcxlib.scaling.work import Amount, Operations, Videos, amount, scoring_flop, training_flop
from mcxlib.weights import build

VIDEOS = (5, 15, 45)
"""Videos whose faces are cut, and whose crops are read and scored."""
PEOPLE = (3, 6, 12)
"""Identities trained on, each with a real video and four fakes."""
EPOCHS = 2
STORAGE = Path(__file__).with_name("storage.json")


def measure(preset: str = "demo", quick: bool = False) -> dict[str, Any]:
    """Rates and the check of the model, JSON-ready. Renders the preset's videos if need be."""
    config = load(preset, epochs=EPOCHS)
    torch.set_num_threads(1)
    memory.keep_freed()
    data = config.data
    name = data.train_on
    manifest = pipeline.ensure_manifest(config, name)
    rows = pipeline.ensure_rows(config, name)
    videos, people = ((2, 4), (2, 3)) if quick else (VIDEOS, PEOPLE)
    checked: list[dict[str, Any]] = []
    start, crop = _cutting(config, manifest, videos, checked)
    load_rate = _loading(config, rows, videos, checked)
    score = _scoring(config, rows, videos, checked)
    train = _training(config, rows, people, checked)
    cold, warm = _storage()
    return {
        "format": FORMAT,
        "preset": preset,
        "quick": quick,
        "measured": datetime.now(UTC).date().isoformat(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "torch": torch.__version__,
        "rates": {
            "crop": crop,
            "start": start,
            "load": load_rate,
            "score": score,
            "train": train,
            "cold": cold,
            "warm": warm,
        },
        "checked": checked,
    }


def _note(checked: list[dict], step: str, size: int, unit: str, took: float, said: float) -> None:
    checked.append({"step": step, "size": size, "unit": unit, "measured": took, "model": said})


def _cutting(
    config: RunConfig, manifest: pd.DataFrame, sizes: tuple[int, ...], checked: list[dict]
) -> tuple[float, float]:
    """Seconds until the first video is done, less that video's own; seconds of a frame."""
    used = manifest[manifest["split"] != ""]
    root = pipeline.plan(config, config.data.train_on).root
    frames = config.data.frame_count
    began, each = 0.0, 0.0
    for size in sizes:
        times: list[float] = []
        with tempfile.TemporaryDirectory() as place:
            first = time.perf_counter()
            extract.crop_videos(
                used.iloc[:size],
                root,
                Path(place) / "crops",
                config.data,
                1,
                lambda done, total, times=times: times.append(time.perf_counter()),
            )
        took = times[-1] - first
        if size == sizes[0]:
            # The first call comes before any video, the second after one.
            each = (times[-1] - times[1]) / (len(times) - 2)
            began = max(0.0, times[1] - first - each)
        _note(checked, "cutting", size, "videos", took, began + size * each)
    return began, each / frames


def _loading(
    config: RunConfig, rows: pd.DataFrame, sizes: tuple[int, ...], checked: list[dict]
) -> float:
    """Seconds of a crop, read and made an augmented image."""
    folder, each = pipeline.crop_folder(config, config.data.train_on), 0.0
    for size in sizes:
        part = _of_videos(rows, size)
        data = CropDataset(part, folder, config.train.input_size, augment=True, seed=0)
        order = np.random.default_rng(0).permutation(len(part))
        first = time.perf_counter()
        for begin in range(0, len(order), 27):
            data.__getitems__([int(i) for i in order[begin : begin + 27]])
        took = time.perf_counter() - first
        each = each or took / len(part)
        _note(checked, "loading", len(part), "crops", took, len(part) * each)
    return each


def _scoring(
    config: RunConfig, rows: pd.DataFrame, sizes: tuple[int, ...], checked: list[dict]
) -> float:
    """Floating-point operations a second."""
    folder, rate = pipeline.crop_folder(config, config.data.train_on), 0.0
    model = build(config).eval()
    image = flops.inference(config, 1, config.train.input_size)
    for size in sizes:
        part = _of_videos(rows, size)
        first = time.perf_counter()
        score_rows(model, part, folder, config, device="cpu")
        took = time.perf_counter() - first
        rate = rate or len(part) * image / took
        _note(checked, "scoring", len(part), "crops", took, len(part) * image / rate)
    return rate


def _training(
    config: RunConfig, rows: pd.DataFrame, sizes: tuple[int, ...], checked: list[dict]
) -> float:
    """Floating-point operations a second, validations included."""
    rate = 0.0
    count = _operations(config)
    for size in sizes:
        part = _of_people(rows, size)
        much = _amount(config, part)
        with tempfile.TemporaryDirectory() as place:
            data = TrainingData(part, pipeline.crop_folder(config, config.data.train_on), {})
            first = time.perf_counter()
            fit(config, data, Path(place) / config.run_id, {}, Hardware(accelerator="cpu"))
            took = time.perf_counter() - first
        work = training_flop(count, much) + scoring_flop(count, much)
        rate = rate or work / took
        _note(checked, "training", much.steps, "steps", took, work / rate)
    return rate


def _operations(config: RunConfig) -> Operations:
    train = config.train
    batch = train.categories * train.per_category
    return Operations(
        batch,
        train.input_size,
        flops.inference(config, 1, train.input_size),
        flops.training_step(config, batch, train.input_size),
        flops.training_step(config, batch, train.input_size, frozen=True),
        0,
    )


def _amount(config: RunConfig, rows: pd.DataFrame) -> Amount:
    """What a training on ``rows`` does; nothing is tested."""
    count = rows.groupby("split")["video_id"].nunique()
    of = Videos(int(count["train"]), int(count["val"]), 0)
    return replace(amount(config.data.preset), videos=of, epochs=config.train.epochs)


def _of_videos(rows: pd.DataFrame, count: int) -> pd.DataFrame:
    names = rows["video_id"].unique()[:count]
    return rows[rows["video_id"].isin(names)].reset_index(drop=True)


def _of_people(rows: pd.DataFrame, count: int) -> pd.DataFrame:
    trained = rows[rows["split"] == "train"]
    names = trained["target_id"].unique()[:count]
    validated = rows[rows["split"] == "val"]
    return pd.concat([trained[trained["target_id"].isin(names)], validated], ignore_index=True)


def _storage() -> tuple[float, float]:
    """Crops of 512 px a second at random, from the disk and from memory, as stored here."""
    (own,) = (f for f in read_json(STORAGE)["formats"] if f["name"].startswith("one .npy"))
    found = own["images_per_second"]
    return found["cold_random"] or found["warm_random"], found["warm_random"]


def run(path: Path = FILE, quick: bool = False) -> Path:
    """Measure and write ``path``."""
    write_json(path, measure(quick=quick))
    return path

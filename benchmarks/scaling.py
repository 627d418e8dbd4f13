"""``mcxlib/scaling/measured.json``: rates of each step, and how well they foretell larger sizes.

The rendered videos of the demonstration, at three sizes, in seconds of one core, so that what else
the machine does counts little. The rate of each step is measured at the smallest size, after a
first try that is not counted; what the model says of all three stands beside what they took.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks import flops, storage
from mcxlib import pipeline
from mcxlib.config import RunConfig, load
from mcxlib.data.crops.dataset import CropDataset
from mcxlib.data.faces import contract as contracts
from mcxlib.data.faces import worker
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
    crop = _cutting(config, manifest, videos, checked)
    load_rate = _loading(config, rows, videos, checked)
    score = _scoring(config, rows, videos, checked)
    train = _training(config, rows, people, checked)
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
            "load": load_rate,
            "score": score,
            "train": train,
            **_storage(),
        },
        "checked": checked,
    }


def _note(checked: list[dict], step: str, size: int, unit: str, took: float, said: float) -> None:
    checked.append({"step": step, "size": size, "unit": unit, "measured": took, "model": said})


def _core_seconds(call: Callable[[], Any]) -> float:
    """Seconds of this process's one thread that ``call`` takes."""
    began = time.process_time()
    call()
    return time.process_time() - began


def _cutting(
    config: RunConfig, manifest: pd.DataFrame, sizes: tuple[int, ...], checked: list[dict]
) -> float:
    """Seconds of a frame: read, its face found, cut and written, as a worker does it."""
    used = manifest[manifest["split"] != ""].to_dict("records")
    root = pipeline.plan(config, config.data.train_on).root
    settings = contracts.contract(config.data)
    worker.start(settings)

    def cut(videos: list[dict]) -> None:
        with tempfile.TemporaryDirectory() as place:
            for video in videos:
                worker.process(root / video["path"], Path(place), video, settings, ".mark")

    cut(used[:1])
    each = 0.0
    for size in sizes:
        took = _core_seconds(lambda size=size: cut(used[:size]))
        each = each or took / size
        _note(checked, "extraction", size, "videos", took, size * each)
    return each / config.data.frame_count


def _loading(
    config: RunConfig, rows: pd.DataFrame, sizes: tuple[int, ...], checked: list[dict]
) -> float:
    """Seconds of a crop, read and made an augmented image."""
    folder, each = pipeline.crop_folder(config, config.data.train_on), 0.0
    for size in sizes:
        part = _of_videos(rows, size)
        data = CropDataset(part, folder, config.train.input_size, augment=True, seed=0)
        order = np.random.default_rng(0).permutation(len(part)).tolist()
        batches = [order[begin : begin + 27] for begin in range(0, len(order), 27)]
        data.__getitems__(batches[0])
        took = _core_seconds(lambda data=data, batches=batches: [*map(data.__getitems__, batches)])
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
    score_rows(model, _of_videos(rows, 1), folder, config, device="cpu")
    for size in sizes:
        part = _of_videos(rows, size)
        took = _core_seconds(
            lambda part=part: score_rows(model, part, folder, config, device="cpu")
        )
        rate = rate or len(part) * image / took
        _note(checked, "scoring", len(part), "crops", took, len(part) * image / rate)
    return rate


def _training(
    config: RunConfig, rows: pd.DataFrame, sizes: tuple[int, ...], checked: list[dict]
) -> float:
    """Floating-point operations a second, validations included."""
    count = _operations(config)
    _train(config, _of_people(rows, sizes[0]))
    rate = 0.0
    for size in sizes:
        part = _of_people(rows, size)
        much = _amount(config, part)
        took = _core_seconds(lambda part=part: _train(config, part))
        work = training_flop(count, much) + scoring_flop(count, much)
        rate = rate or work / took
        _note(checked, "training", much.steps, "steps", took, work / rate)
    return rate


def _train(config: RunConfig, rows: pd.DataFrame) -> None:
    data = TrainingData(rows, pipeline.crop_folder(config, config.data.train_on), {})
    with tempfile.TemporaryDirectory() as place:
        fit(config, data, Path(place) / config.run_id, {}, Hardware(accelerator="cpu"))


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


def _storage() -> dict[str, float]:
    """Crops of 512 px a second at random, from the disk and from memory, as they are stored and as
    PNG files, and how much smaller those are: of the last comparison of ways to store them."""
    by_name = {found["name"]: found for found in read_json(STORAGE)["formats"]}
    raw, png = by_name[storage.Npy.name], by_name[storage.Files("png").name]
    rates: dict[str, float] = {"png_share": png["bytes_per_crop"] / raw["bytes_per_crop"]}
    for prefix, found in (("", raw), ("png_", png)):
        of = found["images_per_second"]
        rates[f"{prefix}warm"] = of["warm_random"]
        # Where the system cannot be asked to forget files, there is only one rate.
        rates[f"{prefix}cold"] = of["cold_random"] or of["warm_random"]
    return rates


def run(path: Path = FILE, quick: bool = False) -> Path:
    """Measure and write ``path``."""
    write_json(path, measure(quick=quick))
    return path

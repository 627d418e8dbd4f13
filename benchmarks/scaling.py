"""``mcxlib/scaling/measured.json``: rates of each step, and how well they foretell larger sizes.

The rendered videos of the demonstration, at three sizes, in seconds of one core, so that what else
the machine does counts little, after a first try that is not counted. A line through the two
smaller sizes gives the rate of each step, and foretells the largest; that took what stands beside.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
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
    rows_of = {
        "extraction": _cutting(config, manifest, videos),
        "loading": _loading(config, rows, videos),
        "scoring": _scoring(config, rows, videos),
        "training": _training(config, rows, people),
    }
    each = {step: fitted(found)[1] for step, found in rows_of.items()}
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
            "crop": each["extraction"],
            "load": each["loading"],
            "score": 1 / each["scoring"],
            "train": 1 / each["training"],
            **_storage(),
        },
        "checked": [row for step, found in rows_of.items() for row in checked(step, found)],
    }


@dataclass(frozen=True)
class Tried:
    """One size of one step."""

    size: int
    unit: str
    work: float
    """In the units of the step's rate: frames, crops, floating-point operations."""
    seconds: float


def fitted(sizes: list[Tried]) -> tuple[float, float]:
    """Seconds before any work, and of a unit of it: the line through the two smallest sizes."""
    one, two = sizes[:2]
    each = (two.seconds - one.seconds) / (two.work - one.work)
    return one.seconds - each * one.work, each


def checked(step: str, sizes: list[Tried]) -> list[dict[str, Any]]:
    """What each size took, and what the line says of it."""
    start, each = fitted(sizes)
    return [
        {
            "step": step,
            "size": one.size,
            "unit": one.unit,
            "measured": one.seconds,
            "model": start + each * one.work,
        }
        for one in sizes
    ]


def _core_seconds(call: Callable[[], Any]) -> float:
    """Seconds of this process's one thread that ``call`` takes."""
    began = time.process_time()
    call()
    return time.process_time() - began


def _cutting(config: RunConfig, manifest: pd.DataFrame, sizes: tuple[int, ...]) -> list[Tried]:
    """Frames read, their faces found, cut and written, as a worker does it."""
    used = manifest[manifest["split"] != ""].to_dict("records")
    root = pipeline.plan(config, config.data.train_on).root
    settings = contracts.contract(config.data)
    worker.start(settings)

    def cut(videos: list[dict]) -> None:
        with tempfile.TemporaryDirectory() as place:
            for video in videos:
                worker.process(root / video["path"], Path(place), video, settings, ".mark")

    cut(used[:1])
    frames = config.data.frame_count
    return [Tried(n, "videos", n * frames, _core_seconds(lambda n=n: cut(used[:n]))) for n in sizes]


def _loading(config: RunConfig, rows: pd.DataFrame, sizes: tuple[int, ...]) -> list[Tried]:
    """Crops read and made augmented images."""
    folder, tried = pipeline.crop_folder(config, config.data.train_on), []
    for size in sizes:
        part = _of_videos(rows, size)
        data = CropDataset(part, folder, config.train.input_size, augment=True, seed=0)
        order = np.random.default_rng(0).permutation(len(part)).tolist()
        batches = [order[begin : begin + 27] for begin in range(0, len(order), 27)]
        data.__getitems__(batches[0])
        took = _core_seconds(lambda data=data, batches=batches: [*map(data.__getitems__, batches)])
        tried.append(Tried(len(part), "crops", len(part), took))
    return tried


def _scoring(config: RunConfig, rows: pd.DataFrame, sizes: tuple[int, ...]) -> list[Tried]:
    """Crops scored; the work is in floating-point operations."""
    folder, tried = pipeline.crop_folder(config, config.data.train_on), []
    model = build(config).eval()
    image = flops.inference(config, 1, config.train.input_size)
    score_rows(model, _of_videos(rows, 1), folder, config, device="cpu")
    for size in sizes:
        part = _of_videos(rows, size)
        took = _core_seconds(
            lambda part=part: score_rows(model, part, folder, config, device="cpu")
        )
        tried.append(Tried(len(part), "crops", len(part) * image, took))
    return tried


def _training(config: RunConfig, rows: pd.DataFrame, sizes: tuple[int, ...]) -> list[Tried]:
    """Trainings with their validations; the work is in floating-point operations."""
    count = _operations(config)
    _train(config, _of_people(rows, sizes[0]))
    tried = []
    for size in sizes:
        part = _of_people(rows, size)
        much = _amount(config, part)
        took = _core_seconds(lambda part=part: _train(config, part))
        work = training_flop(count, much) + scoring_flop(count, much)
        tried.append(Tried(much.steps, "steps", work, took))
    return tried


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
    """Crops of 512 px a second at random, from the disk and from memory, uncompressed and
    compressed, and how much smaller those are: of the last comparison of ways to store them."""
    by_name = {found["name"]: found for found in read_json(STORAGE)["formats"]}
    raw, packed = (by_name[storage.Own(compress).name] for compress in (False, True))
    share = packed["bytes_per_crop"] / raw["bytes_per_crop"]
    rates: dict[str, float] = {"compressed_share": share}
    for prefix, found in (("", raw), ("compressed_", packed)):
        of = found["images_per_second"]
        rates[f"{prefix}warm"] = of["warm_random"]
        # Where the system cannot be asked to forget files, there is only one rate.
        rates[f"{prefix}cold"] = of["cold_random"] or of["warm_random"]
    return rates


def run(path: Path = FILE, quick: bool = False) -> Path:
    """Measure and write ``path``."""
    write_json(path, measure(quick=quick))
    return path

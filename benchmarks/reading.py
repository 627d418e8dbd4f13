"""From stored crops to tensors and to scores, over reading PNG files one by one."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch

from benchmarks import crops, flops, measure, plain, steps
from benchmarks.measure import Result, Settings, synchroniser
from mcxlib import CLASSES
from mcxlib.data.crops.dataset import CropDataset, to_float
from mcxlib.detectors.base import normalise_
from mcxlib.engine.score import score_rows
from mcxlib.weights import build


def loading(settings: Settings) -> dict[str, Result]:
    """``loading``: crops to normalised training tensors, images per second and core."""
    count, stored, size, many = (6, 96, 64, 3) if settings.quick else (81, 512, 448, 27)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # images per second and core
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            rows = crops.store(folder / "npy", count, stored)
            files = crops.as_png(rows, folder / "npy", folder / "png")
            dataset = CropDataset(rows, folder / "npy", size, augment=True, seed=settings.seed)
            cpu = torch.device("cpu")
            mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (plain.MEAN, plain.STD))
            batches = [list(range(i, min(i + many, count))) for i in range(0, count, many)]

            def ours() -> None:
                for indices in batches:
                    images, _ = dataset.__getitems__(indices)
                    normalise_(to_float(images, cpu), mean, std)

            def theirs() -> None:
                for indices in batches:
                    plain.load_files([files[i] for i in indices], stored, size)

            samples = measure.take_turns(
                ours,
                theirs,
                least=settings.repetitions(7),
                seconds=settings.seconds(15),
            )
            png_bytes = sum(f.stat().st_size for f in files) / count
        entry = measure.result(
            samples,
            what=f"Stored crops of {stored} px to normalised training tensors of {size} px, images "
            "per second and core, over PIL and torchvision on PNG files.",
            target=5.0,
            better="higher",
            seed=settings.seed,
            details={
                "images": count,
                "images_per_second": count / samples.medians[0],
                "images_per_second_compared_with": count / samples.medians[1],
                "bytes_per_png": png_bytes,
                "device": "cpu",
            },
        )
    finally:
        torch.set_num_threads(threads)
    return {"loading": entry}


def scoring(settings: Settings) -> dict[str, Result]:
    """``scoring``: probabilities of stored crops, over one PNG file at a time.

    Raises:
        RuntimeError: the two do not give the same probabilities.
    """
    count, stored, size = (2, 96, 64) if settings.quick else (16, 512, 448)
    config = steps.paper_config(settings)
    train = config.train.model_copy(update={"input_size": size})
    config = config.model_copy(update={"train": train})
    device = settings.device
    wait = synchroniser(device)
    torch.manual_seed(settings.seed)
    model = build(config).to(device).eval()
    simple = build(config).to(device).eval()
    simple.load_state_dict(model.state_dict())
    plain.nchw(simple)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = crops.store(folder / "npy", count, stored)
        files = crops.as_png(rows, folder / "npy", folder / "png")

        def ours(precision: str = "32-true") -> np.ndarray:
            table = score_rows(
                model, rows, folder / "npy", config, device=device, precision=precision
            )
            return table[[f"p_{name}" for name in CLASSES]].to_numpy()

        def theirs() -> np.ndarray:
            return plain.score_files(simple, files, size, device)

        difference = float(np.abs(ours() - theirs()).max())
        if not difference < (1e-4 if device.type == "cpu" else 1e-2):
            raise RuntimeError(
                f"the plain implementation's scores differ from the project's by {difference:.2g}: "
                "one of the two is wrong, and their times are not to be compared"
            )
        budget = settings.seconds(30)
        samples = measure.take_turns(
            ours, theirs, least=settings.repetitions(5), seconds=budget, warm_up=0, synchronise=wait
        )
        half = measure.take_turns(
            lambda: ours("bf16-mixed"),
            theirs,
            least=settings.repetitions(4),
            seconds=budget / 4,
            synchronise=wait,
        )
    low, high = measure.interval(half, seed=settings.seed)
    counted = flops.inference(config, count, size)
    entry = measure.result(
        samples,
        what=f"Scoring stored crops at {size} px, over one image at a time, read as PNG by PIL, in "
        "NCHW memory.",
        target=0.7,
        seed=settings.seed,
        details={
            "images": count,
            "colorspace": config.colorspace,
            "precision": "fp32",
            "device": device.type,
            "largest_score_difference": difference,
            "flop": counted,
            "flops": counted / samples.medians[0],
            "bf16": {
                "ratio": measure.ratio_of_medians(half),
                "low": low,
                "high": high,
                "seconds": half.medians[0],
                "repetitions": len(half.first),
            },
        },
    )
    return {"scoring": entry}

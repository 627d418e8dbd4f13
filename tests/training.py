"""Short trainings on the bright corners of ``crop_tables``, for the tests."""

from __future__ import annotations

import torch
from safetensors.torch import load_file

from mcxlib import pipeline
from mcxlib.config import RunConfig, load
from mcxlib.data.crops.rows import fingerprint
from mcxlib.engine import fit as engine
from mcxlib.engine.hardware import Hardware

CLIPS = {"crop_size": 72, "input_size": 64, "frame_count": 2}
"""Of a few small drawn clips."""
ONE_EPOCH = {"epochs": 1, "freeze_epochs": 0, "per_category": 2}
MESONET = {"detector": "mesonet", "side": 0} | CLIPS | ONE_EPOCH
"""The smallest run of a whole pipeline."""
FOLDERS = {
    "real": "original_sequences/youtube",
    "DF": "manipulated_sequences/Deepfakes",
    "F2F": "manipulated_sequences/Face2Face",
    "FS": "manipulated_sequences/FaceSwap",
    "NT": "manipulated_sequences/NeuralTextures",
}
"""Where FaceForensics++ has what."""

SETTINGS = {"crop_size": 40, "input_size": 36, "epochs": 3, "per_category": 4}


def data_of(tables) -> engine.TrainingData:
    rows, folder = tables
    about = {"dataset": "FaceForensics++", "protocol": "paper", "synthetic": True}
    return engine.TrainingData(rows, folder, {"crop_size": 40}, about=about)


def run(config: RunConfig, tables, run_dir, options=None, progress=None):
    """Train ``config``; ``options`` are those of ``Hardware``."""
    recipe = pipeline.run_recipe(config, fingerprint(tables[0]))
    hardware = Hardware(**(options or {}))
    return engine.fit(config, data_of(tables), run_dir, recipe, hardware, progress)


def fit(tables, run_dir, options=None, progress=None, **overrides):
    """(configuration, history) of a short run."""
    config = load("test", **(SETTINGS | overrides))
    return config, run(config, tables, run_dir, options, progress)


def same_weights(*folders) -> bool:
    a, b = (load_file(folder / "weights.safetensors") for folder in folders)
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)

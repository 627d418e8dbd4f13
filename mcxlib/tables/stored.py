"""Run folders and their stored scores, read with complaints that say what to do."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from mcxlib import CLASSES

FACEFORENSICS = "FaceForensics++"

DATASETS = {"FakeAV": "FakeAVCeleb", "KoDF": "KoDF", "Celeb-DF": "Celeb-DF-v2"}
"""Columns of Table 3 -> the data sets' names in the scores."""

SYNTHETIC = "synthetic demonstration data"

_PROBABILITIES = [f"p_{name}" for name in CLASSES]
_NEEDED = ["dataset", "video_id", "frame_index", "split", "is_fake", "manipulation"]


@dataclass(frozen=True)
class Run:
    """One trained model with its stored scores."""

    run_id: str
    method: str
    colorspace: str
    backbone: str
    seed: int
    preset: str
    variant: str
    """"" for the preset's own settings; else the digest of what was changed (end of run_id)."""
    files: tuple[Path, ...] = field(repr=False)

    def source(self, dataset: str) -> str:
        """Which data a number measured on ``dataset`` comes from."""
        return dataset if self.preset == "paper" else SYNTHETIC


def find_runs(runs_dir: Path | str) -> list[Run]:
    """Every run folder in ``runs_dir`` that holds scores, in order of its name.

    A folder without ``config.json`` or without scores (a run in training, say) is no row of a
    table yet and is left out, and so is a run that was put aside (``.old``).

    Raises:
        ValueError: no such folder, an unreadable or incomplete ``config.json``, or runs of several
            presets side by side (their numbers come from different data).
    """
    runs_dir = Path(runs_dir)
    if not runs_dir.is_dir():
        raise ValueError(f"no runs folder {runs_dir}; train and score a model first")
    runs = []
    for config_file in sorted(runs_dir.glob("*/config.json")):
        files = tuple(sorted((config_file.parent / "scores").glob("*.parquet")))
        if files and config_file.parent.suffix != ".old":
            runs.append(_run(config_file, files))
    presets = sorted({run.preset for run in runs})
    if len(presets) > 1:
        raise ValueError(
            f"{runs_dir} holds runs of the presets {', '.join(presets)}: numbers from different "
            "data do not belong in one table; keep each preset in a folder of its own"
        )
    return runs


def _run(config_file: Path, files: tuple[Path, ...]) -> Run:
    try:
        config = json.loads(config_file.read_text(encoding="utf-8"))
        run_id, seed = str(config["run_id"]), int(config["seed"])
        texts = {key: config[key] for key in ("method", "colorspace", "backbone", "preset")}
    except KeyError as error:
        raise ValueError(f"{config_file} lacks the key {error}; train that run again") from None
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"{config_file} cannot be read ({error}); train that run again") from error
    variant = run_id.partition(f"_seed{seed}")[2].removeprefix("_")
    return Run(run_id=run_id, seed=seed, variant=variant, files=files, **texts)


def read_scores(run: Run) -> pd.DataFrame:
    """All frames that the run scored, with the column ``fake_score`` = 1 - p_real added.

    Raises:
        ValueError: an unreadable file, missing columns, probabilities that are NaN or do not sum
            to 1, or a frame that was scored twice.
    """
    parts = []
    for file in run.files:
        try:
            part = pd.read_parquet(file)
        except (OSError, ValueError) as error:
            raise ValueError(f"{file} cannot be read ({error}); score that run again") from error
        missing = [name for name in (*_NEEDED, *_PROBABILITIES) if name not in part]
        if missing:
            raise ValueError(f"{file} lacks the columns {', '.join(missing)}; score it again")
        total = part[_PROBABILITIES].to_numpy(np.float64).sum(1)
        # NaN fails this comparison too. Sums of float32 or rounded half-precision softmax pass.
        if not (np.abs(total - 1) < 1e-2).all():
            raise ValueError(f"{file}: the five probabilities of some frames do not sum to 1")
        parts.append(part)
    scores = pd.concat(parts, ignore_index=True)
    face = ["face"] if "face" in scores else []
    frame = ["dataset", "video_id", "manipulation", "frame_index", *face]
    if (twice := scores.duplicated(frame)).any():
        first = scores.loc[twice.idxmax(), frame].tolist()
        raise ValueError(f"{run.run_id}: {int(twice.sum())} frames are scored twice, first {first}")
    return scores.assign(fake_score=1 - scores["p_real"].astype(np.float64))


def held_out(run: Run, dataset: str, scores: pd.DataFrame | None = None) -> pd.DataFrame:
    """The test frames of one data set; an empty table if the run was not scored on it.

    Raises:
        ValueError: scored on the data set, but not on its test part, or not on each class that a
            table needs (real and the four manipulations for FaceForensics++; real and fake else).
    """
    scores = read_scores(run) if scores is None else scores
    frames = scores[scores["dataset"] == dataset]
    if frames.empty:
        return frames
    test = frames[frames["split"] == "test"]
    where = f"{run.run_id}, test part of {dataset}"
    if dataset == FACEFORENSICS:
        lacking = [name for name in CLASSES if name not in set(test["manipulation"])]
    else:
        kinds = set(test["is_fake"].astype(bool))
        lacking = [name for name, kind in (("real", False), ("fake", True)) if kind not in kinds]
    if lacking:
        raise ValueError(
            f"{where}: no scores of {', '.join(lacking)}; make those crops and score again"
        )
    return test

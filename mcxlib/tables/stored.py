"""Run folders and their stored scores, read with complaints that say what to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mcxlib import CLASSES, detectors, paper, provenance, runs, schemas
from mcxlib.method import colorspace
from mcxlib.settings import recipe as recipes

FACEFORENSICS = "FaceForensics++"

DATASETS = {"FakeAV": "FakeAVCeleb", "KoDF": "KoDF", "Celeb-DF": "Celeb-DF-v2"}
"""Columns of Table 3 -> the data sets' names in the scores."""

SYNTHETIC = "synthetic demonstration data"


@dataclass(frozen=True)
class Run:
    """One trained model with its stored scores."""

    folder: runs.RunFolder
    run_id: str
    method: str
    """Name of the detector."""
    colorspace: str
    backbone: str
    """What tells networks of one detector apart: the backbone, or "" where there is none."""
    seed: int
    preset: str
    variant: str
    """"" for the preset's own settings; else the digest of what was changed (end of run_id)."""
    label: str
    """The row of the paper's tables."""
    settings: dict[str, Any] = field(repr=False)

    @property
    def key(self) -> str:
        """What rows of the paper and of runs are matched by."""
        return paper.row_key(self.label)

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(self.folder.scored())

    @cached_property
    def standing(self) -> str:
        """What a reader should know of a run made elsewhere or by other code; "" for nothing."""
        record = self.folder.read_provenance()
        if record is None:
            return ""
        found = []
        if self.method in detectors.modules():
            spaces = [f"{colorspace.__name__}.{n}" for n in self.colorspace.split("+")]
            stored = record.get("recipe")
            now = recipes.recipe(
                detectors.modules()[self.method],
                (stored or {}).get("settings", {}),
                also=spaces,
            )
            if changed := recipes.differences(stored, now):
                found.append(f"made by older code ({', '.join(changed)})")
        else:
            found.append("made by older code (its detector is gone)")
        # Only of a detector that uses masks, and only since they are handed to it.
        masks = record.get("trained_on", {}).get("masks")
        if masks and masks["with_masks"] < masks["fakes"]:
            found.append("trained with masks of {with_masks} of {fakes} fakes".format(**masks))
        return "; ".join([*found, *provenance.elsewhere(record)])

    def source(self, dataset: str, scores: pd.DataFrame) -> str:
        """Which data a number measured on ``dataset`` comes from: the data say so themselves."""
        part = scores[scores["dataset"] == dataset]
        if "synthetic" in part and not part["synthetic"].isna().all():
            return SYNTHETIC if part["synthetic"].astype(bool).any() else dataset
        # Scored before the data said so: then only the paper's preset was not of rendered videos.
        return dataset if self.preset == "paper" else SYNTHETIC


def find_runs(runs_dir: Path | str) -> list[Run]:
    """Every run folder in ``runs_dir`` that holds scores, in order of its name.

    A folder without ``config.json`` or without scores (a run in training, say) is no row of a
    table yet and is left out, and so is a run that was put aside (``.old-1``).

    Raises:
        ValueError: no such folder, an unreadable or incomplete ``config.json``, or runs of several
            presets side by side (their numbers come from different data).
    """
    found = [_run(folder) for folder in runs.find(Path(runs_dir)) if folder.scored()]
    presets = sorted({run.preset for run in found})
    if len(presets) > 1:
        raise ValueError(
            f"{runs_dir} holds runs of the presets {', '.join(presets)}: numbers from different "
            "data do not belong in one table; keep each preset in a folder of its own"
        )
    return found


def _run(folder: runs.RunFolder) -> Run:
    config = folder.read_config()
    try:
        model = config["model"] if "format" in config else config
        train = config["train"] if "format" in config else config
        data = config["data"] if "format" in config else config
        run_id, seed = str(config["run_id"]), int(train["seed"])
        method = config["detector"] if "format" in config else config["method"]
        space = model.get("colorspace", "rgb")
        label = config.get("label") or paper.printed_label(method, space)
        backbone, preset = str(model.get("backbone", "")), data["preset"]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            f"{folder.config} lacks {error}; it is not a configuration that this program wrote"
        ) from None
    words = {"detector": method, "colorspace": space, "label": label, "preset": preset}
    for name, value in words.items():
        if not isinstance(value, str):
            raise ValueError(
                f"{folder.config}: {name} is {value!r}; it is not a configuration that this "
                "program wrote"
            )
    return Run(
        folder=folder,
        run_id=run_id,
        method=method,
        colorspace=space,
        backbone=backbone,
        seed=seed,
        preset=preset,
        variant=run_id.partition(f"_seed{seed}")[2].removeprefix("_"),
        label=label,
        settings=config,
    )


def read_scores(run: Run) -> pd.DataFrame:
    """All frames that the run scored, with the column ``fake_score``.

    ``videos_left_out`` and ``video_rule`` are the same in all rows of one data set: how many of
    its videos could not be judged, and how the detector makes a video's score of its frames'.

    Raises:
        ValueError: an unreadable file, missing columns, scores that are no numbers, or a frame
            that was scored twice.
    """
    parts = []
    for file in run.files:
        part = schemas.read_scores(file)
        left, rule = part.attrs["videos_left_out"], part.attrs["video_rule"]
        parts.append(part.assign(videos_left_out=sum(left.values()), video_rule=rule))
    scores = pd.concat(parts, ignore_index=True)
    face = ["face"] if "face" in scores else []
    frame = ["dataset", "video_id", "manipulation", "frame_index", *face]
    if (twice := scores.duplicated(frame)).any():
        first = scores.loc[twice.idxmax(), frame].tolist()
        raise ValueError(f"{run.run_id}: {int(twice.sum())} frames are scored twice, first {first}")
    return scores


def held_out(run: Run, dataset: str, scores: pd.DataFrame | None = None) -> pd.DataFrame:
    """The test frames of one data set; an empty table if the run was not scored on it.

    Raises:
        ValueError: scored on the data set, but not on its test part.
    """
    scores = read_scores(run) if scores is None else scores
    frames = scores[scores["dataset"] == dataset]
    test = frames[frames["split"] == "test"]
    if len(frames) and test.empty:
        raise ValueError(
            f"{run.run_id}: scores of {dataset}, but none of its test part; score it again"
        )
    return test


def lacking(dataset: str, test: pd.DataFrame) -> list[str]:
    """Classes that a table needs and the scores of a test part do not have."""
    if test.empty:
        return []
    if dataset == FACEFORENSICS:
        return [name for name in CLASSES if name not in set(test["manipulation"])]
    kinds = set(np.asarray(test["is_fake"], dtype=bool).tolist())
    return [name for name, kind in (("real", False), ("fake", True)) if kind not in kinds]

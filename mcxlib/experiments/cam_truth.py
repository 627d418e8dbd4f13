"""Activation maps against what the renderer altered: numbers beside those of chance.

Only rendered fakes are looked at: of them it is known, pixel by pixel, what was altered. Chance is
shown twice: a flat map (the altered share of the area), and each network's own maps handed to other
images, which keeps their shape and that networks look at the middle.

What was measured is stored with the weights it was measured of, and measured once.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from mcxlib import explain, pipeline, schemas
from mcxlib.data.crops.rows import fingerprint
from mcxlib.data.faces.crop import crop_mask
from mcxlib.explain.truth import areas, pointing
from mcxlib.files import digest
from mcxlib.pipeline.common import alone
from mcxlib.pipeline.data import home_of, videos_folder
from mcxlib.settings import paths, recipe
from mcxlib.synthetic import DemoSpec
from mcxlib.synthetic.traces import jpeg
from mcxlib.synthetic.truth import altered_frames

if TYPE_CHECKING:
    import torch

    from mcxlib.config import RunConfig
    from mcxlib.detectors.base import Detector

FORMAT = 2
"""Of what is stored. 2: video_id."""

METHODS = ("Grad-CAM", "Grad-CAM++", "LayerCAM")
"""Behind an average over space HiResCAM and XGrad-CAM are Grad-CAM, to rounding."""

QUALITIES = (90, 70, 50)
"""Of the JPEG that faces go through to see whether a network reacts."""


class Stored(NamedTuple):
    """What was measured of two networks."""

    truth: pd.DataFrame
    """Of :func:`measured`; empty where nothing is known of what was altered."""
    reaction: pd.DataFrame
    """Of :func:`reaction`."""
    note: dict[str, Any]
    """Of which weights (network -> digest) and rows (digest)."""


def files(config: RunConfig) -> tuple[Path, Path]:
    """Where both tables lie."""
    folder = paths.results(home_of(config.data)) / "maps"
    return folder / "reaction.parquet", folder / "truth.parquet"


def make(runs: Mapping[str, RunConfig]) -> Stored:
    """:func:`measured` and :func:`reaction` of the networks of ``runs``, from the stored tables if
    these are of the same weights, rows and code. Networks that are missing are trained.

    Raises:
        ValueError: as :func:`mcxlib.pipeline.ensure_run`; stored tables of a newer format.
    """
    config = next(iter(runs.values()))
    for run in runs.values():
        pipeline.ensure_run(run)
    code = recipe.trigger("mcxlib.explain.truth", "mcxlib.explain.cam", "mcxlib.synthetic.truth")
    rows = pipeline.ensure_rows(config, config.data.train_on)
    wanted = {"weights": _weights(runs), "code": code, "rows_sha256": fingerprint(rows)}
    first, last = files(config)
    with alone(last, "maps against the truth"):
        kept = _read(config)
        if kept is not None and all(kept.note.get(key) == wanted[key] for key in wanted):
            return kept
        models = _networks(runs)
        known = config.data.videos == "rendered"
        truth = measured(models, fakes(config)) if known else pd.DataFrame()
        note = {"format": FORMAT} | wanted
        schemas.write_noted(first, reaction(models, config), note)
        schemas.write_noted(last, truth, note)
    return Stored(truth, pd.read_parquet(first), note)


def stored(runs: Mapping[str, RunConfig]) -> Stored | None:
    """What lies there, if it is of these networks; nothing is made. Errors as :func:`make`."""
    kept = _read(next(iter(runs.values())))
    return kept if kept is not None and kept.note["weights"] == _weights(runs) else None


def _read(config: RunConfig) -> Stored | None:
    first, last = files(config)
    if not (first.is_file() and last.is_file()):
        return None
    notes = [schemas.read_note(path) for path in (first, last)]
    if notes[0] != notes[1]:
        return None  # cut off between the two
    if notes[0].get("format", FORMAT) > FORMAT:
        raise ValueError(
            f"{last} is of format {notes[0]['format']}, and this program reads up to {FORMAT}; "
            "update it"
        )
    truth = pd.read_parquet(last)
    if "video_id" not in truth and len(truth):  # of format 1, whose crops are of as many videos
        truth["video_id"] = truth.groupby(["network", "method"]).cumcount().astype(str)
    return Stored(truth, pd.read_parquet(first), notes[0])


def _weights(runs: Mapping[str, RunConfig]) -> dict[str, str]:
    found = {name: pipeline.run_folder(run).weights for name, run in runs.items()}
    return {name: digest(path) if path.is_file() else "" for name, path in found.items()}


def _networks(runs: Mapping[str, RunConfig]) -> dict[str, Detector]:
    from mcxlib import weights

    return {n: weights.load(pipeline.run_folder(run).weights).model for n, run in runs.items()}


class Fakes(NamedTuple):
    """Rendered test fakes."""

    images: np.ndarray
    """(N, 3, H, W) float32 RGB in [0, 1], as networks get them."""
    altered: np.ndarray
    """(N, H, W) bool: the pixels of which more than half was altered."""
    names: list[str]
    """Manipulations."""
    videos: list[str]
    """Which crops belong together."""


def fakes(config: RunConfig, each: int = 8) -> Fakes:
    """``each`` crops of every manipulation, of as many people as there are.

    Raises:
        ValueError: the data are not rendered; nothing is known of their altered pixels.
    """
    if config.data.videos != "rendered":
        raise ValueError(
            f"the altered pixels are known of rendered videos only; these are {config.data.videos}"
        )
    at = pipeline.plan(config, config.data.train_on)
    below = pipeline.ensure_manifest(config, config.data.train_on).set_index("video_id")["path"]
    rows = pipeline.ensure_rows(config, config.data.train_on)
    rows = rows[(rows["split"] == "test") & rows["is_fake"].astype(bool)]
    chosen = pd.concat(
        part.sort_values(["frame_index", "video_id"]).iloc[:: max(1, len(part) // each)][:each]
        for _, part in rows.groupby("class_index")
    ).reset_index(drop=True)
    spec = DemoSpec.small() if config.preset == "test" else DemoSpec()
    root = at.root.relative_to(videos_folder(config.data))
    masks = []
    for row in chosen.itertuples():
        path = (root / below[row.video_id]).as_posix()
        mask = 255 * altered_frames(path, [row.frame_index], spec)[0].astype(np.uint8)
        box = (row.x1, row.y1, row.x2, row.y2)
        masks.append(crop_mask(mask, box, config.data.crop_rule, config.data.crop_size))
    room = (config.data.crop_size - config.train.input_size) // 2
    part = np.s_[:, room : room + config.train.input_size, room : room + config.train.input_size]
    images = _images(config, chosen)
    names = chosen["manipulation"].tolist(), chosen["video_id"].tolist()
    return Fakes(images, np.stack(masks)[part] > 127, *names)


def _images(config: RunConfig, rows: pd.DataFrame) -> np.ndarray:
    from mcxlib.data.crops.dataset import CropDataset

    folder = pipeline.crop_folder(config, config.data.train_on)
    crops = CropDataset(rows, folder, config.train.input_size)
    images, _ = crops.__getitems__(list(range(len(rows))))
    return np.ascontiguousarray(images.numpy()).astype(np.float32) / 255


def one_of_each(sample: Fakes) -> Fakes:
    """The first crop of each manipulation."""
    first = [sample.names.index(name) for name in dict.fromkeys(sample.names)]
    names = ([of[i] for i in first] for of in (sample.names, sample.videos))
    return Fakes(sample.images[first], sample.altered[first], *names)


def measured(models: Mapping[str, Detector], sample: Fakes) -> pd.DataFrame:
    """One row a network, method and crop, for the output fake.

    Columns: network, method, manipulation, video_id, cells (of the map before it is enlarged: few
    of them point coarsely), evidence (whether the map has any positive value),
    share and pointing (inside the altered region; NaN without evidence), area (the region's share
    of the crop), share_of_others and pointing_of_others (the mean over the other crops' maps),
    deletion, insertion, and of_others of both.
    """
    import torch

    images = torch.from_numpy(sample.images)
    n = len(images)
    tables = []
    for network, model in models.items():
        cells = explain.raw_maps(model, images[:1], METHODS[0], "fake")[0].size
        for method in METHODS:
            maps = explain.activation_maps(model, images, method, "fake")
            own = areas(model, images, maps)
            # The same map for all of a network's images in turn would cost n times as much.
            others = areas(model, images, np.roll(maps, n // 2, axis=0))
            hits = np.stack([pointing(np.roll(maps, k, axis=0), sample.altered)
                             for k in range(1, n)])  # fmt: skip
            shares = np.stack([explain.region_share(np.roll(maps, k, axis=0), sample.altered)
                               for k in range(1, n)])  # fmt: skip
            tables.append(
                pd.DataFrame(
                    {
                        "network": network,
                        "method": method,
                        "manipulation": sample.names,
                        "video_id": sample.videos,
                        "cells": cells,
                        "evidence": maps.max((1, 2)) > 0,
                        "area": sample.altered.mean((1, 2)),
                        "share": explain.region_share(maps, sample.altered),
                        "share_of_others": _mean(shares),
                        "pointing": pointing(maps, sample.altered),
                        "pointing_of_others": _mean(hits),
                        "deletion": own.deletion,
                        "deletion_of_others": others.deletion,
                        "insertion": own.insertion,
                        "insertion_of_others": others.insertion,
                    }
                )
            )
    return pd.concat(tables, ignore_index=True)


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over the first axis of what is not NaN; NaN where nothing is left."""
    known = ~np.isnan(values)
    total, count = np.where(known, values, 0).sum(0), known.sum(0)
    return np.divide(total, count, out=np.full(values.shape[1], np.nan), where=count > 0)


def two_scales(
    model: Detector, images: np.ndarray, method: str = "LayerCAM"
) -> tuple[np.ndarray, np.ndarray]:
    """Maps as they are usually drawn, each stretched to its own range, and all on one scale.

    Returns:
        Two arrays (N, H, W) in [0, 1]; on the common scale 1 is the strongest evidence for fake
        in any of the images.
    """
    import cv2
    import torch

    shown = torch.from_numpy(images)
    stretched = explain.activation_maps(model, shown, method, "fake")
    raw = np.maximum(explain.raw_maps(model, shown, method, "fake"), 0)
    common = np.stack([cv2.resize(one, images.shape[:1:-1]) for one in raw])
    return stretched, common / max(float(common.max()), 1e-12)


def reaction(models: Mapping[str, Detector], config: RunConfig, count: int = 60) -> pd.DataFrame:
    """Untouched test faces against the same after JPEG: does a network call compression a fake?

    Returns:
        One row a network and quality: network, quality, faces, shift (mean change of the log-odds
        of fake), and auc of compressed against untouched (0.5: it does not react).
    """
    import torch

    from mcxlib.evaluate.metrics import auc

    rows = pipeline.ensure_rows(config, config.data.train_on)
    rows = rows[(rows["split"] == "test") & ~rows["is_fake"].astype(bool)]
    rows = rows.iloc[:: max(1, len(rows) // count)].reset_index(drop=True)
    plain = _images(config, rows)
    found = []
    for network, model in models.items():
        before = _log_odds(model, torch.from_numpy(plain))
        for quality in QUALITIES:
            pixels = np.rint(255 * plain.transpose(0, 2, 3, 1)).astype(np.uint8)
            squeezed = np.stack([jpeg(image, quality) for image in pixels])
            shown = np.ascontiguousarray(squeezed.transpose(0, 3, 1, 2)).astype(np.float32) / 255
            after = _log_odds(model, torch.from_numpy(shown))
            labels = np.repeat([False, True], len(before))
            found.append(
                {"network": network, "quality": quality, "faces": len(before)}
                | {"shift": float((after - before).mean())}
                | {"auc": auc(labels, np.concatenate([before, after]))}
            )
    return pd.DataFrame(found)


def _log_odds(model: Detector, images: torch.Tensor) -> np.ndarray:
    import torch

    from mcxlib.explain.features import evaluating

    with evaluating(model) as device, torch.no_grad():
        log_p = model.log_probabilities(model(images.to(device)))
    return (log_p[:, 1] - log_p[:, 0]).double().cpu().numpy()

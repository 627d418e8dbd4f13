"""Scores of the videos that a run was selected on: what may be chosen or fitted after training.

Training scores them after each epoch anyway, and keeps those of the weights it keeps. Only for a
run of older code they are computed here, once.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from mcxlib import detectors, schemas
from mcxlib.config import RunConfig
from mcxlib.data.crops.rows import fingerprint
from mcxlib.files import digest
from mcxlib.pipeline import data as data_steps
from mcxlib.pipeline.common import alone
from mcxlib.pipeline.runs import check_ours, run_folder
from mcxlib.pipeline.scores import check_weights, compute


def stored_validation(config: RunConfig) -> pd.DataFrame | None:
    """The validation frames' scores of a run as they lie on disk; None if there are none, or if
    they are of other weights than the folder's."""
    folder = run_folder(config)
    if not folder.validation.is_file():
        return None
    made_by = schemas.read_note(folder.validation).get("weights_sha256")
    if folder.weights.is_file() and digest(folder.weights) != made_by:
        return None
    return schemas.read_scores(folder.validation)


def ensure_validation(config: RunConfig, workers: int | None = None) -> pd.DataFrame:
    """The scores of the run of ``config`` on the validation part of what it was trained on.

    Columns as :func:`mcxlib.pipeline.ensure_scores` gives them, with ``split`` "val".

    Args:
        config: a run that is finished.
        workers: processes that cut faces, where crops are missing.

    Raises:
        FileNotFoundError: the run is not finished, or has lost its weights.
        ValueError: its folder holds files of another run, or no validation frame has a face.
    """
    if (stored := stored_validation(config)) is not None:
        return stored
    from mcxlib import weights
    from mcxlib.data.crops.rows import join

    folder = run_folder(config)
    if not folder.finished or not folder.weights.is_file():
        raise FileNotFoundError(
            f"{config.run_id} has no finished weights in {folder.path} to score validation videos "
            f"with; train it: mcx train --preset {config.preset} --detector {config.detector}"
        )
    check_ours(config, folder)
    card = weights.read_card(folder.weights)
    check_weights(config, folder, card)
    name = config.data.train_on
    at = data_steps.plan(config, name)
    crops = data_steps.ensure_crops(config, name, workers)
    rows = join(crops, data_steps.ensure_manifest(config, name), card.classes, split="val")
    made_from: dict[str, Any] = {
        "rows_sha256": fingerprint(rows),
        "weights_sha256": digest(folder.weights),
    }
    with alone(folder.validation, f"validation scores of {config.run_id}"):
        if (stored := stored_validation(config)) is not None:
            return stored  # another process was faster
        table, kind = compute(config, folder, rows, at, made_from, folder.validation)
        schemas.write_scores(
            folder.validation,
            table,
            kind,
            dataset=at.name,
            classes=list(card.classes),
            video_rule=detectors.find(config.detector).video_rule,
            **made_from,
        )
    return schemas.read_scores(folder.validation)


__all__ = ["ensure_validation", "stored_validation"]

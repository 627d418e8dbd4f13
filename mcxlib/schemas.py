"""The tables that outlive the code that wrote them, and how older ones are read.

Scores: one row a frame. ``fake_score`` (float64, larger is more likely fake) is there always;
``p_real``, ``p_DF``, ... where the detector tells classes apart. What the score is stands in the
file's own metadata.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mcxlib.files import replacing

if TYPE_CHECKING:
    import pandas as pd

SCORES_FORMAT = 1
"""Of stored scores; before it, five probabilities and no ``fake_score``."""

SCORE_KEYS = ("dataset", "video_id", "frame_index", "split", "is_fake", "manipulation")
"""Columns that every table of scores has, beside ``fake_score``."""

DIRECTION = "larger is more likely fake; decided at 0.5"

_KEY = b"mcx"


def write_scores(path: Path, table: pd.DataFrame, kind: str, **about: Any) -> None:
    """Write a table of scores, whole or not at all; ``kind`` says what ``fake_score`` is."""
    note = {"format": SCORES_FORMAT, "kind": kind, "direction": DIRECTION} | about
    write_noted(path, table, note)


def write_noted(path: Path, table: pd.DataFrame, note: dict[str, Any]) -> None:
    """Write a Parquet file whose metadata carry ``note``."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    stored = pa.Table.from_pandas(table, preserve_index=False)
    metadata = {**(stored.schema.metadata or {}), _KEY: json.dumps(note, sort_keys=True).encode()}
    with replacing(path) as temporary:
        pq.write_table(stored.replace_schema_metadata(metadata), temporary)


def read_note(path: Path) -> dict[str, Any]:
    """The note a Parquet file carries; empty for one without."""
    import pyarrow.parquet as pq

    return json.loads((pq.read_schema(path).metadata or {}).get(_KEY, b"{}"))


def read_scores(path: Path) -> pd.DataFrame:
    """A table of scores of this format or an older one, checked.

    Its ``attrs`` have what the file notes: ``videos_left_out`` (reason -> videos) and
    ``video_rule`` (how the detector makes a video's score of its frames').

    Raises:
        ValueError: it cannot be read, is of a newer format, lacks a column, or has scores that are
            no numbers or probabilities that do not add up to 1; names the file and what to do.
    """
    import pandas as pd

    try:
        table, note = pd.read_parquet(path), read_note(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read ({error}); score that run again") from error
    if note.get("format", 0) > SCORES_FORMAT:
        raise ValueError(
            f"{path} has scores of format {note['format']}, and this program reads up to "
            f"{SCORES_FORMAT}; update it"
        )
    table.attrs = {
        "videos_left_out": note.get("videos_left_out", {}),
        # Scored before detectors said it: then the tables took the mean of all.
        "video_rule": note.get("video_rule", "mean"),
    }
    classes = [name for name in table if name.startswith("p_")]
    if "fake_score" not in table and "p_real" in table:
        table["fake_score"] = from_real(table["p_real"])
    missing = [name for name in (*SCORE_KEYS, "fake_score") if name not in table]
    if missing:
        raise ValueError(f"{path} lacks the columns {', '.join(missing)}; score it again")
    if not np.isfinite(table["fake_score"].to_numpy(np.float64)).all():
        raise ValueError(f"{path}: some scores are no numbers; score that run again")
    if classes:
        total = table[classes].to_numpy(np.float64).sum(1)
        # NaN fails this comparison too. Sums of float32 or rounded half-precision softmax pass.
        if not (np.abs(total - 1) < 1e-2).all():
            raise ValueError(
                f"{path}: the {len(classes)} probabilities of some frames do not sum to 1"
            )
    return table


def from_real(p_real: Any) -> np.ndarray:
    """The score of fake from the probability of real: the one place that turns it round."""
    return 1 - np.asarray(p_real, dtype=np.float64)

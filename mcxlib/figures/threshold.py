"""A slider on stored scores: what a threshold makes of them, in a page that needs nothing else."""

from __future__ import annotations

import base64
import html
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mcxlib.figures.charts import score_distributions
from mcxlib.figures.style import FAKE_COLOR, MEASURED_COLOR
from mcxlib.figures.vector import svg

_FINE = (0.001, 0.002, 0.005)
THRESHOLDS = tuple(
    round(float(t), 3)
    for t in (0, *_FINE, *np.linspace(0.01, 0.99, 99), *(1 - t for t in _FINE[::-1]), 1)
)
"""Where the slider stops; finer at both ends, where a sure detector's scores lie."""

BINS = 25
_SCRIPT = Path(__file__).with_name("threshold.js")
_ROC_POINTS = 200


def groups_of(frames: pd.DataFrame) -> pd.DataFrame:
    """Scores of one data set as a group a manipulation, each with all real ones.

    Args:
        frames: is_fake, manipulation and fake_score.

    Returns:
        The same columns and ``dataset``, the manipulation that the group is about.
    """
    real = frames[~frames["is_fake"].astype(bool)]
    fakes = frames[frames["is_fake"].astype(bool)]
    parts = [
        pd.concat([real, part]).assign(dataset=name)
        for name, part in fakes.groupby("manipulation", sort=False)
    ]
    return pd.concat(parts, ignore_index=True)


def counts(scores: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """All that the slider shows, by data set, ready for JSON.

    Args:
        scores: dataset, is_fake and fake_score.

    Returns:
        Of each data set ``real`` and ``fake`` (how many), ``real_above`` and ``fake_above`` (how
        many score above each of :data:`THRESHOLDS`), ``real_bins`` and ``fake_bins`` (shares of
        :data:`BINS` bins from 0 to 1), ``auc`` and ``roc``, points (false, true positive rate).

    Raises:
        ValueError: a data set without real or without fake ones; or a missing column.
    """
    from sklearn.metrics import roc_auc_score, roc_curve

    if missing := [c for c in ("dataset", "is_fake", "fake_score") if c not in scores]:
        raise ValueError(f"the scores lack the columns {', '.join(missing)}")
    found: dict[str, dict[str, Any]] = {}
    for name, part in scores.groupby("dataset", sort=False):
        fake, score = part["is_fake"].to_numpy(bool), part["fake_score"].to_numpy(np.float64)
        if fake.all() or not fake.any():
            raise ValueError(f"{name}: a threshold needs scores of real and of fake ones")
        fpr, tpr, _ = roc_curve(fake, score)
        kept = np.unique(np.linspace(0, len(fpr) - 1, _ROC_POINTS).round().astype(int))
        about: dict[str, Any] = {
            "auc": round(float(roc_auc_score(fake, score)), 4),
            "roc": np.stack([fpr, tpr], 1)[kept].round(4).tolist(),
        }
        for kind, chosen in (("real", score[~fake]), ("fake", score[fake])):
            bins = np.histogram(chosen.clip(0, 1), BINS, (0, 1))[0] / len(chosen)
            about[kind] = len(chosen)
            about[f"{kind}_above"] = [int((chosen > t).sum()) for t in THRESHOLDS]
            about[f"{kind}_bins"] = bins.round(4).tolist()
        found[str(name)] = about
    return found


def slider(scores: pd.DataFrame, unit: str, source: str = "", title: str = "") -> str:
    """The histograms with a threshold to move, as HTML: a picture where no script runs.

    Args:
        scores: dataset, is_fake and fake_score, one row a frame or a video.
        unit: "frames" or "videos": what is counted.
        source: the data, named under it.
        title: whose scores they are.

    Raises:
        ValueError: as :func:`counts`.
    """
    about = {
        "thresholds": THRESHOLDS,
        "unit": unit,
        "colors": {"real": MEASURED_COLOR, "fake": FAKE_COLOR},
        "groups": counts(scores),
    }
    still = score_distributions(scores, source)
    address = "data:image/svg+xml;base64," + base64.b64encode(svg(still).encode()).decode()
    note = html.escape(f"{title}, {unit}. Data: {source}" if source else f"{title}, {unit}")
    # No "<" inside, so that nothing in it can end the script.
    data = json.dumps(about, separators=(",", ":")).replace("<", "\\u003c")
    return (
        "<div data-mcx-threshold><div data-still>"
        f'<img src="{address}" alt="{html.escape(still.alt)}"></div>'
        f'<div data-live hidden></div><p style="font-size:0.85em">{note}</p>'
        f'<script type="application/json">{data}</script></div>'
        f"<script>{_SCRIPT.read_text(encoding='utf-8')}</script>"
    )

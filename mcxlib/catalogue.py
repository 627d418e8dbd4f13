"""What there is to train: every detector with what it is, what was published, what deviates."""

from __future__ import annotations

from typing import Any

import pandas as pd

from mcxlib import CLASSES, detectors, paper
from mcxlib.config import load


def catalogue() -> list[dict[str, Any]]:
    """One entry a detector, ready for JSON.

    Keys: name, paper_rows (labels in the paper's tables), tables (their numbers), parameters (found
    here, for ``outputs`` outputs), published_parameters (None where nothing is published for these
    outputs), outputs, input_size (pixels, preset ``paper``), frames_per_item, deviations, licence
    (of the reference implementation), settings (its own, with their descriptions).
    """
    from torch._subclasses import FakeTensorMode

    entries = []
    for name in detectors.modules():
        kind, config = detectors.find(name), load("paper", detector=name)
        published = kind.published
        own = dict(published.settings) if published else {}
        with FakeTensorMode():
            model = kind(kind.Settings(**own), CLASSES)
        entries.append(
            {
                "name": name,
                "paper_rows": _rows(kind.paper_labels),
                "tables": list(kind.tables),
                "parameters": sum(p.numel() for p in model.parameters()),
                "published_parameters": published.parameters if published else None,
                "outputs": published.outputs if published else model.outputs,
                "input_size": config.train.input_size,
                "frames_per_item": kind.frames_per_item,
                "deviations": kind.deviations,
                "licence": kind.licence,
                "settings": {
                    field: info.description or ""
                    for field, info in kind.Settings.model_fields.items()
                },
            }
        )
    return entries


def _rows(labels: tuple[str, ...]) -> list[str]:
    """The paper's rows that belong to a detector's labels, in print order."""
    keys = pd.concat([paper.table1(), paper.table2(), paper.table3()])["key"].unique()
    return [k for k in keys if any(k == label or k.startswith(f"{label}(") for label in labels)]

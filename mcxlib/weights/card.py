"""The card that travels with weights: what they are, what they expect, what they know."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

FORMAT = 1
"""Of weights and card. Before it: a flat configuration and a crop contract, nothing else."""


class Card(BaseModel):
    """What a file of weights says of itself. Unknown entries are kept, for those who know them."""

    model_config = ConfigDict(extra="allow", frozen=True)

    format: int = FORMAT
    detector: str
    label: str
    classes: tuple[str, ...]
    score_kind: str = ""
    input: dict[str, Any] = {}
    """Size in pixels, colour order, range."""
    config: dict[str, Any]
    """As :meth:`mcxlib.config.RunConfig.stored` gives it."""
    crop_contract: dict[str, Any] = {}
    """How the crops were made that it was trained on."""
    validation: dict[str, Any] = {}
    """Threshold, metrics and sizes on the validation data, at the epoch that was selected."""
    calibration: dict[str, Any] = {}
    """:func:`mcxlib.evaluate.operating.calibration` of the validation videos, at that epoch; empty
    in files that were written before there was one."""
    trained_on: dict[str, Any] = {}
    """Data set, protocol, whether it is synthetic, counts, fingerprint."""
    imported: dict[str, Any] | None = None
    """Of other people's weights: which file they were, from where, under which licence."""
    recipe: dict[str, Any] | None = None
    provenance: dict[str, Any] = {}
    """Versions, commit and machine at the time of writing."""

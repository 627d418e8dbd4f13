"""Hyper-parameters by name. A preset lists only what it changes, each with its reason.

A preset says nothing about where numbers come from: the data say that themselves. What a detector
changes further stands in its own file (:attr:`mcxlib.detectors.base.Detector.presets`).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

_DEMO: dict[str, Any] = {
    # The drawn people: nobody needs a data set to see the method at work.
    "videos": "rendered",
    # Two cores, minutes instead of days: few pixels, and the few steps they allow. The middle two
    # thirds of a crop show the face larger than all of it scaled down would.
    "crop_size": 96,
    "input_size": 64,
    "epochs": 10,
    # The rendered videos are half a second long: frames spread over them differ more than the
    # first ones do.
    "frame_rule": "even",
    "frame_count": 8,
    # SGD at 0.01 does not leave the chance level in so few steps from random weights; AdamW with
    # a one-cycle schedule does.
    "optimizer": "adamw",
    "schedule": "one-cycle",
    "lr": 3e-3,
    "weight_decay": 0.05,
    # Freezing a backbone of random weights would spend the few steps on random features.
    "freeze_epochs": 0,
    # Running statistics with the usual momentum lag behind the weights in so short a run.
    "batchnorm_momentum": 0.2,
}

PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "paper": {},
        "demo": _DEMO,
        # For the tests: the demo on fewer people and fewer steps. Its numbers mean nothing.
        "test": _DEMO | {"crop_size": 72, "input_size": 64, "epochs": 16, "frame_count": 5},
    }
)

"""A small part of the laboratory with a network in place of the floor.

The demonstration's small Xception, trained anew for a few traces, each seen in three sets of colour
spaces. That is a training a cell, so it goes with ``make full`` alone, and says something about
these traces at one strength and no more.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mcxlib.evaluate.metrics import auc
from mcxlib.files import write_json
from mcxlib.pipeline.common import alone, read_if_there
from mcxlib.settings import paths, recipe
from mcxlib.synthetic.traces import SIDE, TRACES, Face, alter, faces

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 1
NAMES = ("chroma-blur", "noise", "sharpening")
COLORSPACES = ("rgb", "ycbcr", "rgb+ycbcr")
LEVEL = 3
"""The middle one: the strongest are seen by everybody."""
TRAIN, TEST = 48, 32
STEPS = 80
_FACES = 12  # a step, each untouched and altered
_SIZE = 64  # px; the part of a crop that is seen
_CODE = ("mcxlib.synthetic.traces", "mcxlib.detectors.xception", "mcxlib.detectors.backbones")


def store(preset: str) -> Path:
    """The file with all results."""
    return paths.results(preset) / "traces" / "networks.json"


def _made_from() -> str:
    code = recipe.trigger("mcxlib.experiments.trace_nets", *_CODE)
    return json.dumps([FORMAT, code])


def _kept(path: Path) -> dict[str, dict[str, Any]]:
    stored = read_if_there(path) or {}
    return stored["parts"] if stored.get("made_from") == _made_from() else {}


def make(preset: str, seed: int = 0, told: Callable[[str], None] = print) -> pd.DataFrame:
    """Train what is missing, one network after the other; returns :func:`results`."""
    path = store(preset)
    with alone(path, "networks of the traces"):
        kept = _kept(path)
        for name in NAMES:
            for spec in COLORSPACES:
                key = f"{name}, {spec}, seed {seed}"
                if key not in kept:
                    found = trained(name, spec, seed)
                    kept[key] = {"trace": name, "colorspace": spec, "seed": seed, "auc": found}
                    write_json(path, {"format": FORMAT, "made_from": _made_from(), "parts": kept})
                    told(f"network, {key}: AUC {found:.3f}")
    return results(preset)


def results(preset: str) -> pd.DataFrame:
    """One row a trace, set and seed with its AUC; empty where nothing was measured."""
    kept = _kept(store(preset)).values()
    order = [(name, spec) for name in NAMES for spec in COLORSPACES]
    rows = sorted(kept, key=lambda row: order.index((row["trace"], row["colorspace"])))
    return pd.DataFrame(rows, columns=["trace", "colorspace", "seed", "auc"])


def words(preset: str) -> str:
    """What came out, in a sentence."""
    table = results(preset)
    if table.empty:
        return "The small network was not trained here; make full does that."
    parts = []
    for name, rows in table.groupby("trace", sort=False):
        by = rows.groupby("colorspace", sort=False)["auc"].mean()
        numbers = ", ".join(f"{spec} {value:.3f}" for spec, value in by.items())
        parts.append(f"{name} at {TRACES[str(name)].strengths[LEVEL - 1]:g}: {numbers}")
    seeds = table["seed"].nunique()
    return (
        f"The small network, {STEPS} steps, {seeds} seed{'s' if seeds > 1 else ''}, AUC on "
        f"{TEST} people: {'; '.join(parts)}."
    )


@lru_cache(maxsize=1)
def _people(seed: int) -> list[Face]:
    return faces(seed, range(TRAIN + TEST), 2)


def _both(found: list[Face], name: str, seed: int) -> Tensor:
    """Untouched and altered crops: (2, N, 3, S, S) float32 in [0, 1]."""
    import torch

    trace = TRACES[name]
    rng = np.random.default_rng([seed, 11])
    after = [alter(face, trace, trace.strengths[LEVEL - 1], rng) for face in found]
    both = np.stack([[face.image for face in found], after]).transpose(0, 1, 4, 2, 3)
    return torch.from_numpy(np.ascontiguousarray(both)).float() / 255


def trained(name: str, spec: str, seed: int, steps: int = STEPS) -> float:
    """AUC of a network trained for one trace in one set of colour spaces, on other people."""
    import torch

    from mcxlib import detectors
    from mcxlib.detectors.backbones import MINI
    from mcxlib.explain.features import evaluating

    both = _both(_people(seed), name, seed)
    first, last = both[:, : 2 * TRAIN], both[:, 2 * TRAIN :]
    torch.manual_seed(seed)
    model = detectors.build("xception", ("real", "fake"), colorspace=spec, backbone=MINI).train()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 0.2  # statistics of so short a run lag behind otherwise
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    rng = np.random.default_rng([seed, 12])
    labels = torch.arange(2).repeat_interleave(_FACES)
    for _ in range(steps):
        chosen = torch.from_numpy(rng.choice(first.shape[1], _FACES, replace=False))
        top, left = rng.integers(SIDE - _SIZE + 1, size=2)
        images = first[:, chosen, :, top : top + _SIZE, left : left + _SIZE].flatten(0, 1)
        images = images.flip(-1) if rng.random() < 0.5 else images
        loss = model.losses(images.contiguous(), labels)["total"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    room = (SIDE - _SIZE) // 2
    shown = last[..., room : room + _SIZE, room : room + _SIZE].flatten(0, 1).contiguous()
    with evaluating(model), torch.no_grad():
        scores = np.concatenate([model.fake_score(model(x)).numpy() for x in shown.split(64)])
    return auc(np.arange(len(scores)) >= len(scores) // 2, scores)

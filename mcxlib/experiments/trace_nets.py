"""The laboratory with a network in place of the floor.

The demonstration's small Xception, trained anew for each trace and each set of colour spaces: on
all five strengths together, and tested at each of them (the floor has a classifier for each
strength; a training is too long for that). It goes with ``make full`` alone. Left out is flicker,
which lies between two frames: this network sees one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mcxlib.evaluate.metrics import auc
from mcxlib.experiments.each import each
from mcxlib.experiments.findings import MARGIN
from mcxlib.files import write_json
from mcxlib.method import colorspace
from mcxlib.pipeline.common import alone, read_if_there
from mcxlib.settings import paths, recipe
from mcxlib.settings.matrix import COLORSPACES
from mcxlib.synthetic.traces import SIDE, TRACES, Face, alter, faces

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 3
"""2: a part is a trace and a seed, with all sets. 3: at every strength."""

NAMES = tuple(name for name, trace in TRACES.items() if not trace.pairs)
SEEDS = (0, 1, 2)
LEVELS = (1, 2, 3, 4, 5)
TRAIN, TEST = 48, 32
STEPS = 70
_FACES = 12  # a step, each untouched and altered, at a strength drawn for each
_SIZE = 64  # px; the part of a crop that is seen
_CODE = ("mcxlib.synthetic.traces", "mcxlib.detectors.xception", "mcxlib.detectors.backbones")


def store(preset: str) -> Path:
    """The file with all results."""
    return paths.results(preset) / "traces" / "networks.json"


def made_from() -> str:
    """What decides the numbers: a digest of the code that draws and trains."""
    code = recipe.trigger("mcxlib.experiments.trace_nets", *_CODE)
    return json.dumps([FORMAT, code])


def _kept(path: Path) -> dict[str, list[dict[str, Any]]]:
    stored = read_if_there(path) or {}
    return stored["parts"] if stored.get("made_from") == made_from() else {}


def make(
    preset: str,
    seeds: Sequence[int] = SEEDS,
    workers: int = 1,
    told: Callable[[str], None] = print,
) -> pd.DataFrame:
    """Train what is missing; returns :func:`results`.

    The file is written whole after each trace and seed, so that a stopped run goes on there.
    """
    path, current = store(preset), made_from()  # of the code as it is loaded, not as it ends
    with alone(path, "networks of the traces"):
        kept = _kept(path)
        todo = [(name, seed) for seed in seeds for name in NAMES if _key(name, seed) not in kept]
        for (name, seed), found in each(of_trace, todo, workers):
            kept[_key(name, seed)] = found
            write_json(path, {"format": FORMAT, "made_from": current, "parts": kept})
            told(f"networks, seed {seed}: {name}")
    return results(preset)


def _key(name: str, seed: int) -> str:
    return f"{name}, seed {seed}"


def of_trace(name: str, seed: int) -> list[dict[str, Any]]:
    """One trace and seed: a row a set of colour spaces and a strength."""
    about = {"trace": name, "seed": seed}
    return [
        about
        | {"colorspace": spec, "level": level, "strength": TRACES[name].strengths[level - 1]}
        | {"auc": found}
        for spec in COLORSPACES
        for level, found in zip(LEVELS, trained(name, spec, seed), strict=True)
    ]


def results(preset: str) -> pd.DataFrame:
    """One row a trace, seed, set and strength with its AUC; empty where nothing was measured."""
    rows = [row for part in _kept(store(preset)).values() for row in part]
    columns = ["trace", "seed", "colorspace", "level", "strength", "auc"]
    table = pd.DataFrame(rows, columns=columns)
    place = table["trace"].map({name: place for place, name in enumerate(NAMES)})
    order = table.assign(place=place).sort_values(["place", "seed"], kind="stable").index
    return table.loc[order].reset_index(drop=True)


def heat(table: pd.DataFrame) -> pd.DataFrame:
    """Mean AUC over seeds and strengths: a row a trace, a column a set."""
    found = table.pivot_table("auc", "trace", "colorspace", sort=False)
    return found[list(COLORSPACES)]


def words(preset: str, floor: pd.DataFrame) -> str:
    """What came out beside the floor, in a sentence.

    Args:
        preset: whose results.
        floor: of :func:`mcxlib.experiments.findings.heat`.
    """
    table = results(preset)
    if table.empty:
        return "The small network was not trained here; `make full` does that."
    found, seeds = heat(table), table["seed"].nunique()
    single = [spec for spec in COLORSPACES if "+" not in spec]
    stacks = [spec for spec in COLORSPACES if "+" in spec]
    means = ", ".join(f"{colorspace.label(s)} {found[s].mean():.3f}" for s in COLORSPACES)
    same = int(
        (found[single].idxmax(axis=1) == floor.loc[found.index, single].idxmax(axis=1)).sum()
    )
    gain = found[single].drop(columns="rgb").max(axis=1) - found["rgb"]
    most = gain.idxmax()
    best = found.loc[most, single].idxmax()
    parts = {spec: found[spec] - found[spec.split("+")].max(axis=1) for spec in stacks}
    above = pd.DataFrame(parts).max(axis=1)
    return (
        f"The small network, {STEPS} steps, {seeds} seed{'s' if seeds > 1 else ''}, AUC on {TEST} "
        f"people, mean over {len(found)} traces and {len(LEVELS)} strengths: {means}. Its best "
        f"single space is the floor's for {same} of {len(found)} traces; the largest lead over RGB "
        f"is {colorspace.label(str(best))}'s for {most} ({found.loc[most, best]:.3f}, RGB "
        f"{found.loc[most, 'rgb']:.3f}). A stack is above the best of its parts by more than "
        f"{MARGIN} for {int((above > MARGIN).sum())} of {len(found)} traces."
    )


@lru_cache(maxsize=1)
def _people(seed: int) -> list[Face]:
    return faces(seed, range(TRAIN + TEST), 2)


@lru_cache(maxsize=1)
def _crops(name: str, seed: int) -> Tensor:
    return _both(_people(seed), name, seed)


def _both(found: list[Face], name: str, seed: int) -> Tensor:
    """Untouched crops, and altered ones at each strength: (1 + 5, N, 3, S, S) float32 in [0, 1]."""
    import torch

    trace = TRACES[name]
    rng = np.random.default_rng([seed, 11])
    after = [
        [alter(face, trace, trace.strengths[level - 1], rng) for face in found] for level in LEVELS
    ]
    both = np.stack([[face.image for face in found], *after]).transpose(0, 1, 4, 2, 3)
    return torch.from_numpy(np.ascontiguousarray(both)).float() / 255


def trained(name: str, spec: str, seed: int, steps: int = STEPS) -> list[float]:
    """AUC, at each strength, of a network trained for one trace in one set of colour spaces, on
    other people."""
    import torch

    from mcxlib import detectors
    from mcxlib.detectors.backbones import MINI
    from mcxlib.explain.features import evaluating

    both = _crops(name, seed)
    first, last = both[:, : 2 * TRAIN], both[:, 2 * TRAIN :]
    torch.manual_seed(seed)
    model = detectors.build("xception", ("real", "fake"), colorspace=spec, backbone=MINI).train()
    model.to(memory_format=torch.channels_last)
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
        part = first[:, :, :, top : top + _SIZE, left : left + _SIZE]
        drawn = torch.from_numpy(rng.integers(1, 1 + len(LEVELS), size=_FACES))
        images = torch.cat([part[0, chosen], part[drawn, chosen]])
        images = images.flip(-1) if rng.random() < 0.5 else images
        images = images.contiguous(memory_format=torch.channels_last)
        loss = model.losses(images, labels)["total"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    room = (SIDE - _SIZE) // 2
    shown = last[..., room : room + _SIZE, room : room + _SIZE].flatten(0, 1)
    shown = shown.contiguous(memory_format=torch.channels_last)
    with evaluating(model), torch.no_grad():
        scores = np.concatenate([model.fake_score(model(x)).numpy() for x in shown.split(64)])
    untouched, *altered = scores.reshape(1 + len(LEVELS), -1)
    is_altered = np.arange(2 * len(untouched)) >= len(untouched)
    return [auc(is_altered, np.concatenate([untouched, one])) for one in altered]

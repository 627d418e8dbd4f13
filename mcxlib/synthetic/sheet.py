"""A picture of what the synthetic videos look like."""

from __future__ import annotations

import numpy as np

from .clip import plan_clip, render_frame
from .manipulate import MANIPULATIONS
from .plan import RECIPES, STYLES, plan
from .spec import DemoSpec


def contact_sheet(
    people: int = 6, spec: DemoSpec | None = None, dataset: str = "FaceForensics++", first: int = 0
) -> np.ndarray:
    """One row a person: the real frame, then DF, F2F, FS and NT; uint8 RGB.

    Shape (people * height, 5 * width, 3). Made from the same seeds as the videos; ``dataset``
    chooses the camera, the recipe and the people, ``first`` the first person.

    Raises:
        ValueError: unknown data set, or not that many people in it.
    """
    spec = spec or DemoSpec()
    if dataset not in STYLES:
        raise ValueError(f"unknown data set {dataset!r}; valid: {', '.join(STYLES)}")
    seen: dict[tuple[int, ...], tuple[int, ...]] = {}
    for job in plan(spec)[0]:
        if job.style == dataset:
            seen.setdefault(job.person, job.clip)
    chosen = list(seen.items())
    if not 0 < first + people <= len(chosen):
        raise ValueError(
            f"{dataset} has {len(chosen)} people; asked for {first} to {first + people}"
        )
    size = (spec.frames, spec.width, spec.height)
    rows = []
    for k in range(first, first + people):
        target = plan_clip(*chosen[k], *size, STYLES[dataset])
        donor = plan_clip(*chosen[(k + 1) % len(chosen)], *size, STYLES[dataset])
        frames = [render_frame(target, i) for i in range(spec.frames)]
        rng = np.random.default_rng([spec.seed, k])
        show = (7 * k + 3) % spec.frames
        row = [frames[show]]
        row += [
            f(target, frames, donor, RECIPES[dataset], rng)[show] for f in MANIPULATIONS.values()
        ]
        rows.append(np.hstack(row))
    return np.vstack(rows)

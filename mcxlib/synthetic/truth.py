"""Where a rendered fake was altered, drawn again from its seeds: no file is needed."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from .clip import plan_clip
from .manipulate import Canonical, blend
from .plan import RECIPES, STYLES, plan
from .spec import DemoSpec


def altered_frames(path: str, frames: Iterable[int], spec: DemoSpec | None = None) -> np.ndarray:
    """The altered pixels of some frames of one fake: bool (len(frames), height, width).

    Args:
        path: of the video below the folder of all data sets, as :mod:`.plan` names it.
        frames: indices into the video.
        spec: with which the videos were made.

    Raises:
        ValueError: no fake of that name is made with this spec.
    """
    spec = spec or DemoSpec()
    found = [
        (job, output)
        for job in plan(spec)[0]
        for output in job.outputs
        if output.path == path and output.manipulation != "real"
    ]
    if not found:
        raise ValueError(f"no rendered fake is called {path}")
    job, output = found[0]
    target = plan_clip(
        job.person, job.clip, spec.frames, spec.width, spec.height, STYLES[job.style]
    )
    tools = Canonical(target)
    mask = blend(output.manipulation, tools, RECIPES[job.style])
    return np.stack([tools.altered(index, mask) for index in frames])

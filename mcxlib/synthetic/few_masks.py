"""The masks of a few rendered fakes, anywhere: all of them take as long as a data set."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from .build import _run_masks
from .plan import plan
from .spec import DemoSpec


def make_masks_of(paths: Collection[str], root: Path, spec: DemoSpec) -> dict[str, Path]:
    """Write the videos of where these fakes are altered below ``root``: path of a fake -> its mask.

    ``paths`` are below the tree, as "FaceForensics++/manipulated_sequences/..."; those that the
    tree does not hold, or that have no mask, are left out.
    """
    made: dict[str, Path] = {}
    for job in plan(spec)[0]:
        wanted = tuple(o for o in job.outputs if o.path in paths and o.mask)
        if wanted:
            _run_masks(replace(job, outputs=wanted), root, spec)
            made |= {o.path: root / o.mask for o in wanted}
    return made

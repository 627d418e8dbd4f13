"""The paper's claims one by one: what its tables say to each, and what was measured here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcxlib.claims.material import Material
from mcxlib.claims.page import collect, laid_out, summary, write

if TYPE_CHECKING:
    from mcxlib.config import RunConfig


def material(config: RunConfig) -> Material:
    """What stored scores have to say, of the preset and videos of ``config``.

    Raises:
        ValueError: as :func:`mcxlib.tables.closed_set`.
    """
    from mcxlib import tables
    from mcxlib.experiments import ablation
    from mcxlib.pipeline.data import home_of
    from mcxlib.settings import matrix, paths

    folder = paths.runs(home_of(config))
    usual = matrix.ABLATION_SEEDS[config.preset]
    seeds = ablation.finished(config.preset, usual, videos=config.data.videos)
    return Material(config, tables.closed_set(folder), tables.cross_dataset(folder), seeds)


__all__ = ["Material", "collect", "laid_out", "material", "summary", "write"]

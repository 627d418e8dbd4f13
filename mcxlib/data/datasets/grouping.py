"""A split for training on any data: no person, source video or copy in two parts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from mcxlib.data.datasets.rules import SPLITS

SHARES = (0.70, 0.15, 0.15)
"""Of train, val and test, for real and for fake videos alike."""


def _ties(manifest: pd.DataFrame) -> Iterator[pd.Series]:
    """Columns in which rows with the same text belong together; "" ties nothing."""
    for column in ("target_id", "donor_id"):
        yield ("person " + manifest[column]).where(manifest[column] != "", "")
    # A fake and the video it was made from: the source of one is the name of the other.
    yield "video " + manifest["video_id"]
    for column, word in (("source", "video "), ("content", "content ")):
        if column in manifest:
            yield (word + manifest[column]).where(manifest[column] != "", "")


def groups(manifest: pd.DataFrame) -> np.ndarray:
    """A number for each row: equal for rows that a chain of shared people (target or donor),
    source videos or equal contents connects."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ties = pd.concat(list(_ties(manifest.reset_index(drop=True))))
    ties = ties[ties != ""]
    keys = pd.factorize(ties)[0] + len(manifest)
    size = len(manifest) + (int(keys.max()) + 1 - len(manifest) if len(keys) else 0)
    graph = coo_array((np.ones(len(keys)), (ties.index.to_numpy(), keys)), shape=(size, size))
    return connected_components(graph, directed=False)[1][: len(manifest)]


def grouped(manifest: pd.DataFrame, seed: int, root: Path) -> pd.Series:
    """About 70/15/15 by chance, by whole groups, with both classes in each part.

    The seed and the videos' names decide, not the order of rows.

    Raises:
        ValueError: the groups are too few, or too mixed up, for both classes in each part.
    """
    by_name = manifest.sort_values("video_id")
    number = groups(by_name)
    fake = by_name["is_fake"].to_numpy(dtype=bool)
    counts = np.zeros((number.max() + 1, 2), dtype=int)
    np.add.at(counts, (number, fake.astype(int)), 1)
    _refuse_if_impossible(manifest, counts)

    by_chance = np.random.default_rng(seed).permutation(len(counts))
    order = by_chance[np.argsort(-counts[by_chance].sum(1), kind="stable")]
    part = _fill(counts, order, np.full(len(counts), -1))
    if any((counts[part == p].sum(0) == 0).any() for p in range(3)):
        part = _fill(counts, order, _first_of_each(counts, order))
    chosen = pd.Series(np.array(SPLITS, dtype=object)[part[number]], by_name.index)
    return chosen.reindex(manifest.index)


def _fill(counts: np.ndarray, order: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Put each group of ``order`` that has no part yet where most of its classes is wanting."""
    part = part.copy()
    total = np.maximum(counts.sum(0), 1)
    have = np.stack([counts[part == p].sum(0) for p in range(3)]) / total
    for group in order[part[order] < 0]:
        weight = counts[group] / total
        want = ((np.array(SHARES)[:, None] - have) * weight).sum(1)
        part[group] = int(want.argmax())
        have[part[group]] += weight
    return part


def _first_of_each(counts: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Both classes for each part, with as few videos as can be for test and val; else -1."""
    part = np.full(len(counts), -1)
    small_first = order[::-1]
    real, fake = (counts > 0).T
    both, only_real, only_fake = (
        [g for g in small_first if mask[g]] for mask in (real & fake, real & ~fake, fake & ~real)
    )
    for p in (2, 1, 0):
        # A mixed group serves both; two of one class each are smaller, but may run out.
        takes = [both] if both else [only_real, only_fake]
        for groups_left in takes:
            part[groups_left.pop(0)] = p
    return part


def _refuse_if_impossible(manifest: pd.DataFrame, counts: np.ndarray) -> None:
    real, fake = (counts > 0).T
    both = int((real & fake).sum())
    only = {"real": int((real & ~fake).sum()), "fake": int((fake & ~real).sum())}
    if all(both + alone >= len(SPLITS) for alone in only.values()):
        return
    raise ValueError(
        f"{manifest['dataset'].iloc[0]} cannot be split to train on: its {len(manifest)} videos "
        f"form {len(counts)} groups that share people, sources or contents ({only['real']} with "
        f"real videos only, {only['fake']} with fake ones only, {both} with both), too few for "
        "real and fake videos in each of train, val and test; add videos, or bring a list (--list)"
    )

"""A split for training on any data: no person, source video or copy in two parts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from mcxlib.data.datasets.rules import SPLITS

SHARES = (0.70, 0.15, 0.15)
"""Of train, val and test, for real and for fake videos alike."""

_LEAST = 2  # videos of a class in a part, if there are so many: fewer give no interval


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


def anchors(manifest: pd.DataFrame, number: np.ndarray) -> list[str]:
    """A name for each group of :func:`groups` that stays when videos are added to it.

    The first person of the group, else the first source video, else the first content: an added
    fake of the same person, source or bytes changes none of them. Else the one video's name.
    """
    table = manifest.assign(group=number)
    of_people = pd.concat([table["target_id"], table["donor_id"]])
    both = pd.concat([table["group"]] * 2)
    columns = [("person ", of_people, both)]
    columns += [
        (f"{name} ", table[name], table["group"])
        for name in ("source", "content", "video_id")
        if name in table
    ]
    names: dict[int, str] = {}
    for word, column, group in columns:
        firsts = column[column != ""].groupby(group[column != ""]).min()
        for key, first in firsts.items():
            names.setdefault(int(key), word + first)
    return [names[group] for group in range(number.max() + 1)]


def _draws(names: list[str], seed: int) -> np.ndarray:
    """A number in [0, 1) for each name, by its SHA-256: no other name has a say in it."""
    digests = (hashlib.sha256(f"{seed} {name}".encode()).digest() for name in names)
    return np.array([int.from_bytes(d[:7], "big") / 256**7 for d in digests])


def grouped(manifest: pd.DataFrame, seed: int, root: Path) -> pd.Series:
    """About 70/15/15 by chance, by whole groups, with both classes in each part.

    The seed and a group's name (:func:`anchors`) decide, neither the order of rows nor any other
    video: what is added later moves nothing that is there, unless it ties two groups together. Two
    exceptions: a group with more than 15 % of a class's videos is trained on, and where a part
    would have less than half its share of a class, or one video, small groups that another can
    spare go there.

    Raises:
        ValueError: the groups are too few, or too mixed up, for both classes in each part.
    """
    return _assigned(manifest, seed, SHARES)


def _assigned(manifest: pd.DataFrame, seed: int, shares: tuple[float, float, float]) -> pd.Series:
    """:func:`grouped` with other shares; a part with a share of 0 stays empty."""
    by_name = manifest.sort_values("video_id")
    number = groups(by_name)
    fake = by_name["is_fake"].to_numpy(dtype=bool)
    counts = np.zeros((number.max() + 1, 2), dtype=int)
    np.add.at(counts, (number, fake.astype(int)), 1)
    parts = [p for p in range(3) if shares[p]]
    _refuse_if_impossible(manifest, counts, len(parts))

    drawn = _draws(anchors(by_name, number), seed)
    part = np.searchsorted(np.cumsum(shares)[:-1], drawn, side="right")
    large = (counts > min(shares[p] for p in parts) * counts.sum(0)).any(1)
    part[large] = 0
    order = np.lexsort((drawn, counts.sum(1)))  # small groups first, by chance among equals
    if not _represented(counts, part, shares, order):
        reserved = _first_of_each(counts, order, parts)
        part = np.where(reserved >= 0, reserved, part)
    chosen = pd.Series(np.array(SPLITS, dtype=object)[part[number]], by_name.index)
    return chosen.reindex(manifest.index)


def _represented(
    counts: np.ndarray,
    part: np.ndarray,
    shares: tuple[float, float, float],
    order: np.ndarray,
) -> bool:
    """Move groups into parts that have less than half their share of a class (or too few videos
    for an interval); changes ``part``.

    Only from where both classes keep as much. Returns whether each part has both classes.
    """
    parts = [p for p in range(3) if shares[p]]
    have = np.stack([counts[part == p].sum(0) for p in range(3)])
    need = np.maximum(np.outer(shares, counts.sum(0)) / 2, _LEAST)
    for wanting in reversed(parts):
        for kind in (0, 1):
            for group in order[counts[order, kind] > 0]:
                giving = part[group]
                if have[wanting, kind] >= need[wanting, kind]:
                    break
                left = have[giving] - counts[group]
                if giving != wanting and ((left >= need[giving]) | (counts[group] == 0)).all():
                    have[giving] -= counts[group]
                    have[wanting] += counts[group]
                    part[group] = wanting
    return bool((have[parts] > 0).all())


def completed(manifest: pd.DataFrame, split: pd.Series, seed: int) -> pd.Series:
    """A published split with the parts it lacks.

    Without a validation part, some 18 % of its training videos are drawn for it, by whole groups.
    Without a test part, the validation part is the test part, and another is drawn. Where there
    is neither training nor test part, everything is drawn (:func:`grouped`).
    """
    out = split.astype(object).copy()
    there = set(out) - {""}
    if "test" not in there and "val" in there:
        out = out.replace("val", "test")
        there = set(out) - {""}
    if not {"train", "test"} <= there:
        return grouped(manifest, seed, Path())
    if "val" not in there:
        training = manifest[out == "train"]
        train, val, _ = SHARES
        whole = train + val
        out[training.index] = _assigned(training, seed, (train / whole, val / whole, 0))
    return out


def _first_of_each(counts: np.ndarray, order: np.ndarray, parts: list[int]) -> np.ndarray:
    """Both classes for each part, with as few videos as can be for test and val; else -1.

    ``order``: the groups, small ones first.
    """
    part = np.full(len(counts), -1)
    real, fake = (counts > 0).T
    both, only_real, only_fake = (
        [g for g in order if mask[g]] for mask in (real & fake, real & ~fake, fake & ~real)
    )
    for p in reversed(parts):
        # A mixed group serves both; two of one class each are smaller, but may run out.
        takes = [both] if both else [only_real, only_fake]
        for groups_left in takes:
            part[groups_left.pop(0)] = p
    return part


def _refuse_if_impossible(manifest: pd.DataFrame, counts: np.ndarray, parts: int) -> None:
    real, fake = (counts > 0).T
    both = int((real & fake).sum())
    only = {"real": int((real & ~fake).sum()), "fake": int((fake & ~real).sum())}
    if all(both + alone >= parts for alone in only.values()):
        return
    each = "train, val and test" if parts == 3 else "train and val"
    raise ValueError(
        f"{manifest['dataset'].iloc[0]} cannot be split to train on: its {len(manifest)} videos "
        f"form {len(counts)} groups that share people, sources or contents ({only['real']} with "
        f"real videos only, {only['fake']} with fake ones only, {both} with both), too few for "
        f"real and fake videos in each of {each}; add videos, or bring a list (--list)"
    )

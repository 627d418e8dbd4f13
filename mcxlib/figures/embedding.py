"""Features in the plane, with the faces: overlaps and outliers by rule, a map to ask."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from mcxlib import pipeline
from mcxlib.figures import samples
from mcxlib.figures.style import Plate, looks, mark, new_figure, of, style
from mcxlib.figures.vector import tile, webp
from mcxlib.pipeline.data import name_of

if TYPE_CHECKING:
    from mcxlib.config import RunConfig

NEAR = 10
"""Neighbours that are looked at, as :func:`mcxlib.explain.neighbour_agreement` does."""
SHOWN = 240
"""Faces that the map to ask holds at most: every so many-th frame."""
MAPPED = 400
"""Frames in the small maps at most."""
MOST = 8
"""Classes that overlaps are shown of at most."""
_THUMB = 56
_SCRIPT = Path(__file__).with_name("embedding.js")


class Embedded(NamedTuple):
    """A run's stored features with what they are of."""

    features: np.ndarray
    """(N, D)."""
    labels: np.ndarray
    """(N,) class names."""
    rows: pd.DataFrame
    """The N crops."""


def stored(run: RunConfig) -> Embedded:
    """The features that were stored when ``run`` was scored, with the rows of their crops.

    Raises:
        ValueError: as :func:`mcxlib.pipeline.ensure_features`, or crops that are others now.
    """
    features, labels = pipeline.ensure_features(run, run.data.train_on)
    path = pipeline.run_folder(run).features(name_of(run.data.train_on))
    table = pd.read_parquet(path).drop(columns="features")
    keys = [name for name in ("video_id", "frame_index", "face") if name in table]
    crops = samples.test_rows(run)
    rows = table[keys].merge(crops, on=[k for k in keys if k in crops], how="left")
    if len(rows) != len(table) or rows["file"].isna().any():
        raise ValueError(
            f"the features of {run.run_id} are of other crops than those that lie here; score the "
            "run again"
        )
    return Embedded(features, labels, rows)


def _neighbours(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances and places of each point's nearest others, (N, NEAR) each."""
    from sklearn.neighbors import NearestNeighbors

    near = min(NEAR, len(features) - 1)
    return NearestNeighbors(n_neighbors=near).fit(features).kneighbors()


def overlaps(features: np.ndarray, labels: np.ndarray) -> pd.DataFrame:
    """Of each class: of which class its frames' neighbours are.

    Returns:
        class, own (share of neighbours that are of it), "mixed with" (the class that most of the
        others are of) and next (its share).
    """
    around = np.asarray(labels)[_neighbours(features)[1]]
    rows = []
    for name in looks(np.unique(labels)):
        found = pd.Series(around[labels == name].ravel()).value_counts(normalize=True)
        others = found.drop(index=name, errors="ignore").sort_values(ascending=False, kind="stable")
        rows.append(
            {"class": name, "own": float(found.get(name, 0.0))}
            | {"mixed with": others.index[0] if len(others) else ""}
            | {"next": float(others.iloc[0]) if len(others) else 0.0}
        )
    return pd.DataFrame(rows)


class Chosen(NamedTuple):
    """Places of frames that a rule picked."""

    mixed: list[int]
    """One of each class, :data:`MOST` at most: fewest neighbours of its own, the nearest first."""
    partners: list[int]
    """The nearest frame of another class of each."""
    outliers: list[int]
    """Farthest on average from their neighbours, one a video."""


def choose(features: np.ndarray, labels: np.ndarray, videos: Sequence[str]) -> Chosen:
    """The frames to show: overlaps and outliers among the *features*, not in the map."""
    distances, places = _neighbours(features)
    labels = np.asarray(labels)
    own = (labels[places] == labels[:, None]).mean(1)
    mixed, partners = [], []
    for name in list(looks(np.unique(labels)))[:MOST]:
        inside = np.flatnonzero(labels == name)
        apart = np.linalg.norm(features[inside, None] - features[None, labels != name], axis=2)
        nearest = apart.min(1)
        first = inside[np.lexsort((nearest, own[inside]))[0]]
        mixed.append(int(first))
        others = np.flatnonzero(labels != name)
        partners.append(int(others[apart[list(inside).index(first)].argmin()]))
    far = pd.DataFrame({"far": distances.mean(1), "video": list(videos)})
    far = far.sort_values("far", ascending=False, kind="stable").drop_duplicates("video")
    return Chosen(mixed, partners, far.index[: len(mixed)].tolist())


def close_ups(
    points: np.ndarray, labels: np.ndarray, faces: np.ndarray, chosen: Chosen, source: str = ""
) -> Plate:
    """The map with what was chosen numbered, an overlap enlarged, and the faces.

    Args:
        points: (N, 2) of the map.
        labels: (N,) class names.
        faces: (M, 3, H, W) in [0, 1]: of the mixed frames, their partners, the outliers.
        chosen: of :func:`choose`.
    """
    count = len(chosen.mixed)
    classes = looks(str(name) for name in np.unique(labels))
    with style():
        figure = new_figure(7.0, 7.4)
        parts: Any = figure.subfigures(2, 1, height_ratios=[3.4, 4])
        above, below = parts
        whole, part = above.subplots(1, 2)
        for axis in (whole, part):
            _scatter(axis, points, labels, classes, 14 if axis is whole else 40)
            axis.set(xticks=[], yticks=[])
        for number, place in enumerate([*chosen.mixed, *chosen.outliers]):
            text = f"{number + 1}" if number < count else "abcdefgh"[number - count]
            style_of = {"fontsize": 8, "fontweight": "bold", "ha": "center", "va": "center"}
            boxed = {"boxstyle": "circle,pad=0.15", "fc": "white", "ec": "#222222", "lw": 0.8}
            whole.text(*points[place], text, bbox=boxed, **style_of)
        first, partner = points[chosen.mixed[0]], points[chosen.partners[0]]
        reach = 0.12 * np.ptp(points, axis=0).max()
        low, high = np.minimum(first, partner) - reach, np.maximum(first, partner) + reach
        part.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
        ends = np.array([first, partner]).T
        part.plot(*ends, "o:", color="#222222", lw=1, ms=13, mfc="none")
        part.set_title("around overlap 1 and its nearest of another class")
        whole.indicate_inset((low[0], low[1], *(high - low)), edgecolor="#222222")
        whole.legend(loc="best", fontsize=7, frameon=True)
        axes = below.subplots(3, count)
        titles = [
            *(f"{i + 1}: {labels[p]}" for i, p in enumerate(chosen.mixed)),
            *(f"nearest: {labels[p]}" for p in chosen.partners),
            *(f"{'abcdefgh'[i]}: {labels[p]}" for i, p in enumerate(chosen.outliers)),
        ]
        for axis, face, title in zip(axes.flat, faces, titles, strict=True):
            axis.imshow(tile(face), interpolation="none")
            axis.set_title(title, fontsize=8)
            axis.set(xticks=[], yticks=[])
        for axis, words in zip(axes[:, 0], ("overlaps", "beside them", "outliers"), strict=True):
            axis.set_ylabel(words)
        mark(figure, source)
    pairs = ", ".join(
        f"{labels[a]} beside {labels[b]}"
        for a, b in zip(chosen.mixed, chosen.partners, strict=True)
    )
    far = ", ".join(labels[p] for p in chosen.outliers)
    alt = (
        f"t-SNE map of {len(points)} frames with {count} overlaps ({pairs}) and {count} outliers "
        f"({far}) numbered, one overlap enlarged, and their faces{of(source)}."
    )
    return Plate(figure, alt)


def other_maps(
    features: np.ndarray, labels: np.ndarray, source: str = "", seeds: Sequence[int] = (0, 1, 2)
) -> Plate:
    """Small maps of the same features: three perplexities, and three random starts."""
    from mcxlib import explain

    step = -(-len(features) // MAPPED)
    features, labels = features[::step], np.asarray(labels)[::step]
    most = len(features) / 4
    maps: dict[str, np.ndarray] = {}
    for perplexity in (5.0, 30.0, 100.0):
        near = min(perplexity, most)
        maps[f"perplexity {near:.0f}"] = explain.tsne(features, perplexity=near)
    for seed in seeds:
        near = min(30.0, most)
        maps[f"random start {seed}"] = explain.tsne(features, seed, near, init="random")
    agreements = {
        name: explain.neighbour_agreement(points, labels).neighbours
        for name, points in maps.items()
    }
    classes = looks(str(name) for name in np.unique(labels))
    with style():
        figure = new_figure(7.0, 5.0)
        axes = figure.subplots(2, 3)
        for axis, (name, points) in zip(axes.flat, maps.items(), strict=False):
            _scatter(axis, points, labels, classes, 7)
            axis.set_title(name)
            axis.set_xlabel(f"same-class neighbours in the map {agreements[name]:.2f}", fontsize=7)
            axis.set(xticks=[], yticks=[])
        handles, names = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper center", ncols=min(6, len(classes)))
        mark(figure, source)
    said = "; ".join(f"{name} {value:.2f}" for name, value in agreements.items())
    alt = (
        f"Small t-SNE maps of the same {len(features)} frames{of(source)}; share of neighbours in "
        f"the map that are of the same class: {said}."
    )
    return Plate(figure, alt)


def _scatter(
    axis: Any, points: np.ndarray, labels: np.ndarray, classes: Mapping, size: int
) -> None:
    for name, look in classes.items():
        shown = points[np.asarray(labels) == name]
        axis.scatter(
            *shown.T, s=size, c=look.color, marker=look.marker, lw=0, alpha=0.75, label=name
        )


def shown(points: np.ndarray) -> np.ndarray:
    """Places of the frames whose faces a map holds: every so many-th of the (N, 2) points."""
    return np.arange(0, len(points), -(-len(points) // SHOWN))


def asked(
    points: np.ndarray,
    labels: np.ndarray,
    rows: pd.DataFrame,
    faces: np.ndarray,
    title: str,
    source: str = "",
) -> str:
    """A map that shows the face of the point it is asked about, as HTML that needs no other file.

    Args:
        points: (N, 2) of the map.
        labels, rows: class names and crops of the N frames.
        faces: (M, 3, H, W) in [0, 1] of the frames at :func:`shown`.
        title: whose map it is.
        source: the data, named under it.
    """
    kept = shown(points)
    thumbs = [_thumb(image) for image in faces]
    columns = min(20, len(thumbs))
    blank = np.zeros_like(thumbs[0])
    thumbs += [blank] * (-len(thumbs) % columns)
    sheet = np.concatenate(
        [np.concatenate(thumbs[i : i + columns], 1) for i in range(0, len(thumbs), columns)]
    )
    span = np.ptp(points, axis=0).max() or 1.0
    at = (points[kept] - points[kept].min(0)) / span
    classes = looks(str(name) for name in np.unique(labels))
    about = {
        "classes": {name: [look.color, look.marker] for name, look in classes.items()},
        "columns": columns,
        "points": [
            [round(float(x), 3), round(float(y), 3), str(labels[place]), _named(rows.iloc[place])]
            for (x, y), place in zip(at, kept, strict=True)
        ],
        "sheet": [sheet.shape[1] // _THUMB, sheet.shape[0] // _THUMB],
    }
    data = json.dumps(about, separators=(",", ":")).replace("<", "\\u003c")
    note = f"{len(kept)} of {len(points)} frames, {title}."
    note += f" Data: {source}" if source else ""
    return (
        "<div data-mcx-map><p data-still>Where scripts run, this is the map of the figure above, "
        "and shows the face of the frame that it is asked about.</p>"
        f'<div data-live hidden></div><p style="font-size:0.85em">{html.escape(note)}</p>'
        f"<template>{webp(sheet, 70)}</template>"
        f'<script type="application/json">{data}</script></div>'
        f"<script>{_SCRIPT.read_text(encoding='utf-8')}</script>"
    )


def _thumb(image: np.ndarray) -> np.ndarray:
    import cv2

    return cv2.resize(tile(image), (_THUMB, _THUMB), interpolation=cv2.INTER_AREA)


def _named(row: pd.Series) -> str:
    return f"{Path(str(row['video_id'])).name}, frame {int(row['frame_index'])}"

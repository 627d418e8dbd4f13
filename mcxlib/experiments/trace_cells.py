"""What is measured of one trace and one seed: the classifiers' AUC at each strength.

No storage here, so that the digest of this module and what it imports says when stored
measurements are out of date.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from mcxlib.evaluate.metrics import auc
from mcxlib.experiments import probe
from mcxlib.synthetic.traces import TRACES, Face, Trace, alter, faces, jpeg

LEARNT = "rgb, learnt 3x3"
"""RGB behind a conversion that is learnt with the classifier."""

CONTROL = "control"

COMPRESSED = 70
"""JPEG quality of the control's compressed crops."""

_DRAWS = 20  # of labels by lot


@dataclass(frozen=True)
class Grid:
    """How much of the laboratory is run."""

    name: str
    levels: tuple[int, ...]
    """Which of a trace's five strengths, 1 to 5."""
    seeds: tuple[int, ...]
    train: int
    """People to train on; each in two frames, untouched and altered."""
    test: int
    colorspaces: tuple[str, ...]


class Measured(NamedTuple):
    """What was measured of crops."""

    features: probe.Features
    moments: probe.Moments

    def part(self, rows: slice) -> Measured:
        """Some of the crops."""
        return Measured(
            probe.Features(*(values[rows] for values in self.features)),
            probe.Moments(*(values[rows] for values in self.moments)),
        )

    def beside(self, other: Measured) -> Measured:
        """These crops and then others."""
        return Measured(
            probe.Features(*map(np.concatenate, zip(self.features, other.features, strict=True))),
            probe.Moments(*map(np.concatenate, zip(self.moments, other.moments, strict=True))),
        )

    def features_of(self, pairs: bool) -> probe.Features:
        """Of each crop, or of each pair of consecutive ones."""
        return probe.apart(self.features) if pairs else self.features


@lru_cache(maxsize=1)
def _people(seed: int, people: int) -> tuple[list[Face], Measured, Measured]:
    """Faces of a seed, what was measured of them, and the same of them after JPEG."""
    found = faces(seed, range(people), 2)
    images = np.stack([face.image for face in found])
    small = np.stack([jpeg(image, COMPRESSED) for image in images])
    return found, Measured(*probe.measure(images)), Measured(*probe.measure(small))


def measured(name: str, seed: int, grid: Grid) -> list[dict[str, Any]]:
    """The rows of one trace, or of the control, and one seed."""
    if name == CONTROL:
        return list(_control(seed, grid))
    trace = TRACES[name]
    return [row for level in grid.levels for row in _rows(trace, seed, level, grid)]


def _rows(trace: Trace, seed: int, level: int, grid: Grid) -> Iterator[dict[str, Any]]:
    found, before, small = _people(seed, grid.train + grid.test)
    strength = trace.strengths[level - 1]
    rng = np.random.default_rng([seed, level, *map(ord, trace.name)])
    # Of a pair of frames the second is altered.
    of = [0 if trace.pairs and k % 2 == 0 else strength for k in range(len(found))]
    images = np.stack([alter(f, trace, s, rng) for f, s in zip(found, of, strict=True)])
    after = Measured(*probe.measure(images))
    cut = 2 * grid.train
    train = before.part(slice(cut)).beside(after.part(slice(cut)))
    test = before.part(slice(cut, None)).beside(after.part(slice(cut, None)))
    other = before.part(slice(cut, None)).beside(small.part(slice(cut, None)))
    about = {"trace": trace.name, "seed": seed, "level": level, "strength": strength}
    for spec, variant, score in _scorers(train, trace.pairs, grid.colorspaces):
        here, there = score(test), score(other)
        yield about | {
            "colorspace": spec,
            "variant": variant,
            "auc": auc(_halves(len(here)), here),
            "compressed_auc": auc(_halves(len(there)), there),
        }


def _halves(count: int) -> np.ndarray:
    """Labels of rows of which the first half is untouched."""
    return np.arange(count) >= count // 2


def _scorers(
    train: Measured, pairs: bool, colorspaces: tuple[str, ...]
) -> Iterator[tuple[str, str, Callable[[Measured], np.ndarray]]]:
    """(set, variant, a function that scores crops), trained on ``train``."""
    features = train.features_of(pairs)
    labels = _halves(len(features.means))
    for spec in colorspaces:
        channels = probe.channels_of(spec)
        for variant in ("own", "common"):
            fitted = probe.fit(features.of(channels), labels, own=variant == "own")
            yield spec, variant, _on_channels(fitted, channels, pairs)
    matrix = probe.learnt_matrix(train.moments, labels, pairs)
    model = probe.fit(probe.converted(train.moments, matrix, pairs), labels)
    yield LEARNT, "own", lambda crops: model(probe.converted(crops.moments, matrix, pairs))


def _on_channels(
    fitted: Callable[[probe.Features], np.ndarray], channels: list[int], pairs: bool
) -> Callable[[Measured], np.ndarray]:
    return lambda crops: fitted(crops.features_of(pairs).of(channels))


def _control(seed: int, grid: Grid) -> Iterator[dict[str, Any]]:
    """Untouched faces only. Compression as the label; and labels and compression by lot."""
    _, plain, small = _people(seed, grid.train + grid.test)
    cut, rng = 2 * grid.train, np.random.default_rng([seed, 7])
    count = len(plain.features.means)
    both = [plain.part(slice(cut)).beside(small.part(slice(cut)))]
    both.append(plain.part(slice(cut, None)).beside(small.part(slice(cut, None))))
    about = {"trace": CONTROL, "seed": seed, "level": 0, "strength": 100 - COMPRESSED}
    for spec in grid.colorspaces:
        channels = probe.channels_of(spec)
        train, test = (part.features.of(channels) for part in both)
        score = probe.fit(train, _halves(len(train.means)))(test)
        row = about | {"colorspace": spec, "compressed_auc": np.nan}
        yield row | {"variant": "label", "auc": auc(_halves(len(score)), score)}
        found = []
        for _ in range(_DRAWS):
            squeezed = rng.random(count) < 0.5
            label = rng.permutation(count) % 2 == 0
            mixed = _either(plain.features, small.features, squeezed).of(channels)
            first, last = (
                probe.Features(*(v[part] for v in mixed)) for part in (slice(cut), slice(cut, None))
            )
            found.append(auc(label[cut:], probe.fit(first, label[:cut])(last)))
        yield row | {"variant": "lot", "auc": float(np.mean(found))}


def _either(one: probe.Features, two: probe.Features, second: np.ndarray) -> probe.Features:
    """Rows of ``two`` where ``second`` says so, else of ``one``."""
    return probe.Features(
        *(
            np.where(second.reshape(-1, *[1] * (a.ndim - 1)), b, a)
            for a, b in zip(one, two, strict=True)
        )
    )

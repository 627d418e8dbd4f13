"""Scores -> BOSC, AUC, sensitivity, specificity, and a table by manipulation.

Everything takes ``is_fake`` (True for fake, the positive class) and ``fake_score`` (larger means
more likely fake), one value a frame or one a video. Results are fractions in [0, 1]; the paper
prints BOSC in percent.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from mcxlib import CLASSES
from mcxlib.evaluate.checks import labels_and_scores, same_length


def bosc(is_fake: ArrayLike, fake_score: ArrayLike, threshold: float = 0.5) -> float:
    """Balanced-open-set-classification accuracy: (sensitivity + specificity) / 2 (section 4.1).

    A score above the threshold is called fake and a score equal to it real, so at 0.5 the rule
    is p(real) < 0.5. (The most likely of the five classes being a fake is another rule.)

    Args:
        is_fake: (N,), bool or 0/1.
        fake_score: (N,).
        threshold: in the units of ``fake_score``.

    Returns:
        A fraction in [0, 1]; 0.5 is chance.

    Raises:
        ValueError: for unequal lengths, no scores, NaN scores, only one class, or labels other
            than 0 and 1.
    """
    fake, score = labels_and_scores(is_fake, fake_score)
    return (sensitivity(fake, score, threshold) + specificity(fake, score, threshold)) / 2


def sensitivity(is_fake: ArrayLike, fake_score: ArrayLike, threshold: float = 0.5) -> float:
    """Share of the fakes that score above the threshold; needs no real sample.

    Args and errors as in :func:`bosc`.
    """
    fake, score = labels_and_scores(is_fake, fake_score, ("fake",))
    return float((score[fake] > threshold).mean())


def specificity(is_fake: ArrayLike, fake_score: ArrayLike, threshold: float = 0.5) -> float:
    """Share of the real samples that score at or below the threshold; needs no fake one.

    Args and errors as in :func:`bosc`.
    """
    fake, score = labels_and_scores(is_fake, fake_score, ("real",))
    return float((score[~fake] <= threshold).mean())


def auc(is_fake: ArrayLike, fake_score: ArrayLike) -> float:
    """Area under the ROC curve: P(a fake scores above a real one), ties counting one half.

    By the ranks of the fakes among all samples, tied samples sharing the mean of their ranks
    (Mann and Whitney's U statistic); only the order of the scores matters, so that infinite ones
    are no exception. Args and errors as in :func:`bosc`.
    """
    fake, score = labels_and_scores(is_fake, fake_score)
    _, place, counts = np.unique(score, return_inverse=True, return_counts=True)
    mid_rank = np.cumsum(counts) - (counts - 1) / 2
    n_fake = int(fake.sum())
    wins = mid_rank[place[fake]].sum() - n_fake * (n_fake + 1) / 2
    return float(wins / (n_fake * (len(fake) - n_fake)))


def per_manipulation(
    is_fake: ArrayLike,
    fake_score: ArrayLike,
    manipulation: ArrayLike,
    threshold: float = 0.5,
) -> pd.DataFrame:
    """All real samples against the fakes of each manipulation, as in the paper's Table 1.

    Args:
        is_fake: (N,), bool or 0/1.
        fake_score: (N,).
        manipulation: (N,), ``"real"`` or a manipulation's name.
        threshold: of BOSC.

    Returns:
        Columns manipulation, n_real, n_fake, bosc, auc, sensitivity, specificity: one row a
        manipulation (FaceForensics++'s in the order of :data:`mcxlib.CLASSES`, others after them
        by name) and a last row "Average", the plain mean of the rows above, with all fakes
        counted.

    Raises:
        ValueError: as :func:`bosc`, or if a name contradicts ``is_fake``.
    """
    fake, score = labels_and_scores(is_fake, fake_score)
    names = np.asarray(manipulation, dtype=object)
    same_length(fake, names, "manipulation")
    contradictions = int(((names == "real") == fake).sum())
    if contradictions:
        raise ValueError(
            f"{contradictions} of {len(fake)} samples contradict themselves: manipulation must "
            "be 'real' exactly where is_fake is False"
        )
    known = {name: position for position, name in enumerate(CLASSES)}
    found = sorted(set(names[fake]), key=lambda name: (known.get(name, len(known)), str(name)))
    rows = []
    for name in found:
        chosen = ~fake | (names == name)
        rows.append(
            {
                "manipulation": name,
                "n_real": int((~fake).sum()),
                "n_fake": int((names == name).sum()),
                "bosc": bosc(fake[chosen], score[chosen], threshold),
                "auc": auc(fake[chosen], score[chosen]),
                "sensitivity": sensitivity(fake[chosen], score[chosen], threshold),
                "specificity": specificity(fake[chosen], score[chosen], threshold),
            }
        )
    table = pd.DataFrame(rows)
    average = {
        "manipulation": "Average",
        "n_real": int((~fake).sum()),
        "n_fake": int(fake.sum()),
    }
    average |= {m: table[m].mean() for m in ("bosc", "auc", "sensitivity", "specificity")}
    return pd.concat([table, pd.DataFrame([average])], ignore_index=True)

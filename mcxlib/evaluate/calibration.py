"""Scores -> probabilities, by one number fitted on validation videos."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mcxlib.evaluate.checks import labels_and_scores

CLOSEST = 1e-6
"""Scores nearer to 0 or 1 than this count as this near: their logit would be infinite."""

_BOUNDS = (1e-2, 1e3)


class Temperature(NamedTuple):
    """How far scores are drawn towards one half: p = sigmoid(logit(score) / temperature)."""

    temperature: float
    loss_before: float
    """Mean negative log-likelihood in nats, real and fake counting half each."""
    loss_after: float


def fit_temperature(is_fake: ArrayLike, fake_score: ArrayLike) -> Temperature:
    """The temperature with the highest likelihood (Guo et al., On calibration of modern neural
    networks, ICML 2017), real and fake samples counting half each.

    With those weights the probability is the one for real and fake being equally common, whatever
    the shares in the validation data. 0.5 stays 0.5.

    Args:
        is_fake: (N,), bool or 0/1.
        fake_score: (N,), probabilities of fake.

    Raises:
        ValueError: as every number of scores; scores outside [0, 1]; scores that 0.5 separates
            without an error, for which any sharper temperature is likelier still; scores that
            tell the classes no better than chance, for which a flatter one is.
    """
    fake, score = labels_and_scores(is_fake, fake_score)
    if score.min() < 0 or score.max() > 1:
        raise ValueError("scores outside [0, 1] are no probabilities")
    # Positive where the score is on its label's side of one half.
    margin = np.where(fake, 1, -1) * logit(score)
    weight = np.where(fake, 0.5 / fake.sum(), 0.5 / (~fake).sum())
    if margin.min() >= 0:
        raise ValueError(
            f"0.5 separates all {len(score)} scores without an error: they do not say how often "
            "such a score is wrong"
        )
    if weight @ margin <= 0:
        raise ValueError(f"the {len(score)} scores tell real from fake no better than chance")
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        return float(weight @ np.logaddexp(0, -margin / np.exp(log_temperature)))

    found = minimize_scalar(loss, bounds=np.log(_BOUNDS), method="bounded", options={"xatol": 1e-9})
    return Temperature(float(np.exp(found.x)), loss(0.0), float(found.fun))


def calibrated(fake_score: ArrayLike, temperature: float) -> NDArray[np.float64]:
    """Scores of any shape -> probabilities: sigmoid(logit(score) / temperature)."""
    return 1 / (1 + np.exp(-logit(np.asarray(fake_score, dtype=np.float64)) / temperature))


def logit(score: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of scores of any shape; those of 0 and 1 are taken for :data:`CLOSEST` off."""
    inside = score.clip(CLOSEST, 1 - CLOSEST)
    return np.log(inside) - np.log1p(-inside)

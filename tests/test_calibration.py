"""Temperatures against scikit-learn, and what is counted of real validation videos, by hand."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from training import run

from mcxlib import weights
from mcxlib.config import load
from mcxlib.evaluate.calibration import calibrated, fit_temperature
from mcxlib.evaluate.operating import calibration, real_videos


def samples(n=400, seed=0):
    rng = np.random.default_rng(seed)
    fake = rng.random(n) < 0.7
    score = 1 / (1 + np.exp(-(np.where(fake, 1.5, -1.5) + rng.normal(0, 3, n))))
    return fake, score.clip(1e-5, 1 - 1e-5)


def test_the_temperature_is_scikit_learns_coefficient():
    fake, score = samples()
    logit = np.log(score / (1 - score))[:, None]
    weight = np.where(fake, 0.5 / fake.sum(), 0.5 / (~fake).sum()) * len(fake)
    theirs = LogisticRegression(fit_intercept=False, C=np.inf, tol=1e-10)
    theirs.fit(logit, fake, sample_weight=weight)
    found = fit_temperature(fake, score)
    assert 1 / found.temperature == pytest.approx(theirs.coef_[0, 0], rel=1e-4)
    likely = theirs.predict_proba(logit)[np.arange(len(fake)), fake.astype(int)]
    assert found.loss_after == pytest.approx(-(weight * np.log(likely)).mean(), rel=1e-6)
    assert found.loss_after < found.loss_before
    np.testing.assert_allclose(
        calibrated(score, found.temperature), theirs.predict_proba(logit)[:, 1], rtol=1e-3
    )


def test_how_many_fakes_there_are_does_not_count():
    fake, score = samples()
    more = np.concatenate([fake, fake[fake], fake[fake]])
    again = fit_temperature(more, np.concatenate([score, score[fake], score[fake]]))
    assert again.temperature == pytest.approx(fit_temperature(fake, score).temperature, rel=1e-4)


def test_scores_without_a_temperature_are_refused():
    with pytest.raises(ValueError, match="separates all 2 scores without an error"):
        fit_temperature([0, 1], [0.2, 0.9])
    with pytest.raises(ValueError, match="no better than chance"):
        fit_temperature([0, 1, 0, 1], [0.9, 0.1, 0.8, 0.3])
    with pytest.raises(ValueError, match="outside"):
        fit_temperature([0, 1], [0.2, 1.9])


def frames(scores, fake):
    """Two frames a video, 0.1 below and above its score."""
    return pd.DataFrame(
        {
            "dataset": "toy",
            "video_id": [f"{fake}{i}" for i in range(len(scores)) for _ in range(2)],
            "is_fake": fake,
            "manipulation": "DF" if fake else "real",
            "fake_score": [s + d for s in scores for d in (-0.1, 0.1)],
        }
    )


def test_real_videos_that_reach_a_score_by_hand():
    real = [0.3] * 147 + [0.6, 0.7, 0.8]
    table = pd.concat([frames(real, False), frames([0.9] * 20, True)])
    found = real_videos(table, (0.5, 0.65))
    assert found["videos"] == 150
    assert [entry["videos"] for entry in found["reach"]] == [3, 2]
    # One of 150 is at most one in a hundred, two are more: just above the second highest.
    assert 0.7 < found["rare_level"] < 0.7 + 1e-9
    assert found["reach_rare_level"] == 1
    assert real_videos(frames([0.3] * 99, False), ())["rare_level"] is None


def test_what_the_card_holds_of_a_calibration():
    told = calibration(pd.concat([frames([0.2, 0.6], False), frames([0.9, 0.7, 0.4], True)]))
    by_hand = fit_temperature([0, 0, 1, 1, 1], [0.2, 0.6, 0.9, 0.7, 0.4])
    assert told["temperature"] == pytest.approx(by_hand.temperature)
    assert (told["videos_real"], told["videos_fake"]) == (2, 3)
    told = calibration(pd.concat([frames([0.2], False), frames([0.9], True)]))
    assert told["temperature"] is None
    assert "separates all 2" in told["why"]


def test_training_writes_them_into_the_card(crop_tables, tmp_path):
    config = load("test", crop_size=40, input_size=36, epochs=1, per_category=2)
    run(config, crop_tables, tmp_path)
    card = weights.read_card(tmp_path / "weights.safetensors")
    told = card.validation["real_videos"]
    assert told["videos"] == 2  # of ten targets, two are for validation
    assert told["rare_level"] is None
    levels = [entry["threshold"] for entry in told["reach"]]
    assert levels == [0.5, card.validation["threshold_best_bosc"]]
    assert card.calibration["videos_real"] == 2
    assert card.calibration["videos_fake"] == 8
    # Neither is in the recipe: an older run stays what it was.
    assert "calibration" not in json.dumps(card.recipe)

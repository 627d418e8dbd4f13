"""Operating points, paired comparisons and reliability, against scikit-learn, SciPy and pairs
counted one by one."""

import math
from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.interpolate import interp1d
from scipy.optimize import brentq
from sklearn.calibration import calibration_curve
from sklearn.metrics import balanced_accuracy_score, roc_auc_score, roc_curve

from mcxlib.evaluate.bounds import auc_bounds
from mcxlib.evaluate.paired import delong, holm, paired_bootstrap
from mcxlib.evaluate.points import equal_error_rate, operating_points, operating_table, tpr_at_fpr
from mcxlib.evaluate.reliability import calibration_error, reliability


def scores(seed, n_real=40, n_fake=70, digits=None, apart=1.0):
    rng = np.random.default_rng(seed)
    fake = np.arange(n_real + n_fake) >= n_real
    score = 1 / (1 + np.exp(-rng.normal(np.where(fake, apart, -apart), 1.2)))
    return fake, score if digits is None else score.round(digits)


@pytest.mark.parametrize(("seed", "digits"), [(0, None), (1, 1), (2, 2)])
def test_operating_points_are_those_of_scikit_learns_curve(seed, digits):
    fake, score = scores(seed, digits=digits)
    fpr, tpr, _ = roc_curve(fake, score, drop_intermediate=False)
    rate = brentq(lambda x: 1 - x - interp1d(fpr, tpr)(x), 0, 1)
    assert equal_error_rate(fake, score) == pytest.approx(rate, abs=1e-9)
    for most in (0, 0.01, 0.1, 0.5):
        assert tpr_at_fpr(fake, score, most) == pytest.approx(tpr[fpr <= most].max())
    row = operating_points(fake, score, chosen=0.4, draws=0)
    assert row["auc"] == pytest.approx(roc_auc_score(fake, score))
    assert row["eer"] == equal_error_rate(fake, score)
    assert row["tpr_at_10"] == pytest.approx(tpr[fpr <= 0.1].max())
    assert row["bosc_half"] == pytest.approx(balanced_accuracy_score(fake, score > 0.5))
    assert row["bosc_chosen"] == pytest.approx(balanced_accuracy_score(fake, score > 0.4))
    assert row["bosc_best"] == pytest.approx(((tpr + 1 - fpr) / 2).max())
    assert row["bosc_best"] >= max(row["bosc_half"], row["bosc_chosen"])
    assert math.isnan(row["auc_low"])
    assert row["note"] == ""


def test_hand_worked_points():
    fake, score = [0, 0, 0, 0, 1, 1], [0.1, 0.2, 0.3, 0.6, 0.5, 0.9]
    # Above 0.3 both fakes and one real video of four; above 0.6 one fake and no real video.
    assert tpr_at_fpr(fake, score, 0.24) == 0.5
    assert tpr_at_fpr(fake, score, 0.25) == 1.0
    # From (0, 0.5) up to (0.25, 0.5), then up to (0.25, 1): met at 1 - tpr = 0.25.
    assert equal_error_rate(fake, score) == pytest.approx(0.25)
    assert equal_error_rate([0, 1], [0.2, 0.8]) == 0
    assert equal_error_rate([0, 1], [0.8, 0.2]) == 1
    assert equal_error_rate([0, 1], [0.5, 0.5]) == 0.5


def test_a_perfect_cell_is_not_certain():
    fake = np.arange(20) >= 8
    row = operating_points(fake, fake * 1.0, 0.5)
    assert (row["auc"], row["bosc_half"], row["auc_high"]) == (1, 1, 1)
    # 8 of 8 real and 12 of 12 fake videos: one-sided Clopper-Pearson, and their mean.
    low = [stats.binomtest(n, n, alternative="greater").proportion_ci(0.95).low for n in (8, 12)]
    assert row["bosc_low"] == pytest.approx(np.mean(low))
    assert row["auc_low"] == pytest.approx(low[0])


@pytest.mark.parametrize(
    ("label", "known", "lost"),
    [(1, "sensitivity", "specificity"), (0, "specificity", "sensitivity")],
)
def test_one_class_leaves_empty_cells_and_says_why(label, known, lost):
    table = pd.DataFrame(
        {
            "dataset": ["both"] * 4 + ["one"] * 3,
            "is_fake": [0, 0, 1, 1] + [label] * 3,
            "fake_score": [0.1, 0.6, 0.7, 0.8, 0.2, 0.3, 0.9],
        }
    )
    found = operating_table(table, draws=200).set_index("dataset")
    row = found.loc["one"]
    assert row[known] == pytest.approx(1 / 3 if label else 2 / 3)
    empty = ["auc", "eer", "bosc_half", "bosc_best", "tpr_at_1", "auc_low", lost]
    assert row[empty].isna().all()
    assert row["note"] == f"all 3 videos are {'fake' if label else 'real'}: no ROC curve, no BOSC"
    assert found.loc["both", "auc"] == 1
    assert "no threshold was chosen" in found.loc["both", "note"]
    one = operating_points([0, 0, 1], [0.1, 0.2, 0.3])
    assert one["note"].endswith("one video of a class gives no interval")
    assert one["auc"] == 1
    assert math.isnan(one["auc_low"])


def kernel(fake, score):
    """(real, fake): 1 where the fake is above, half for ties."""
    pairs = product(score[~fake], score[fake])
    values = [1.0 if b > a else 0.5 if b == a else 0.0 for a, b in pairs]
    return np.reshape(values, ((~fake).sum(), fake.sum()))


@pytest.mark.parametrize("digits", [None, 1])
def test_delong_equals_the_pairs_counted_one_by_one(digits):
    fake, first = scores(3, 15, 22, digits)
    second = (0.6 * first + 0.4 * scores(4, 15, 22)[1]).round(digits or 9)
    apart = kernel(fake, second) - kernel(fake, first)
    covariance = [np.cov(kernel(fake, first).mean(axis), kernel(fake, second).mean(axis))
                  for axis in (1, 0)]  # fmt: skip
    variance = sum(
        (c[0, 0] + c[1, 1] - 2 * c[0, 1]) / n for c, n in zip(covariance, apart.shape, strict=True)
    )
    found = delong(fake, first, second, level=0.9)
    gap = roc_auc_score(fake, second) - roc_auc_score(fake, first)
    assert found.estimate == pytest.approx(gap)
    assert found.p == pytest.approx(2 * stats.norm.sf(abs(gap) / variance**0.5), rel=1e-9)
    ends = stats.norm.interval(0.9, gap, variance**0.5)
    assert (found.low, found.high) == pytest.approx(ends)
    back = delong(fake, second, first, level=0.9)
    assert (back.estimate, back.low) == pytest.approx((-found.estimate, -found.high))


def test_delong_of_equal_detectors_errs_as_often_as_it_says():
    """Two detectors that see the same thing, each with noise of its own: p below 0.1 in a tenth."""
    rng = np.random.default_rng(0)
    fake = np.arange(90) >= 40
    small = 0
    for _ in range(400):
        seen = rng.normal(fake * 1.0, 1)
        small += delong(fake, *(seen + rng.normal(0, 1, (2, 90)))).p < 0.1
    # Within three standard deviations of 40, and one pair more for videos that are not many.
    assert 20 <= small <= 62


@pytest.mark.parametrize("compare", [delong, paired_bootstrap])
def test_no_difference_is_certain_where_no_video_differs(compare):
    fake, first = np.repeat([0, 1], 6), np.repeat([0.1, 0.9], 6)
    found = compare(fake, first, first)
    assert found.kind == "exact bound"
    assert (found.estimate, found.p) == (0, 1)
    # As many as six pairs without a difference in 5 %, if a share of 1 - 0.05 ** (1 / 6) differs.
    assert (found.low, found.high) == pytest.approx((-(1 - 0.05 ** (1 / 6)), 1 - 0.05 ** (1 / 6)))
    turned = compare(fake, 1 - first, first)
    assert turned.estimate == 1
    assert turned.high == 1
    assert 0 < turned.low < 1
    assert turned.p >= 2.0 ** (1 - 12)


def test_delong_of_opposite_detectors_is_the_sign_test():
    fake, first = np.repeat([0, 1], 6), np.repeat([0.1, 0.9], 6)
    expected = stats.binomtest(6, 6).pvalue
    assert delong(fake, 1 - first, first).p == pytest.approx(expected)


def test_paired_bootstrap_equals_resampling_videos_one_by_one():
    fake, first = scores(5, 30, 45, apart=0.6)
    second = 0.5 * first + 0.5 * scores(6, 30, 45, apart=0.6)[1]
    found = paired_bootstrap(fake, first, second, threshold=(0.5, 0.55), draws=4000)
    rng = np.random.default_rng(9)
    real, fakes = np.flatnonzero(~fake), np.flatnonzero(fake)
    drawn = []
    for _ in range(2000):
        taken = np.concatenate([rng.choice(real, 30), rng.choice(fakes, 45)])
        rates = [
            ((score[taken[30:]] > limit).mean() + (score[taken[:30]] <= limit).mean()) / 2
            for score, limit in ((first, 0.5), (second, 0.55))
        ]
        drawn.append(rates[1] - rates[0])
    assert found.kind == "paired bootstrap"
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert found.low == pytest.approx(low, abs=0.012)
    assert found.high == pytest.approx(high, abs=0.012)
    sides = np.mean(np.array(drawn) <= 1e-12), np.mean(np.array(drawn) >= -1e-12)
    assert found.p == pytest.approx(2 * min(sides), abs=0.06)


def test_few_differing_videos_say_little():
    """Three fakes that only the second finds: a coin falls thus once in four."""
    fake, first = np.repeat([0, 1], 20), np.repeat([0.1, 0.9], 20)
    first[-3:] = 0.2
    found = paired_bootstrap(fake, first, np.repeat([0.1, 0.9], 20))
    assert found.estimate == pytest.approx(3 / 40)
    assert found.p == pytest.approx(stats.binomtest(3, 3).pvalue)


@pytest.mark.parametrize("compare", [delong, paired_bootstrap])
def test_what_cannot_be_compared_is_named(compare):
    with pytest.raises(ValueError, match="1 real and 2 fake; at least 2 of each"):
        compare([0, 1, 1], [0.1, 0.5, 0.7], [0.1, 0.5, 0.7])
    with pytest.raises(ValueError, match="unequal lengths"):
        compare([0, 0, 1, 1], [0.1, 0.5, 0.7, 0.8], [0.1, 0.5, 0.7])
    with pytest.raises(ValueError, match="NaN"):
        compare([0, 0, 1, 1], [0.1, 0.5, 0.7, 0.8], [0.1, 0.5, 0.7, np.nan])


def test_holm_by_hand():
    # 4 x 0.01; 3 x 0.02; 2 x 0.03 is below it again; 1 x 0.5.
    found = holm([0.03, 0.01, np.nan, 0.5, 0.02])
    np.testing.assert_allclose(found, [0.06, 0.04, np.nan, 0.5, 0.06])
    np.testing.assert_allclose(holm([0.6, 0.9]), [1, 1])
    assert holm([]).shape == (0,)
    with pytest.raises(ValueError, match="lie in"):
        holm([1.2])


def test_reliability_equals_scikit_learns_where_classes_are_equally_many():
    fake, score = scores(7, 60, 60)
    table = reliability(fake, score)
    observed, stated = calibration_curve(fake, score, n_bins=10)
    np.testing.assert_allclose(table["observed"], observed)
    np.testing.assert_allclose(table["stated"], stated)
    assert table["weight"].sum() == pytest.approx(1)
    assert table["videos"].sum() == 120
    share = table["videos"] / 120
    assert calibration_error(fake, score) == pytest.approx((share * abs(observed - stated)).sum())


def test_reliability_does_not_depend_on_how_many_fakes_there_are():
    fake, score = scores(8, 30, 30)
    more = np.concatenate([fake, fake[fake], fake[fake]])
    again = np.concatenate([score, score[fake], score[fake]])
    assert calibration_error(more, again) == pytest.approx(calibration_error(fake, score))


def test_reliability_by_hand():
    # A real video at 0.3 is in the fourth bin though 3 x 0.1 is not quite 0.3; 1 is in the last.
    table = reliability([0, 0, 1, 1], [0.3, 0.35, 0.39, 1.0])
    assert table["low"].round(6).tolist() == [0.3, 0.9]
    assert table["observed"].tolist() == pytest.approx([1 / 3, 1])
    assert calibration_error([0, 0, 1, 1], [0.3, 0.35, 0.39, 1.0]) == pytest.approx(
        0.75 * abs((0.3 + 0.35 + 0.39) / 3 - 1 / 3)
    )
    with pytest.raises(ValueError, match="no probabilities"):
        reliability([0, 1], [0.1, 1.2])


def test_best_bosc_and_auc_belong_together():
    """What the geometry of the curve allows, of numbers computed apart."""
    fake, score = scores(9)
    row = operating_points(fake, score, draws=0)
    bounds = auc_bounds(row["bosc_best"])
    assert bounds.low <= row["auc"] <= bounds.high
    assert row["eer"] >= 1 - row["bosc_best"] - 1e-12

"""Intervals that know how few videos there are."""

import numpy as np
import pytest
from scipy import stats

from mcxlib import evaluate
from mcxlib.evaluate.score_intervals import (
    auc_interval,
    mean_of_two,
    scarce,
    score_interval,
    wilson,
)


@pytest.mark.parametrize("level", [0.8, 0.95])
@pytest.mark.parametrize(("right", "trials"), [(0, 5), (3, 9), (9, 9), (199, 200)])
def test_a_share_has_scipys_wilson_interval(right, trials, level):
    expected = stats.binomtest(right, trials).proportion_ci(level, method="wilson")
    assert wilson(right / trials, trials, level) == pytest.approx(tuple(expected), abs=1e-12)


@pytest.mark.parametrize("level", [0.8, 0.95])
@pytest.mark.parametrize("auc", [0, 0.2, 0.5, 0.998, 1])
@pytest.mark.parametrize(("n_real", "n_fake"), [(2, 2), (9, 9), (9, 36), (200, 50)])
def test_an_auc_lies_z_deviations_from_both_ends(auc, n_real, n_fake, level):
    """The deviation as Hanley and McNeil write it, with their Q1 and Q2."""
    z, n = stats.norm.ppf((1 + level) / 2), (n_real + n_fake) / 2
    low, high = auc_interval(auc, n_real, n_fake, level)
    assert 0 <= low <= auc <= high <= 1
    for t in (low, high):
        if t in (0, 1):
            assert t == auc  # nothing lies beyond
            continue
        q1, q2 = t / (2 - t), 2 * t**2 / (1 + t)
        variance = (t * (1 - t) + (n - 1) * (q1 - t**2) + (n - 1) * (q2 - t**2)) / (n_real * n_fake)
        assert abs(auc - t) == pytest.approx(z * np.sqrt(variance), abs=1e-9)


def test_one_pair_of_videos_is_one_trial():
    """With one real and one fake video an AUC is a share of one."""
    for won in (0, 1):
        expected = stats.binomtest(won, 1).proportion_ci(0.95, method="wilson")
        assert auc_interval(won, 1, 1) == pytest.approx(tuple(expected), abs=1e-9)


@pytest.mark.parametrize(
    ("first", "second", "difference"),
    [
        ((56, 70), (48, 80), (0.0524, 0.3339)),
        ((9, 10), (3, 10), (0.1705, 0.8090)),
        ((6, 7), (2, 7), (0.0582, 0.8062)),
        ((5, 56), (0, 29), (-0.0381, 0.1926)),
        ((0, 10), (0, 20), (-0.1611, 0.2775)),
        ((10, 10), (0, 10), (0.6075, 1)),
    ],
)
def test_the_mean_of_two_shares_has_newcombes_printed_intervals(first, second, difference):
    """Of differences (1998, his table II, method 10): a + b = a - (1 - b) + 1."""
    (a, n), (b, m) = first, second
    expected = [(1 + end) / 2 for end in difference]
    assert mean_of_two(a / n, n, 1 - b / m, m) == pytest.approx(expected, abs=5e-5)


def videos(seed, count, auc, frames=8):
    """``count`` videos of each class, frames that share their video's offset, a true ``auc``."""
    rng = np.random.default_rng(seed)
    video = np.repeat(np.arange(2 * count), frames)
    fake = video >= count
    apart = stats.norm.ppf(auc) * np.sqrt(2)
    noise = 0.8 * rng.normal(size=2 * count)[video] + 0.6 * rng.normal(size=len(video))
    return evaluate.Sample(fake, apart * fake + noise, video)


@pytest.mark.parametrize("auc", [0.9, 0.99])
def test_with_ten_videos_of_a_class_the_bootstrap_is_too_narrow_and_the_tables_interval_not(auc):
    bootstrap = wide = 0
    for seed in range(200):
        one = videos(seed, 10, auc)
        found = evaluate.bootstrap_interval(*one, metric="auc", draws=200)
        bootstrap += found.low <= auc <= found.high
        shown = evaluate.video_interval([one], "auc", draws=200)
        wide += shown.low <= auc <= shown.high
        assert shown.low <= found.low <= found.estimate <= found.high <= shown.high
    assert bootstrap < 180  # of 200 that say 95 %
    assert wide >= 190


def test_frames_and_other_scores_of_a_video_are_no_more_videos():
    fake = np.repeat([False, True], [5, 7])
    score = np.r_[np.linspace(0, 0.6, 5), np.linspace(0.4, 1, 7)]
    names = np.arange(12)
    one = evaluate.Sample(fake, score, names)
    often = evaluate.Sample(np.tile(fake, 30), np.tile(score, 30), np.tile(names, 30))
    # Two manipulations of the same five real videos.
    other = evaluate.Sample(fake, score, np.r_[names[:5], names[5:] + 100])
    for metric in evaluate.METRICS:
        found = score_interval([one], metric)
        assert score_interval([often], metric) == pytest.approx(found)
        assert score_interval([one, one], metric) == pytest.approx(found)
        low, high = score_interval([one, other], metric)
        assert found[0] < low < high < found[1]
    auc = evaluate.auc(fake, score)
    assert score_interval([one, other], "auc") == pytest.approx(auc_interval(auc, 5, 14))
    right = evaluate.specificity(fake, score), evaluate.sensitivity(fake, score)
    expected = mean_of_two(right[0], 5, right[1], 14)
    assert score_interval([one, other], "bosc") == pytest.approx(expected)


def test_videos_are_scarce_with_fewer_than_five_errors_or_right_ones():
    fake = np.repeat([False, True], 50)
    score = np.where(fake, 0.9, 0.1)
    score[:5] = 0.95  # five false alarms; 45 * 50 pairs in order, 0.9 of them: five of 50 are not
    wrong = np.arange(50, 55)
    score[wrong] = 0.2
    names = np.arange(100)

    def few(metric, of=score, at=0.5):
        return scarce([evaluate.Sample(fake, of, names)], metric, threshold=at)

    assert not few("bosc")
    assert not few("auc")
    better = score.copy()
    better[wrong[0]] = 0.9
    assert few("bosc", better)  # four fakes are missed
    assert few("bosc", 1 - better)  # four fakes are found
    assert not few("auc", 1 - score)
    assert few("auc", np.where(fake, 0.9, 0.1) - 0.85 * (names == 3))  # all in order
    # At a threshold below all scores no real video is right, and every fake.
    assert few("bosc", at=0.0)
    # Of two sets with the same real videos there are 100 fakes, and still 50 real ones.
    again = evaluate.Sample(fake, better, np.r_[names[:50], names[50:] + 100])
    assert not scarce([evaluate.Sample(fake, score, names), again], "bosc")


def test_with_many_errors_the_bootstrap_stands():
    many = videos(1, 60, 0.75)
    for metric in evaluate.METRICS:
        found = evaluate.mean_interval([many], metric, draws=400)
        assert evaluate.video_interval([many], metric, draws=400) == found


def test_each_end_is_the_outer_one():
    one = videos(0, 12, 0.8, frames=1)
    for metric in evaluate.METRICS:
        found = evaluate.mean_interval([one], metric, draws=400)
        least = score_interval([one], metric)
        shown = evaluate.video_interval([one], metric, draws=400)
        assert (shown.low, shown.high) == (min(found.low, least[0]), max(found.high, least[1]))
        assert shown.kind == ("bootstrap" if shown[1:3] == found[1:3] else "score")
    assert score_interval([one], "auc", level=0.5)[0] > score_interval([one], "auc", level=0.99)[0]


def test_where_all_are_alike_the_exact_bound_stands():
    perfect = videos(0, 12, 0.8)._replace(fake_score=np.repeat([0.1, 0.9], 96))
    for metric in evaluate.METRICS:
        found = evaluate.video_interval([perfect], metric)
        assert found == evaluate.mean_interval([perfect], metric)
        assert found.kind == "exact bound"
    with pytest.raises(ValueError, match="level must lie between 0 and 1"):
        evaluate.video_interval([perfect], level=95)

"""metrics: BOSC, AUC, tables and video scores against loops; intervals; bounds by brute force."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score

from mcxlib import metrics


def counted_auc(is_fake, score) -> float:
    """Over all pairs of a real and a fake sample: who scores higher?"""
    wins = [
        1.0 if f > r else 0.5 if f == r else 0.0
        for f in np.asarray(score)[np.asarray(is_fake)]
        for r in np.asarray(score)[~np.asarray(is_fake)]
    ]
    return float(np.mean(wins))


@st.composite
def scored(draw):
    """Both classes, and scores from a coarse grid so that ties are common."""
    fake = draw(st.lists(st.booleans(), min_size=2, max_size=30))
    fake[:2] = [True, False]
    score = draw(st.lists(st.integers(0, 8), min_size=len(fake), max_size=len(fake)))
    return np.array(fake), np.array(score) / 8


@settings(deadline=None)
@given(scored(), st.sampled_from([0.25, 0.5, 0.7]))
def test_bosc_and_auc_equal_counting(data, threshold):
    fake, score = data
    expected = balanced_accuracy_score(fake, score > threshold)
    assert metrics.bosc(fake, score, threshold) == pytest.approx(expected)
    assert metrics.auc(fake, score) == pytest.approx(counted_auc(fake, score))


@settings(deadline=None)
@given(scored())
def test_invariances(data):
    fake, score = data
    assert metrics.auc(fake, np.exp(3 * score)) == pytest.approx(metrics.auc(fake, score))
    assert metrics.auc(~fake, score) == pytest.approx(1 - metrics.auc(fake, score))
    doubled = np.r_[fake, fake[fake]], np.r_[score, score[fake]]
    assert metrics.bosc(*doubled) == pytest.approx(metrics.bosc(fake, score))
    assert metrics.auc(*doubled) == pytest.approx(metrics.auc(fake, score))


def test_hand_worked_and_the_tie_rule():
    fake = [1, 1, 1, 1, 0, 0]
    score = [0.9, 0.8, 0.51, 0.5, 0.5, 0.6]  # a score of exactly 0.5 is called real
    assert metrics.bosc(fake, score) == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert metrics.bosc(fake, score, threshold=0.49) == pytest.approx((1 + 0) / 2)
    assert metrics.auc(fake, score) == pytest.approx((2 + 2 + 1 + 0.5) / 8)
    assert metrics.auc([0, 1], [-np.inf, np.inf]) == 1


@pytest.mark.parametrize("function", [metrics.bosc, metrics.auc, metrics.bootstrap_interval])
@pytest.mark.parametrize(
    ("fake", "score", "message"),
    [
        ([True, True], [0.1, 0.2], "all 2 samples are fake"),
        ([0, 0, 0], [0.1, 0.2, 0.3], "all 3 samples are real"),
        ([True, False, True], [0.1, np.nan, np.nan], "NaN for 2 of 3"),
        ([True, False], [0.1], "is_fake has 2 values"),
        ([], [], "no scores"),
        ([0, 1, 2], [0.1, 0.2, 0.3], "1 of 3 are neither"),
        ([[0, 1]], [[0.1, 0.2]], "one-dimensional"),
    ],
)
def test_unusable_scores_are_named(function, fake, score, message):
    with pytest.raises(ValueError, match=message):
        function(fake, score)


def test_per_manipulation_is_real_against_each():
    rng = np.random.default_rng(0)
    names = np.array(["NT", "real", "extra", "DF", "real", "FS"] * 20)
    score = rng.random(120).round(1)
    fake = names != "real"
    table = metrics.per_manipulation(fake, score, names, threshold=0.4)
    assert table.columns.tolist() == ["manipulation", "n_real", "n_fake", "bosc", "auc"]
    assert table["manipulation"].tolist() == ["DF", "FS", "NT", "extra", "Average"]
    assert table["n_real"].tolist() == [40] * 5
    assert table["n_fake"].tolist() == [20] * 4 + [80]
    for row in table.iloc[:-1].itertuples():
        chosen = (names == "real") | (names == row.manipulation)
        expected = balanced_accuracy_score(fake[chosen], score[chosen] > 0.4)
        assert row.bosc == pytest.approx(expected)
        assert row.auc == pytest.approx(counted_auc(fake[chosen], score[chosen]))
    last = table.iloc[-1]
    assert last["bosc"] == pytest.approx(table["bosc"].iloc[:-1].mean())
    assert last["auc"] == pytest.approx(table["auc"].iloc[:-1].mean())


def test_per_manipulation_refuses_contradictions():
    with pytest.raises(ValueError, match="2 of 4"):
        metrics.per_manipulation([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4], ["real", "DF", "real", "DF"])
    with pytest.raises(ValueError, match="manipulation"):
        metrics.per_manipulation([0, 1], [0.1, 0.2], ["real"])


def frames() -> pd.DataFrame:
    """Three videos; the name "a" exists in two data sets; rows out of order."""
    rows = [
        ("X", "a", 0, True, "DF", 0.9, "t1"),
        ("Y", "a", 0, False, "real", 0.2, "t2"),
        ("X", "a", 1, True, "DF", 0.1, "t1"),
        ("X", "b", 0, False, "real", 0.4, "t1"),
        ("X", "a", 2, True, "DF", 0.8, "t1"),
        ("Y", "a", 1, False, "real", 0.3, "t2"),
    ]
    columns = ["dataset", "video_id", "frame_index", "is_fake", "manipulation", "fake_score"]
    return pd.DataFrame(rows, columns=[*columns, "target_id"])


@pytest.mark.parametrize(
    ("reduction", "top_k", "expected"),
    [
        ("mean", 5, [0.6, 0.25, 0.4]),
        ("median", 5, [0.8, 0.25, 0.4]),
        ("top_k", 2, [0.85, 0.25, 0.4]),
        ("top_k", 1, [0.9, 0.3, 0.4]),
        ("top_k", 99, [0.6, 0.25, 0.4]),
    ],
)
def test_video_scores(reduction, top_k, expected):
    table = metrics.video_scores(frames(), reduction, top_k)
    assert list(zip(table["dataset"], table["video_id"], strict=True)) == [
        ("X", "a"),
        ("Y", "a"),
        ("X", "b"),
    ]
    np.testing.assert_allclose(table["fake_score"], expected)
    assert table["n_frames"].tolist() == [3, 2, 1]
    assert table["is_fake"].tolist() == [True, False, False]
    assert table["manipulation"].tolist() == ["DF", "real", "real"]
    assert table["target_id"].tolist() == ["t1", "t2", "t1"]
    assert "frame_index" not in table


def test_video_scores_from_probabilities_drop_what_is_not_constant():
    data = frames().rename(columns={"fake_score": "p_real"}).assign(row=range(6))
    table = metrics.video_scores(data)
    np.testing.assert_allclose(table["fake_score"], [0.4, 0.75, 0.6])
    assert set(table.columns) == {
        *("dataset", "video_id", "is_fake", "manipulation", "fake_score", "n_frames"),
        "target_id",
    }
    kept_missing = metrics.video_scores(frames().assign(note=[None] * 6))
    assert kept_missing["note"].isna().all()


def test_video_scores_refuse_what_they_cannot_mean():
    data = frames()
    with pytest.raises(ValueError, match="mean, median, top_k"):
        metrics.video_scores(data, "max")
    with pytest.raises(ValueError, match="top_k"):
        metrics.video_scores(data, "top_k", 0)
    with pytest.raises(ValueError, match="manipulation"):
        metrics.video_scores(data.drop(columns="manipulation"))
    with pytest.raises(ValueError, match="no rows"):
        metrics.video_scores(data.iloc[:0])
    with pytest.raises(ValueError, match="NaN for 1 of 6"):
        metrics.video_scores(data.assign(fake_score=[np.nan, *[0.1] * 5]))
    with pytest.raises(ValueError, match=r"1 videos have frames that disagree on is_fake.*X / a"):
        metrics.video_scores(data.assign(is_fake=[True, False, False, False, True, False]))


def clustered(rng, videos=30, frames_each=8, spread=1.0, between=1.0):
    """Frames that share their video's offset, fakes one unit above the real ones."""
    video = np.repeat(np.arange(2 * videos), frames_each)
    fake = video >= videos
    score = (
        fake + between * rng.normal(size=2 * videos)[video] + spread * rng.normal(size=len(fake))
    )
    return fake, score, video


@pytest.mark.parametrize("metric", ["bosc", "auc"])
def test_bootstrap_equals_resampling_videos_one_by_one(metric):
    fake, score, video = clustered(np.random.default_rng(1), videos=15, frames_each=4)
    score = score.round(1)
    function = {"bosc": metrics.bosc, "auc": metrics.auc}[metric]
    got = metrics.bootstrap_interval(fake, score, video, metric, draws=4000, seed=2)
    assert got.estimate == function(fake, score)
    rng = np.random.default_rng(3)
    drawn = []
    for _ in range(1500):
        chosen = np.r_[rng.choice(15, 15), 15 + rng.choice(15, 15)]
        rows = np.concatenate([np.flatnonzero(video == v) for v in chosen])
        drawn.append(function(fake[rows], score[rows]))
    np.testing.assert_allclose(got[1:], np.quantile(drawn, [0.025, 0.975]), atol=0.02)


@pytest.mark.parametrize("metric", ["bosc", "auc"])
def test_bootstrap_covers_the_truth_where_resampling_frames_does_not(metric):
    # Fakes N(1, 2), real N(0, 2): at threshold 0.5 BOSC is Phi(0.5 / sqrt 2), AUC Phi(1 / 2).
    truth = {"bosc": 0.63817, "auc": 0.69146}[metric]
    hits, naive_hits = 0, 0
    for seed in range(100):
        fake, score, video = clustered(np.random.default_rng(seed))
        whole = metrics.bootstrap_interval(fake, score, video, metric, draws=400, seed=seed)
        naive = metrics.bootstrap_interval(fake, score, None, metric, draws=400, seed=seed)
        hits += whole.low <= truth <= whole.high
        naive_hits += naive.low <= truth <= naive.high
    assert hits >= 87
    assert naive_hits < 80


def test_bootstrap_is_seeded_and_widens_with_the_level():
    fake, score, video = clustered(np.random.default_rng(0))
    names = np.array([f"video {v}" for v in video])
    first = metrics.bootstrap_interval(fake, score, names, "auc", seed=1)
    assert first == metrics.bootstrap_interval(fake, score, video, "auc", seed=1)
    assert first != metrics.bootstrap_interval(fake, score, video, "auc", seed=2)
    wide = metrics.bootstrap_interval(fake, score, video, "auc", level=0.99, seed=1)
    assert wide.low < first.low < first.estimate < first.high < wide.high


def test_bootstrap_refuses_bad_settings():
    fake, score = [0, 1], [0.1, 0.9]
    with pytest.raises(ValueError, match="bosc, auc"):
        metrics.bootstrap_interval(fake, score, metric="accuracy")
    with pytest.raises(ValueError, match="level"):
        metrics.bootstrap_interval(fake, score, level=95)
    with pytest.raises(ValueError, match="draws"):
        metrics.bootstrap_interval(fake, score, draws=0)
    with pytest.raises(ValueError, match="1 videos have both"):
        metrics.bootstrap_interval(fake, score, ["v", "v"])
    with pytest.raises(ValueError, match="video"):
        metrics.bootstrap_interval(fake, score, ["v"])


def random_roc(rng) -> tuple[np.ndarray, np.ndarray]:
    """A staircase from (0, 0) to (1, 1); half of them steep, to come near the bounds."""
    steps = rng.integers(1, 6)
    rise = rng.dirichlet(np.full(steps, 0.3))
    run = rng.dirichlet(np.full(steps, 0.3))
    fpr, tpr = [0.0], [0.0]
    for up, right in zip(rise, run, strict=True):
        if rng.random() < 0.5:  # up, then right
            fpr += [fpr[-1], fpr[-1] + right]
            tpr += [tpr[-1] + up, tpr[-1] + up]
        else:
            fpr += [fpr[-1] + right, fpr[-1] + right]
            tpr += [tpr[-1], tpr[-1] + up]
    return np.minimum(fpr, 1), np.minimum(tpr, 1)


def test_bounds_hold_for_random_roc_curves_and_are_reached():
    rng = np.random.default_rng(0)
    tightest_max, tightest_high, tightest_low = 1.0, 1.0, 1.0
    for _ in range(3000):
        fpr, tpr = random_roc(rng)
        area = np.trapezoid(tpr, fpr)
        for f, t in zip(fpr, tpr, strict=True):
            b = (t + 1 - f) / 2
            bounds = metrics.auc_bounds(b)
            assert area <= metrics.max_auc(f, t) + 1e-9
            assert bounds.low - 1e-9 <= area <= bounds.high + 1e-9
            assert metrics.bosc_auc_feasible(b, min(area, 1.0))
            if 0.1 < b < 0.4:
                tightest_max = min(tightest_max, metrics.max_auc(f, t) - area)
                tightest_high = min(tightest_high, bounds.high - area)
            if 0.6 < b < 0.9:
                tightest_low = min(tightest_low, area - bounds.low)
    assert max(tightest_max, tightest_high, tightest_low) < 0.01


def test_concave_bound_holds_for_concave_curves():
    rng = np.random.default_rng(0)
    tightest = 1.0
    for _ in range(2000):
        pieces = rng.integers(1, 5)
        run, rise = rng.dirichlet(np.ones(pieces)), rng.dirichlet(np.ones(pieces))
        order = np.argsort(-rise / run)  # falling slopes make it concave
        fpr, tpr = np.r_[0, np.cumsum(run[order])], np.r_[0, np.cumsum(rise[order])]
        area = np.trapezoid(tpr, fpr)
        at = rng.random(3)
        for b in (np.interp(at, fpr, tpr) + 1 - at) / 2:
            assert metrics.auc_bounds(b, concave=True).low <= area + 1e-9
            assert metrics.bosc_auc_feasible(b, area, concave=True)
            tightest = min(tightest, area - b)
    assert tightest < 0.01


def test_feasibility_of_printed_numbers():
    steps = {"bosc_step": 1e-4, "auc_step": 1e-2}
    # The paper's RGB+YCbCr on Celeb-DF, 90.87 and 0.90: no concave curve, but some curve.
    assert metrics.bosc_auc_feasible(0.9087, 0.90, **steps)
    assert not metrics.bosc_auc_feasible(0.9087, 0.90, **steps, concave=True)
    # Rounding can rescue a pair: 0.904 may be 0.9035, and 0.90 may be 0.905.
    assert metrics.bosc_auc_feasible(0.904, 0.90, bosc_step=1e-3, auc_step=1e-2, concave=True)
    assert not metrics.bosc_auc_feasible(0.904, 0.90, concave=True)
    # BOSC 0.2 caps the AUC at 0.4; BOSC 0.9 lifts it to 0.8.
    assert metrics.bosc_auc_feasible(0.2, 0.4)
    assert not metrics.bosc_auc_feasible(0.2, 0.41)
    assert metrics.bosc_auc_feasible(0.2, 0.405, auc_step=0.01)
    assert metrics.bosc_auc_feasible(0.9, 0.8)
    assert not metrics.bosc_auc_feasible(0.9, 0.79)
    assert not metrics.bosc_auc_feasible(0.4, 0.5, concave=True)
    assert metrics.max_auc(0.25, 0.5) == pytest.approx(0.5 * 0.25 + 0.75)


def test_bounds_refuse_what_is_no_fraction():
    for call in (
        lambda: metrics.max_auc(1.2, 0.5),
        lambda: metrics.auc_bounds(98.48),
        lambda: metrics.auc_bounds(0.4, concave=True),
        lambda: metrics.bosc_auc_feasible(0.9, 99),
        lambda: metrics.bosc_auc_feasible(0.9, 0.9, auc_step=-1),
    ):
        with pytest.raises(ValueError, match=r"bosc|auc|fpr|BOSC"):
            call()

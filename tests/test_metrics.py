"""BOSC, AUC, tables and video scores against loops and scikit-learn; intervals against resampling,
SciPy and simulation; bounds by brute force."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import expit, logit
from sklearn.metrics import balanced_accuracy_score, recall_score, roc_auc_score

from mcxlib import evaluate


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
    assert evaluate.bosc(fake, score, threshold) == pytest.approx(expected)
    assert evaluate.auc(fake, score) == pytest.approx(counted_auc(fake, score))


def test_importing_brings_no_library_of_other_numbers():
    """`mcx tables` is to begin at once: scikit-learn or torch alone would take seconds."""
    code = "import sys, mcxlib.evaluate; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "pandas" in loaded
    assert not {"sklearn", "scipy", "torch", "matplotlib"} & set(loaded)


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("digits", [1, 2, 8])
def test_auc_equals_scikit_learn(kind, digits):
    rng = np.random.default_rng(digits)
    for share in (0.02, 0.5, 0.9):
        fake = rng.random(500) < share
        fake[:2] = [True, False]
        score = (0.3 * fake + rng.random(500)).round(digits).astype(kind)  # 1 digit: many ties
        assert evaluate.auc(fake, score) == pytest.approx(roc_auc_score(fake, score), abs=1e-12)


def test_auc_of_infinite_scores_equals_scikit_learns_of_large_ones():
    rng = np.random.default_rng(0)
    fake = rng.random(200) < 0.4
    score = rng.normal(size=200)
    score[rng.random(200) < 0.2] = np.inf
    score[rng.random(200) < 0.2] = -np.inf
    expected = roc_auc_score(fake, score.clip(-1e9, 1e9))
    assert evaluate.auc(fake, score) == pytest.approx(expected, abs=1e-12)


@settings(deadline=None)
@given(scored(), st.sampled_from([0.25, 0.5, 0.7]))
def test_sensitivity_and_specificity_are_the_recalls(data, threshold):
    fake, score = data
    called = score > threshold
    assert evaluate.sensitivity(fake, score, threshold) == pytest.approx(recall_score(fake, called))
    expected = recall_score(fake, called, pos_label=0)
    assert evaluate.specificity(fake, score, threshold) == pytest.approx(expected)
    # Each needs its own class only.
    assert evaluate.sensitivity(fake[fake], score[fake], threshold) == pytest.approx(
        recall_score(fake, called)
    )
    with pytest.raises(ValueError, match="are fake; a real one is needed"):
        evaluate.specificity(fake[fake], score[fake], threshold)
    with pytest.raises(ValueError, match="are real; a fake one is needed"):
        evaluate.sensitivity(fake[~fake], score[~fake], threshold)


@settings(deadline=None)
@given(scored())
def test_invariances(data):
    fake, score = data
    assert evaluate.auc(fake, np.exp(3 * score)) == pytest.approx(evaluate.auc(fake, score))
    assert evaluate.auc(~fake, score) == pytest.approx(1 - evaluate.auc(fake, score))
    doubled = np.r_[fake, fake[fake]], np.r_[score, score[fake]]
    assert evaluate.bosc(*doubled) == pytest.approx(evaluate.bosc(fake, score))
    assert evaluate.auc(*doubled) == pytest.approx(evaluate.auc(fake, score))


def test_hand_worked_and_the_tie_rule():
    fake = [1, 1, 1, 1, 0, 0]
    score = [0.9, 0.8, 0.51, 0.5, 0.5, 0.6]  # a score of exactly 0.5 is called real
    assert evaluate.bosc(fake, score) == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert evaluate.bosc(fake, score, threshold=0.49) == pytest.approx((1 + 0) / 2)
    assert evaluate.auc(fake, score) == pytest.approx((2 + 2 + 1 + 0.5) / 8)
    assert evaluate.auc([0, 1], [-np.inf, np.inf]) == 1


@pytest.mark.parametrize(
    "function", [evaluate.bosc, evaluate.auc, evaluate.bootstrap_interval], ids=lambda f: f.__name__
)
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
    table = evaluate.per_manipulation(fake, score, names, threshold=0.4)
    counts, rates = ["n_real", "n_fake"], ["sensitivity", "specificity"]
    assert table.columns.tolist() == ["manipulation", *counts, "bosc", "auc", *rates]
    assert table["manipulation"].tolist() == ["DF", "FS", "NT", "extra", "Average"]
    assert table["n_real"].tolist() == [40] * 5
    assert table["n_fake"].tolist() == [20] * 4 + [80]
    for row in table.iloc[:-1].itertuples():
        chosen = (names == "real") | (names == row.manipulation)
        expected = balanced_accuracy_score(fake[chosen], score[chosen] > 0.4)
        assert row.bosc == pytest.approx(expected)
        assert row.auc == pytest.approx(counted_auc(fake[chosen], score[chosen]))
        called = score[chosen] > 0.4
        assert row.sensitivity == pytest.approx(recall_score(fake[chosen], called))
        assert row.specificity == pytest.approx(recall_score(~fake[chosen], ~called))
    last = table.iloc[-1]
    assert last["sensitivity"] == pytest.approx(table["sensitivity"].iloc[:-1].mean())
    assert last["bosc"] == pytest.approx(table["bosc"].iloc[:-1].mean())
    assert last["auc"] == pytest.approx(table["auc"].iloc[:-1].mean())


def test_per_manipulation_refuses_contradictions():
    with pytest.raises(ValueError, match="2 of 4"):
        evaluate.per_manipulation([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4], ["real", "DF", "real", "DF"])
    with pytest.raises(ValueError, match="manipulation"):
        evaluate.per_manipulation([0, 1], [0.1, 0.2], ["real"])


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
    table = evaluate.video_scores(frames(), reduction, top_k)
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


def test_video_scores_drop_probabilities_and_what_is_not_constant():
    data = frames().assign(p_real=0.5, row=range(6))
    table = evaluate.video_scores(data)
    np.testing.assert_allclose(table["fake_score"], [0.6, 0.25, 0.4])
    assert set(table.columns) == {
        *("dataset", "video_id", "is_fake", "manipulation", "fake_score", "n_frames"),
        "target_id",
    }
    kept_missing = evaluate.video_scores(frames().assign(note=[None] * 6))
    assert kept_missing["note"].isna().all()


def test_confident_video_scores_by_hand():
    """13 of 30 above 0.8: their mean; 28 of 30 below 0.2: theirs; 11 above 0.8: the mean of all."""
    videos = {"a": [0.9] * 13 + [0.3] * 17, "b": [0.1] * 28 + [0.7] * 2, "c": [0.9] * 11 + [0.5]}
    rows = [("set", name, True, "DF", score) for name, all_ in videos.items() for score in all_]
    data = pd.DataFrame(
        rows, columns=["dataset", "video_id", "is_fake", "manipulation", "fake_score"]
    )
    table = evaluate.video_scores(data, "confident").set_index("video_id")
    assert table["fake_score"].to_dict() == pytest.approx({"a": 0.9, "b": 0.1, "c": 10.4 / 12})


def test_means_of_logits_by_scipy():
    videos = {"a": [0.9, 0.2, 0.6], "b": [0.5], "c": [1.0, 0.5, 0.5]}
    rows = [("set", name, True, "DF", score) for name, all_ in videos.items() for score in all_]
    data = pd.DataFrame(
        rows, columns=["dataset", "video_id", "is_fake", "manipulation", "fake_score"]
    )
    table = evaluate.video_scores(data, "logits").set_index("video_id")
    expected = {
        name: expit(logit(np.clip(all_, 1e-6, 1 - 1e-6)).mean()) for name, all_ in videos.items()
    }
    assert table["fake_score"].to_dict() == pytest.approx(expected)


def test_video_scores_refuse_what_they_cannot_mean():
    data = frames()
    with pytest.raises(ValueError, match="mean, median, top_k"):
        evaluate.video_scores(data, "max")
    with pytest.raises(ValueError, match="top_k"):
        evaluate.video_scores(data, "top_k", 0)
    with pytest.raises(ValueError, match="manipulation"):
        evaluate.video_scores(data.drop(columns="manipulation"))
    # A probability is no score: whoever stores probabilities stores the score beside them.
    with pytest.raises(ValueError, match="lack the columns fake_score"):
        evaluate.video_scores(data.rename(columns={"fake_score": "p_real"}))
    with pytest.raises(ValueError, match="no rows"):
        evaluate.video_scores(data.iloc[:0])
    with pytest.raises(ValueError, match="NaN for 1 of 6"):
        evaluate.video_scores(data.assign(fake_score=[np.nan, *[0.1] * 5]))
    with pytest.raises(ValueError, match=r"1 videos have frames that disagree on is_fake.*X / a"):
        evaluate.video_scores(data.assign(is_fake=[True, False, False, False, True, False]))


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
    function = {"bosc": evaluate.bosc, "auc": evaluate.auc}[metric]
    got = evaluate.bootstrap_interval(fake, score, video, metric, draws=4000, seed=2)
    assert got.estimate == function(fake, score)
    rng = np.random.default_rng(3)
    drawn = []
    for _ in range(1500):
        chosen = np.r_[rng.choice(15, 15), 15 + rng.choice(15, 15)]
        rows = np.concatenate([np.flatnonzero(video == v) for v in chosen])
        drawn.append(function(fake[rows], score[rows]))
    assert got.kind == "bootstrap"
    np.testing.assert_allclose(got[1:3], np.quantile(drawn, [0.025, 0.975]), atol=0.02)


@pytest.mark.parametrize("metric", ["bosc", "auc"])
def test_interval_of_a_mean_equals_resampling_videos_that_sets_share(metric):
    """Two manipulations share their real videos; each draw takes the same ones for both."""
    fake, score, video = clustered(np.random.default_rng(1), videos=12, frames_each=3)
    score = score.round(1)
    function = {"bosc": evaluate.bosc, "auc": evaluate.auc}[metric]
    # Real videos are 0 to 5; 12 to 17 are of the first manipulation, 18 to 23 of the second.
    first, second = ((video < 6) | (video // 6 == part) for part in (2, 3))
    samples = [evaluate.Sample(fake[m], score[m], video[m]) for m in (first, second)]
    got = evaluate.mean_interval(samples, metric, draws=4000)
    assert got.estimate == np.mean([function(fake[m], score[m]) for m in (first, second)])
    rng = np.random.default_rng(3)
    drawn, apart = [], []
    for target, shared in ((drawn, True), (apart, False)):
        for _ in range(800):
            values, real = [], rng.choice(6, 6)
            for begin in (12, 18):
                chosen = np.r_[real if shared else rng.choice(6, 6), begin + rng.choice(6, 6)]
                rows = np.concatenate([np.flatnonzero(video == v) for v in chosen])
                values.append(function(fake[rows], score[rows]))
            target.append(np.mean(values))
    np.testing.assert_allclose(got[1:3], np.quantile(drawn, [0.025, 0.975]), atol=0.025)
    assert got.high - got.low > 1.1 * np.ptp(np.quantile(apart, [0.025, 0.975]))


def test_interval_of_a_mean_of_the_same_twice_is_that_of_one():
    fake, score, video = clustered(np.random.default_rng(1), videos=12, frames_each=3)
    one = evaluate.Sample(fake, score, video)
    for metric in ("bosc", "auc"):
        alone = evaluate.bootstrap_interval(fake, score, video, metric)
        assert evaluate.mean_interval([one, one], metric) == pytest.approx((*alone[:3], alone.kind))
    # Names tell videos apart, not their order; a video that only one set has is drawn there.
    rest = video != 3
    mixed = [one, evaluate.Sample(fake[rest], score[rest], video[rest])]
    found = evaluate.mean_interval(mixed, "auc")
    assert found.low == pytest.approx(alone.low, abs=0.02)
    with pytest.raises(ValueError, match="no samples"):
        evaluate.mean_interval([])


@pytest.mark.parametrize("metric", ["bosc", "auc"])
def test_bootstrap_covers_the_truth_where_resampling_frames_does_not(metric):
    # Fakes N(1, 2), real N(0, 2): at threshold 0.5 BOSC is Phi(0.5 / sqrt 2), AUC Phi(1 / 2).
    truth = {"bosc": 0.63817, "auc": 0.69146}[metric]
    hits, naive_hits = 0, 0
    for seed in range(100):
        fake, score, video = clustered(np.random.default_rng(seed))
        whole = evaluate.bootstrap_interval(fake, score, video, metric, draws=400, seed=seed)
        naive = evaluate.bootstrap_interval(fake, score, None, metric, draws=400, seed=seed)
        hits += whole.low <= truth <= whole.high
        naive_hits += naive.low <= truth <= naive.high
    assert hits >= 87
    assert naive_hits < 80


def test_bootstrap_is_seeded_and_widens_with_the_level():
    fake, score, video = clustered(np.random.default_rng(0))
    names = np.array([f"video {v}" for v in video])
    first = evaluate.bootstrap_interval(fake, score, names, "auc", seed=1)
    assert first == evaluate.bootstrap_interval(fake, score, video, "auc", seed=1)
    assert first != evaluate.bootstrap_interval(fake, score, video, "auc", seed=2)
    wide = evaluate.bootstrap_interval(fake, score, video, "auc", level=0.99, seed=1)
    assert wide.low < first.low < first.estimate < first.high < wide.high


def test_bootstrap_refuses_bad_settings():
    fake, score = [0, 1, 0, 1], [0.1, 0.9, 0.2, 0.3]
    with pytest.raises(ValueError, match="bosc, auc"):
        evaluate.bootstrap_interval(fake, score, metric="accuracy")
    with pytest.raises(ValueError, match="level"):
        evaluate.bootstrap_interval(fake, score, level=95)
    for draws in (0, 1, 199):
        with pytest.raises(ValueError, match=f"draws must be at least 200 .* not {draws}"):
            evaluate.bootstrap_interval(fake, score, draws=draws)
    # At 0.99, 200 draws would have one beyond each end.
    with pytest.raises(ValueError, match=r"draws must be at least 1000 at the level 0\.99"):
        evaluate.bootstrap_interval(fake, score, level=0.99, draws=999)
    assert evaluate.bootstrap_interval(fake, score, level=0.99, draws=1000).estimate == 0.75
    with pytest.raises(ValueError, match="1 videos have both"):
        evaluate.bootstrap_interval(fake, score, ["v", "v", "u", "w"])
    with pytest.raises(ValueError, match="video"):
        evaluate.bootstrap_interval(fake, score, ["v"])


@pytest.mark.parametrize("metric", ["bosc", "auc"])
@pytest.mark.parametrize(
    ("fake", "video", "message"),
    [
        ([0, 1, 1], [1, 2, 3], "1 real and 2 fake; at least 2"),
        ([0, 0, 1], [1, 2, 3], "2 real and 1 fake; at least 2"),
        ([0, 0, 0, 1, 1], ["a", "a", "a", "b", "c"], "1 real and 2 fake; at least 2"),
    ],
)
def test_one_video_of_a_class_gives_no_interval(metric, fake, video, message):
    with pytest.raises(ValueError, match=f"too few videos for an interval: {message}"):
        evaluate.bootstrap_interval(fake, np.linspace(0, 1, len(fake)), video, metric)


def one_sided(successes, trials, level):
    """SciPy's bounds of Clopper and Pearson, all of the doubt on one side."""
    sides = {"greater": "low", "less": "high"}
    return {
        end: getattr(stats.binomtest(successes, trials, alternative=side).proportion_ci(level), end)
        for side, end in sides.items()
    }


@pytest.mark.parametrize("level", [0.9, 0.95])
@pytest.mark.parametrize(("n_real", "n_fake"), [(2, 2), (12, 12), (7, 40)])
def test_a_perfect_score_has_an_exact_lower_bound_and_its_reverse_an_upper(n_real, n_fake, level):
    fake = np.repeat([False, True], [3 * n_real, 3 * n_fake])
    video = np.repeat(np.arange(n_real + n_fake), 3)
    score = np.where(fake, 0.8, 0.2) + np.random.default_rng(0).normal(size=len(fake)) * 0.01
    least = [one_sided(n, n, level)["low"] for n in (n_real, n_fake)]
    most = [one_sided(0, n, level)["high"] for n in (n_real, n_fake)]
    for metric, low, high in (
        ("bosc", np.mean(least), np.mean(most)),
        ("auc", min(least), max(most)),  # as many pairs as there are videos in the smaller class
    ):
        perfect = evaluate.bootstrap_interval(fake, score, video, metric, level=level)
        assert perfect.kind == "exact bound"
        assert perfect[:3] == pytest.approx((1, low, 1))
        assert perfect.high == 1
        reverse = evaluate.bootstrap_interval(fake, -score, video, metric, level=level, threshold=0)
        if metric == "auc":
            assert reverse[:3] == pytest.approx((0, 0, high))
        wrong = evaluate.bootstrap_interval(fake, 1 - score, video, metric, level=level)
        assert wrong.kind == "exact bound"
        assert wrong[:3] == pytest.approx((0, 0, high))


def test_all_called_fake_or_all_scored_alike_is_no_certainty_either():
    fake = np.repeat([False, True], [10, 30])
    score = np.r_[np.linspace(0.6, 0.7, 10), np.linspace(0.65, 0.9, 30)]
    found = evaluate.bootstrap_interval(fake, score)  # specificity 0 of 10, sensitivity 30 of 30
    expected = (0.5, one_sided(30, 30, 0.95)["low"] / 2, (one_sided(0, 10, 0.95)["high"] + 1) / 2)
    assert found[:3] == pytest.approx(expected)
    assert found.kind == "exact bound"
    assert evaluate.bootstrap_interval(fake, score, metric="auc").kind == "bootstrap"
    constant = evaluate.bootstrap_interval(fake, np.full(40, 0.3), metric="auc")
    # At least this share of pairs is tied (one half each), the others may be won or lost.
    tied = one_sided(10, 10, 0.95)["low"]
    assert constant[:3] == pytest.approx((0.5, tied / 2, 1 - tied / 2))


def test_one_wrong_video_is_enough_for_the_bootstrap():
    fake = np.repeat([False, True], 20)
    score = np.where(fake, 0.9, 0.1)
    score[0] = 0.95
    for metric in ("bosc", "auc"):
        found = evaluate.bootstrap_interval(fake, score, metric=metric)
        assert found.kind == "bootstrap"
        assert found.low < found.estimate < found.high == 1


def test_a_class_that_is_all_right_is_not_certain_beside_one_that_is_not():
    """12 fakes all right: SciPy's one-sided bound; 12 real videos, 3 wrong: SciPy's bootstrap."""
    fake = np.repeat([False, True], 12)
    score = np.where(fake, 0.9, 0.1)
    score[:3] = 0.8
    found = evaluate.bootstrap_interval(fake, score, draws=9999)
    right = (score[:12] <= 0.5).astype(float)
    real = stats.bootstrap(
        (right,), np.mean, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    assert found.estimate == 0.875
    assert found.low == pytest.approx((real.low + one_sided(12, 12, 0.95)["low"]) / 2, abs=0.02)
    assert found.high == pytest.approx((real.high + 1) / 2, abs=0.02)
    assert found.kind == "bootstrap"


@pytest.mark.parametrize("metric", ["bosc", "auc"])
def test_a_mean_of_perfect_sets_has_the_mean_of_their_bounds(metric):
    """Ten real videos, and 4 and 20 fakes of two manipulations."""
    names = np.array([f"real {i}" for i in range(10)])
    samples = []
    for count in (4, 20):
        fake = np.repeat([False, True], [10, count])
        fakes = [f"{count} {i}" for i in range(count)]
        samples.append(evaluate.Sample(fake, np.where(fake, 0.9, 0.1), [*names, *fakes]))
    bound = {n: one_sided(n, n, 0.95)["low"] for n in (4, 10, 20)}
    low = {
        "bosc": (2 * bound[10] + bound[4] + bound[20]) / 4,
        "auc": (bound[4] + bound[10]) / 2,
    }[metric]
    found = evaluate.mean_interval(samples, metric)
    assert found[:3] == pytest.approx((1, low, 1))
    assert found.kind == "exact bound"


@pytest.mark.parametrize("metric", ["bosc", "auc"])
def test_intervals_near_perfection_cover_the_truth_and_the_bootstrap_alone_would_not(metric):
    """Ten videos of each class, each wrong with probability 0.03, so that most sets are perfect."""
    right, runs, hits, perfect = 0.97, 400, 0, 0
    # There are two scores, one for each decision: a fake is above a real video if both are right,
    # and equal (one half) if one of the two is. So the true AUC is p^2 + 2 p (1 - p) / 2 = p.
    truth = right
    fake = np.repeat([False, True], 10)
    for seed in range(runs):
        ok = np.random.default_rng(seed).random(20) < right
        score = np.where(fake == ok, 0.9, 0.1)
        found = evaluate.bootstrap_interval(fake, score, metric=metric, draws=200, seed=seed)
        hits += found.low <= truth <= found.high
        perfect += found.estimate == 1
    assert perfect > 0.45 * runs  # 0.97 ** 20 = 0.54: where [1, 1] would be wrong
    assert hits >= 0.95 * runs


@pytest.mark.parametrize(("n_real", "n_fake"), [(10, 10), (6, 30)])
def test_the_exact_bounds_err_as_often_as_they_may_and_no_more(n_real, n_fake):
    """The worst case for AUC: only the smaller class fails, and the truth is just below the bound.
    Then a perfect set, whose bound is wrong, comes about once in twenty times."""
    truth = 0.05 ** (1 / n_real) - 1e-6
    fake = np.repeat([False, True], [n_real, n_fake])
    rng = np.random.default_rng(0)
    wrong = {"auc": 0, "bosc": 0}
    for _ in range(1000):
        score = np.where(fake, 0.9, 0.1)
        score[:n_real][rng.random(n_real) >= truth] = 0.99
        if score[:n_real].max() > 0.9:
            continue  # no perfect set: nothing to bound
        for metric in wrong:
            found = evaluate.bootstrap_interval(fake, score, metric=metric, draws=200)
            assert found.kind == "exact bound"
            wrong[metric] += found.low > {"auc": truth, "bosc": (truth + 1) / 2}[metric]
    assert 30 <= wrong["auc"] <= 70  # 50 expected, standard deviation 7
    assert wrong["bosc"] == 0  # its bound also counts the fakes, which never fail here


@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_proportion_interval_equals_scipy(level):
    for trials in (1, 2, 9, 100, 734):
        for successes in {0, 1, trials // 3, trials - 1, trials}:
            found = evaluate.proportion_interval(successes, trials, level)
            expected = stats.binomtest(successes, trials).proportion_ci(level, method="exact")
            assert found[:3] == pytest.approx((successes / trials, *expected), abs=1e-12)
            assert found.kind == "exact bound"


def test_proportion_interval_covers_every_share():
    """By the binomial probabilities themselves, not by simulation."""
    for trials in (1, 5, 20):
        found = [evaluate.proportion_interval(k, trials) for k in range(trials + 1)]
        for share in np.linspace(0.001, 0.999, 200):
            chance = stats.binom.pmf(np.arange(trials + 1), trials, share)
            covered = [f.low <= share <= f.high for f in found]
            assert chance[covered].sum() >= 0.95


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((3, 2), "3 successes in 2 trials"),
        ((-1, 2), "-1 successes in 2 trials"),
        ((0, 0), "0 successes in 0 trials"),
        ((0.5, 2), "whole numbers"),
        ((1, 2, 95), "level must lie between 0 and 1"),
    ],
)
def test_proportion_interval_refuses_what_is_no_share(values, message):
    with pytest.raises(ValueError, match=message):
        evaluate.proportion_interval(*values)


def own_videos(reals, fakes) -> pd.DataFrame:
    """Two frames a video, 0.1 below and above the given score."""
    rows = [
        ("mine", f"{kind}/{i}", frame, kind == "fake", kind, score + 0.2 * frame - 0.1)
        for kind, scores in (("real", reals), ("fake", fakes))
        for i, score in enumerate(scores)
        for frame in (0, 1)
    ]
    columns = ["dataset", "video_id", "frame_index", "is_fake", "manipulation", "fake_score"]
    return pd.DataFrame(rows, columns=columns)


def test_binary_report_is_by_video_and_every_number_has_its_interval():
    # One of four real videos is called fake, four of five fakes; 0.55 has a frame below 0.5.
    data = own_videos([0.1, 0.2, 0.3, 0.7], [0.4, 0.55, 0.7, 0.8, 0.9])
    report = evaluate.binary_report(data, level=0.9)
    assert json.loads(json.dumps(report)) == report
    about = {k: report[k] for k in ("dataset", "videos_real", "videos_fake", "frames", "missing")}
    assert about == {
        "dataset": "mine",
        "videos_real": 4,
        "videos_fake": 5,
        "frames": 18,
        "missing": None,
    }
    assert report["notes"] == []
    for name, right, of in (("sensitivity", 4, 5), ("specificity", 3, 4)):
        ends = stats.binomtest(right, of).proportion_ci(0.9)
        assert report[name] == pytest.approx(
            {"estimate": right / of, "low": ends.low, "high": ends.high, "kind": "exact bound"}
        )
    assert report["bosc"]["estimate"] == pytest.approx((4 / 5 + 3 / 4) / 2)
    # The real 0.7 loses against 0.8 and 0.9, ties with 0.7 and wins twice.
    assert report["auc"]["estimate"] == pytest.approx((15 + 2.5) / 20)
    for name in ("bosc", "auc"):
        assert report[name]["kind"] == "score"  # nine videos
        assert report[name]["low"] < report[name]["estimate"] < report[name]["high"]
    assert evaluate.binary_report(data, threshold=0.75)["sensitivity"]["estimate"] == 0.4


@pytest.mark.parametrize(
    ("reals", "fakes", "missing", "said", "lost"),
    [
        ([], [0.9, 0.8, 0.2], "real", "sensitivity", "specificity"),
        ([0.9, 0.8, 0.2], [], "fake", "specificity", "sensitivity"),
    ],
)
def test_binary_report_of_one_class_says_what_can_be_said(reals, fakes, missing, said, lost):
    report = evaluate.binary_report(own_videos(reals, fakes))
    assert report["missing"] == missing
    right = {"sensitivity": 2, "specificity": 1}[said]
    ends = stats.binomtest(right, 3).proportion_ci(0.95)
    assert report[said] == pytest.approx(
        {"estimate": right / 3, "low": ends.low, "high": ends.high, "kind": "exact bound"}
    )
    assert report[lost] is report["bosc"] is report["auc"] is None
    assert report["notes"] == [f"no {missing} video: {lost}, BOSC and AUC cannot be said"]


def test_binary_report_with_a_single_video_of_a_class_has_estimates_without_interval():
    report = evaluate.binary_report(own_videos([0.3], [0.6, 0.2]))
    nothing = {"low": None, "high": None, "kind": None}
    assert report["bosc"] == {"estimate": 0.75} | nothing
    assert report["auc"] == {"estimate": 0.5} | nothing
    assert report["specificity"]["low"] == pytest.approx(0.025)  # one of one: low ** 1 = 0.025
    assert "1 real and 2 fake videos" in report["notes"][0]


def test_binary_report_is_of_one_data_set():
    data = own_videos([0.1, 0.2], [0.8, 0.9])
    with pytest.raises(ValueError, match="these scores are of 2: mine, yours"):
        evaluate.binary_report(pd.concat([data, data.assign(dataset="yours")]))
    with pytest.raises(ValueError, match="lack the columns dataset"):
        evaluate.binary_report(data.drop(columns="dataset"))
    assert evaluate.binary_report(data)["bosc"]["kind"] == "exact bound"


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
            bounds = evaluate.auc_bounds(b)
            assert area <= evaluate.max_auc(f, t) + 1e-9
            assert bounds.low - 1e-9 <= area <= bounds.high + 1e-9
            assert evaluate.bosc_auc_feasible(b, min(area, 1.0))
            if 0.1 < b < 0.4:
                tightest_max = min(tightest_max, evaluate.max_auc(f, t) - area)
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
            assert evaluate.auc_bounds(b, concave=True).low <= area + 1e-9
            assert evaluate.bosc_auc_feasible(b, area, concave=True)
            tightest = min(tightest, area - b)
    assert tightest < 0.01


def test_feasibility_of_printed_numbers():
    steps = {"bosc_step": 1e-4, "auc_step": 1e-2}
    # The paper's RGB+YCbCr on Celeb-DF, 90.87 and 0.90: no concave curve, but some curve.
    assert evaluate.bosc_auc_feasible(0.9087, 0.90, **steps)
    assert not evaluate.bosc_auc_feasible(0.9087, 0.90, **steps, concave=True)
    # Rounding can rescue a pair: 0.904 may be 0.9035, and 0.90 may be 0.905.
    assert evaluate.bosc_auc_feasible(0.904, 0.90, bosc_step=1e-3, auc_step=1e-2, concave=True)
    assert not evaluate.bosc_auc_feasible(0.904, 0.90, concave=True)
    # BOSC 0.2 caps the AUC at 0.4; BOSC 0.9 lifts it to 0.8.
    assert evaluate.bosc_auc_feasible(0.2, 0.4)
    assert not evaluate.bosc_auc_feasible(0.2, 0.41)
    assert evaluate.bosc_auc_feasible(0.2, 0.405, auc_step=0.01)
    assert evaluate.bosc_auc_feasible(0.9, 0.8)
    assert not evaluate.bosc_auc_feasible(0.9, 0.79)
    assert not evaluate.bosc_auc_feasible(0.4, 0.5, concave=True)
    assert evaluate.max_auc(0.25, 0.5) == pytest.approx(0.5 * 0.25 + 0.75)


def test_bounds_refuse_what_is_no_fraction():
    for call in (
        lambda: evaluate.max_auc(1.2, 0.5),
        lambda: evaluate.auc_bounds(98.48),
        lambda: evaluate.auc_bounds(0.4, concave=True),
        lambda: evaluate.bosc_auc_feasible(0.9, 99),
        lambda: evaluate.bosc_auc_feasible(0.9, 0.9, auc_step=-1),
    ):
        with pytest.raises(ValueError, match=r"bosc|auc|fpr|BOSC"):
            call()

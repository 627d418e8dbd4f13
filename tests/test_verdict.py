"""Intervals and verdicts: bootstraps worked by hand, the four rules, and what a card can say."""

import numpy as np
import pytest
from scipy.stats import beta, binom

from mcxlib.answer.schema import Interval
from mcxlib.answer.verdict import blocks, interval, probability, scale, verdict
from mcxlib.weights import Card


def card(**more):
    return Card(detector="toy", label="Toy", classes=("real", "fake"), config={}, **more)


def real_videos(**more):
    return {"videos": 200, "reach": [], "rare_level": None, "reach_rare_level": None} | more


def test_equal_scores_have_no_width_and_few_frames_all_of_it():
    found = interval([0.7] * 9, [0.5 * i for i in range(9)])
    assert (found.low, found.value, found.high) == pytest.approx((0.7, 0.7, 0.7))
    found = interval([0.9, 0.8, 0.7], [0, 1, 2])
    assert (found.low, found.value, found.high) == pytest.approx((0, 0.8, 1))
    assert found.how == "none can be made of 3 frames"


@pytest.mark.parametrize("each", [1, 2, 5])
def test_ends_of_four_blocks_of_which_one_is_fake(each):
    # A draw's mean is Binomial(4, 1/4) / 4: SciPy's 2.5 % and 97.5 % points are 0 and 3 of 4,
    # however many frames a block has. Drawn frame by frame, 20 frames would give 0.05 to 0.45.
    assert list(binom(4, 0.25).ppf([0.025, 0.975])) == [0, 3]
    scores = np.repeat([0, 0, 1, 0], each)
    seconds = [10.0 * block + 0.04 * i for block in range(4) for i in range(each)]
    found = interval(scores, seconds)
    assert (found.low, found.value, found.high) == (0, 0.25, 0.75)
    assert found.how == "bootstrap of 4 blocks of 1 s"


def test_blocks_of_unequal_size_are_weighed_by_their_frames():
    # Only all draws of block 0 (1/16 of them) lie above 3/4: draws of two blocks from sizes 6, 2.
    seconds = [*np.arange(6) * 0.1, 5.0, 5.1, 10.0, 10.1, 15.0, 15.1]
    scores = [1.0] * 6 + [0.0] * 6
    found = interval(scores, seconds)
    # k of 4 draws are block 0: mean 6k / (6k + 2(4 - k)); k is Binomial(4, 1/4), 0 to 3.
    assert (found.low, found.value, found.high) == pytest.approx((0, 0.5, 18 / 20))


def test_the_same_scores_give_the_same_interval():
    scores = np.random.default_rng(3).random(30)
    seconds = [2.0 * i for i in range(30)]
    assert interval(scores, seconds) == interval(scores, seconds)
    # Of independent frames it is about the mean's standard error, twice to either side.
    error = scores.std() / np.sqrt(30)
    found = interval(scores, seconds)
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_blocks_by_hand():
    # Half a second at 25 frames a second: 1, 0.5 and 0.25 s give 1 and 2 blocks, 0.125 s holds
    # frames 0 to 3 (0.12 s), 4 to 7, 8 to 11: three; 0.0625 s two each: six.
    found, length = blocks([0.04 * i for i in range(12)])
    assert found.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert length == "0.0625 s"
    found, length = blocks([0, 0.3, 0.9, 1.0, 1.5, 7.0, 7.5, 9.0])
    assert found.tolist() == [0, 0, 0, 1, 1, 2, 2, 3]
    assert length == "1 s"


def test_blocks_of_frames_without_times():
    found, length = blocks([None] * 27)
    assert found.tolist() == [i // 3 for i in range(27)]
    assert length == "3 frames"
    assert blocks([None] * 5)[0].tolist() == [0, 1, 2, 3, 4]  # two each would be too few
    assert blocks([1.0] * 8)[0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.1, 0.39, "no sign found"),
        (0.1, 0.4, "uncertain"),  # reaching the threshold is not below it
        (0.39, 0.9, "uncertain"),
        (0.4, 0.9, "suspicious"),
        (0.79, 0.99, "suspicious"),
        (0.8, 0.99, "likely manipulated"),
    ],
)
def test_the_four_rules(low, high, said):
    found = scale(
        card(
            validation={
                "threshold_best_bosc": 0.4,
                "real_videos": real_videos(rare_level=0.8, reach_rare_level=2),
            }
        )
    )
    score = Interval(value=(low + high) / 2, low=low, high=high, how="")
    assert verdict(score, found) == said


def test_what_a_card_says():
    found = scale(
        card(
            validation={
                "threshold_best_bosc": 0.4,
                "real_videos": real_videos(
                    reach=[{"threshold": 0.5, "videos": 1}, {"threshold": 0.4, "videos": 12}],
                    rare_level=0.8,
                    reach_rare_level=2,
                ),
            },
            calibration={"temperature": 2.0},
        )
    )
    assert (found.threshold, found.strong_level, found.why_not_strong) == (0.4, 0.8, "")
    # Clopper and Pearson by SciPy's beta distribution.
    alarms = found.false_alarms
    assert alarms.value == 12 / 200
    assert (alarms.low, alarms.high) == pytest.approx(
        (beta(12, 189).ppf(0.025), beta(13, 188).ppf(0.975))
    )
    assert found.strong_alarms.high == pytest.approx(beta(3, 198).ppf(0.975))
    # sigmoid(logit(0.8) / 2) = sigmoid(log 2) = 2/3, and so on.
    score = Interval(value=0.8, low=0.5, high=16 / 17, how="x")
    calibrated = probability(score, found)
    assert (calibrated.value, calibrated.low, calibrated.high) == pytest.approx((2 / 3, 0.5, 0.8))


def test_too_few_real_videos_leave_it_at_suspicious_and_say_why():
    found = scale(card(validation={"real_videos": real_videos(videos=99)}))
    score = Interval(value=1, low=1, high=1, how="")
    assert verdict(score, found) == "suspicious"
    assert "99 real validation videos cannot show" in found.why_not_strong


def test_older_cards_work_and_say_what_they_lack():
    found = scale(card())
    assert found.threshold == 0.5
    assert "one half" in found.threshold_from
    assert found.false_alarms is None
    assert "does not say how its real validation videos scored" in found.why_not_strong
    assert "no calibration" in found.why_not_calibrated
    assert probability(Interval(value=1, low=1, high=1, how=""), found) is None


def test_a_threshold_outside_the_scores_is_not_taken_and_levels_do_not_fall_below_it():
    assert scale(card(validation={"threshold_best_bosc": -0.3})).threshold == 0.5
    low = real_videos(rare_level=0.2, reach_rare_level=2)
    found = scale(card(validation={"threshold_best_bosc": 0.6, "real_videos": low}))
    assert found.strong_level == 0.6

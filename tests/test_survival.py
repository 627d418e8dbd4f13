"""Leads and best-of-n, against binomial sums of SciPy, drawn test sets and normal theory."""

import numpy as np
import pytest
from scipy.stats import binom, norm, rankdata

from mcxlib import paper
from mcxlib.evaluate import chance
from mcxlib.paper import survival


def exact(bosc, n_real, n_fake):
    """Every value of a BOSC and its probability."""
    real, fake = (binom.pmf(np.arange(n + 1), n, bosc) for n in (n_real, n_fake))
    values = np.add.outer(np.arange(n_real + 1) / n_real, np.arange(n_fake + 1) / n_fake) / 2
    order = np.argsort(values, axis=None)
    return values.ravel()[order], np.outer(real, fake).ravel()[order]


def test_the_best_of_equal_detectors_equals_the_exact_mean_of_the_largest():
    values, probability = exact(0.8, 20, 30)
    below = np.cumsum(probability) ** 8
    mean = values @ np.diff(below, prepend=0) - 0.8
    found = chance.best_of(8, 0.8, 20, 30)
    assert found.mean == pytest.approx(mean)
    ends = [values[np.searchsorted(below, share - 1e-12)] - 0.8 for share in (0.025, 0.975)]
    assert (found.low, found.high) == pytest.approx(ends)
    assert chance.best_of(1, 0.8, 20, 30).mean == pytest.approx(0, abs=1e-12)


def test_several_detectors_drawn_one_by_one():
    """Unequal rates of the two classes, eight detectors, 20,000 test sets."""
    rng, n = np.random.default_rng(0), 20_000
    drawn = rng.binomial(21, 0.7, (n, 8)) / 21 + rng.binomial(14, 0.9, (n, 8)) / 14
    drawn = np.sort(drawn / 2, axis=1)
    found = chance.best_of(8, (0.7, 0.9), 21, 14)
    assert found.mean == pytest.approx(drawn[:, -1].mean() - 0.8, abs=0.002)
    same = np.sort((rng.binomial(20, 0.8, (n, 8)) / 20 + rng.binomial(15, 0.8, (n, 8)) / 15) / 2)
    for lead in (1e-9, 0.03, 0.08):
        share = (same[:, -1] - same[:, -2] >= lead - 1e-12).mean()
        found = chance.chance_of_lead(lead, 8, 0.8, 20, 15)
        assert found == pytest.approx(share, abs=4 * np.sqrt(0.25 / n))


def test_the_chance_of_a_lead_equals_the_exact_sum():
    values, probability = exact(0.9, 12, 15)
    apart = np.abs(np.subtract.outer(values, values)) >= 0.1 - 1e-12
    together = np.outer(probability, probability)[apart].sum()
    assert chance.chance_of_lead(0.1, 2, 0.9, 12, 15) == pytest.approx(together)
    assert chance.chance_of_lead(0, 2, 0.9, 12, 15) == 1
    others, shares = exact(0.8, 12, 15)
    turned = np.greater_equal.outer(others, values - 1e-12)
    together = np.outer(shares, probability)[turned].sum()
    assert chance.chance_of_turning(0.9, 0.8, 12, 15) == pytest.approx(together)
    # Of millions of videos of each class a BOSC is normal.
    deviation = np.sqrt(0.811 * 0.189 / 1.6e6)
    found = chance.chance_of_lead(0.0006, 2, 0.811, 1_600_000, 1_600_000)
    assert found == pytest.approx(2 * norm.sf(0.0006 / deviation), abs=2e-4)


def test_questions_without_an_answer_are_refused():
    with pytest.raises(ValueError, match="at least 2 detectors, not 1"):
        chance.chance_of_lead(0.1, 1, 0.9, 10, 10)
    with pytest.raises(ValueError, match="n_fake must be at least 1, not 0"):
        chance.best_of(8, 0.9, 10, 0)
    with pytest.raises(ValueError, match="bosc"):
        chance.best_of(8, 90.0, 10, 10)


@pytest.fixture(scope="module")
def table():
    return paper.leads()


def cell(table, test_set, against):
    return table[(table["test_set"] == test_set) & (table["against"] == against)].iloc[0]


def test_leads_are_those_of_the_printed_columns(table):
    row = cell(table, "Celeb-DF", "second")
    assert (row["best"], row["bosc"]) == ("MCX-API(RGB+YCbCr)", 90.87)
    assert (row["other"], row["bosc_other"]) == ("MCX-API(RGB+HSV)", 80.18)
    assert cell(table, "Celeb-DF", "others")["other"] == "Seferbekov"
    row = cell(table, "KoDF", "both")  # 81.16 over POI's 81.1
    assert row["lead"] == pytest.approx(0.06)
    assert (row["n_real"], row["n_fake"]) == (265, 734)  # section 4.1
    assert cell(table, "FakeAV", "second")["best"] == "Seferbekov"  # no row of the paper's own
    assert "others" not in set(table.loc[table["test_set"] == "FakeAV", "against"])


def test_how_sure_they_are_by_binomials_alone(table):
    """With as many real videos as fakes, a BOSC is the share of right ones of all: one binomial."""
    rows = table[(table["n_real"] == table["n_fake"]) & (table["lead"] > 0)]
    assert len(rows) >= 5
    for row in rows.itertuples():
        n, b = row.n_real + row.n_fake, (row.bosc + row.bosc_other) / 200
        right = binom.pmf(np.arange(n + 1), n, b)
        apart = np.convolve(right, right[::-1])[n:]  # by 0, 1, ... videos
        least = int(np.ceil(row.lead / 100 * n - 1e-9))
        assert row.p_equal == pytest.approx(2 * apart[least:].sum()), row
    row = cell(table, "KoDF", "both")
    deviation = np.sqrt(0.8113 * 0.1887 * (1 / 265 + 1 / 734) / 2)
    assert row["p_equal"] == pytest.approx(2 * norm.sf(0.0006 / deviation), abs=0.01)


def test_verdicts_by_hand(table):
    assert cell(table, "KoDF", "both")["verdict"] == survival.LOST
    assert cell(table, "Celeb-DF", "others")["verdict"] == survival.SURVIVES
    row = cell(table, "DF", "others")
    # 98.75 over 97.18 on 200 + 200: six videos of 400, all on one side once in 32 tosses.
    assert row["p_nested"] == 2.0**-5
    assert row["p_equal"] > 0.05
    assert row["verdict"] == survival.NESTED
    row = cell(table, "DF", "second")  # 98.75 stands there twice
    assert (row["lead"], row["p_equal"], row["verdict"]) == (0, 1, survival.TIE)


def test_best_of_eight_and_the_sentences(table):
    eight = paper.best_of_eight().set_index("test_set")
    assert (eight["rows"] == 8).all()
    # Mean of the eight printed BOSCs on KoDF: 78.68; the best, 81.16, is within what chance gives.
    assert eight.loc["KoDF", "mean"] == pytest.approx(78.679, abs=1e-3)
    row = eight.loc["KoDF"]
    assert row["gain_low"] < row["best"] - row["mean"] < row["gain_high"]
    assert eight.loc["Celeb-DF", "p_lead"] < 0.001
    said = survival.best_of_eight_words(eight.reset_index())
    assert "KoDF: the best of 8 equal detectors at 78.7 %" in said[1]
    assert "as the best of equal ones would in fewer than 0.1 % of cases" in said[2]
    said = survival.words(table)
    assert said[0].startswith("Survives (6 of 14): F2F, MCX-API(RGB) over")
    assert any("by 0.06 points" in line and line.startswith("Does not survive") for line in said)


# -- AUC ---------------------------------------------------------------------------------------


def test_the_spread_of_an_auc_is_that_of_its_model():
    """Exponential scores, of which the formula is exact; and normal ones, of which it is near."""
    rng, draws, auc, n_real, n_fake = np.random.default_rng(1), 3000, 0.9, 40, 60
    spread = survival.auc_deviation(auc, n_real, n_fake)

    def measured(real, fake):
        ranks = rankdata(np.hstack([real, fake]), axis=1)[:, n_real:]
        return (ranks.sum(1) - n_fake * (n_fake + 1) / 2) / (n_real * n_fake)

    # P(fake > real) = mean of fake / (both means).
    real, fake = rng.exponential(1, (draws, n_real)), rng.exponential(9, (draws, n_fake))
    found = measured(real, fake)
    assert found.mean() == pytest.approx(auc, abs=0.003)
    assert found.std() == pytest.approx(spread, rel=0.05)
    shift = np.sqrt(2) * norm.ppf(auc)
    normal = measured(rng.normal(0, 1, (draws, n_real)), rng.normal(shift, 1, (draws, n_fake)))
    assert normal.std() == pytest.approx(spread, rel=0.15)
    for wrong in ((1.0, 5, 5), (0.9, 0, 5)):
        with pytest.raises(ValueError, match="an AUC between 0 and 1 and a video of each class"):
            survival.auc_deviation(*wrong)


def test_leads_of_auc_by_normal_theory():
    table = paper.auc_leads()
    row = cell(table, "KoDF", "second")
    assert (row["best"], row["auc"], row["other"]) == ("LipForensics", 0.929, "MCX-API(CIELab)")
    for row in table.itertuples():
        mean = (row.auc + row.auc_other) / 2
        deviation = survival.auc_deviation(mean, row.n_real, row.n_fake)
        both = [[1, 0.9], [0.9, 1]]
        for correlation, p in ((np.eye(2), row.p_equal), (both, row.p_paired)):
            # Two AUCs, normal together: the variance of their difference.
            variance = np.array([1, -1]) @ (deviation**2 * np.asarray(correlation)) @ [1, -1]
            assert p == pytest.approx(2 * norm.sf(row.lead, scale=np.sqrt(variance)))
        if 0 < row.needed < 1:
            scale = deviation * np.sqrt(2 * (1 - row.needed))
            assert 2 * norm.sf(row.lead, scale=scale) == pytest.approx(0.05)
        elif row.lead > 0:
            assert row.p_equal < 0.05
    assert cell(table, "FS", "second")["verdict"] == survival.TIE
    assert cell(table, "F2F", "second")["verdict"] == survival.LOST
    assert cell(table, "Average", "others")["verdict"] == survival.PAIRED
    assert cell(table, "Celeb-DF", "others")["verdict"] == survival.SURVIVES
    said = survival.auc_words(table)
    assert said[0].startswith("AUC survives (2 of 14): KoDF, LipForensics over")


def test_claims_about_auc_say_how_sure_the_lead_is():
    printed = paper.claims().set_index("id")["printed"]
    row = cell(paper.auc_leads(), "Average", "second")
    assert (
        f"0.0006 above MCX-API(RGB+CIELab) (equal detectors: in {100 * row['p_equal']:.1f} % of"
        in printed["ycbcr-auc"].said
    )
    assert printed["ycbcr-auc-fs"].said.endswith("level with MCX-API(RGB)")
    assert "equal detectors" not in printed["ycbcr-nt"].said + printed["table2-auc"].said

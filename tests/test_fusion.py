"""Rows beside each other and their fusions, against scikit-learn on the same videos; and nothing
that is chosen depends on a test video."""

from types import SimpleNamespace

import matplotlib
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, log_loss, roc_auc_score

from mcxlib import figures, paper
from mcxlib.evaluate.calibration import fit_temperature
from mcxlib.evaluate.paired import delong, holm, paired_bootstrap
from mcxlib.experiments import beyond, detector_comparison, fusion
from mcxlib.experiments.detector_comparison import KEY, Scored

NAMES = ["A", "B", "C", "noise"]


def videos(dataset, n_real, n_fake, seed):
    rng = np.random.default_rng(seed)
    fake = np.arange(n_real + n_fake) >= n_real
    table = pd.DataFrame(
        {
            "dataset": dataset,
            "video_id": [f"{dataset}{i}" for i in range(len(fake))],
            "manipulation": np.where(fake, "DF", "real"),
            "is_fake": fake,
        }
    )
    for name, apart in zip(NAMES, (1.2, 1.0, 0.8, 0.0), strict=True):
        logit = rng.normal(np.where(fake, apart, -apart) + 0.3, 1.5)
        table[name] = 1 / (1 + np.exp(-logit))
    return table


@pytest.fixture(scope="module")
def scored():
    test = [videos("closed", 30, 60, 1), videos("unseen", 25, 35, 2)]
    return Scored(videos("closed", 40, 80, 0), pd.concat(test, ignore_index=True))


def test_tables_of_single_detectors_become_one_and_what_is_lost_is_counted():
    whole = videos("closed", 4, 4, 0)
    one, other = whole[[*KEY, "A"]], whole[[*KEY, "B"]].iloc[2:].sample(frac=1, random_state=0)
    found = detector_comparison.together([one, one.rename(columns={"A": "B"})], [one, other])
    assert found.names == ["A", "B"]
    assert len(found.test) == 6
    assert found.left_out == {"closed": 2}
    by_id = whole.set_index("video_id")
    for row in found.test.itertuples():
        assert by_id.loc[row.video_id, ["A", "B"]].tolist() == [row.A, row.B]


def test_points_use_the_threshold_of_validation_videos(scored):
    table = detector_comparison.points(scored, draws=200).set_index(["label", "dataset"])
    validation, part = scored.validation, scored.of("unseen")
    tried = np.append(np.sort(validation["A"]), 0.5)
    reached = [balanced_accuracy_score(validation["is_fake"], validation["A"] > t) for t in tried]
    row = table.loc[("A", "unseen")]
    at = balanced_accuracy_score(validation["is_fake"], validation["A"] > row["threshold"])
    assert at == pytest.approx(max(reached))
    expected = balanced_accuracy_score(part["is_fake"], part["A"] > row["threshold"])
    assert row["bosc_chosen"] == pytest.approx(expected)
    assert row["auc"] == pytest.approx(roc_auc_score(part["is_fake"], part["A"]))
    shown = detector_comparison.points_shown(table.reset_index()).set_index(["Row", "Data set"])
    assert shown.loc[("A", "unseen"), "BOSC at 0.5 / chosen / best"].split(" / ")[1] == (
        f"{100 * expected:.1f}"
    )
    said = detector_comparison.points_words(table.reset_index())
    mean = 100 * np.mean([
        balanced_accuracy_score(part["is_fake"], part[name] > 0.5) for name in NAMES
    ])  # fmt: skip
    assert f"unseen: mean BOSC of 4 rows {mean:.1f} % at 0.5" in said[1]


def test_comparisons_are_adjusted_over_the_whole_table(scored):
    table = detector_comparison.comparisons(scored, "A", draws=200)
    assert len(table) == 3 * 2 * 2
    part = scored.of("unseen")
    row = table.query("label == 'noise' and dataset == 'unseen' and metric == 'auc'").iloc[0]
    single = delong(part["is_fake"], part["A"], part["noise"])
    assert (row["estimate"], row["p"]) == (single.estimate, single.p)
    gap = roc_auc_score(part["is_fake"], part["noise"]) - roc_auc_score(part["is_fake"], part["A"])
    assert row["estimate"] == pytest.approx(gap)
    auc = table[table["metric"] == "auc"]
    np.testing.assert_allclose(auc["holm"], holm(auc["p"]))
    row = table.query("label == 'B' and dataset == 'closed' and metric == 'bosc'").iloc[0]
    part = scored.of("closed")
    assert row["p"] == paired_bootstrap(part["is_fake"], part["A"], part["B"], draws=200).p
    said = detector_comparison.comparisons_words(table, "A")
    assert said[0].startswith("AUC: 6 comparisons with A;")
    assert "noise on unseen (-" in said[0]
    with pytest.raises(ValueError, match="no scores of 'X'; there are A, B, C, noise"):
        detector_comparison.comparisons(scored, "X")


def test_one_class_leaves_comparisons_and_calibration_empty_with_a_reason(scored):
    fakes = scored.test[scored.test["is_fake"] | (scored.test["dataset"] == "closed")]
    part = Scored(scored.validation, fakes)
    table = detector_comparison.comparisons(part, "A", draws=200)
    empty = table[table["dataset"] == "unseen"]
    assert empty["p"].isna().all()
    assert empty["holm"].isna().all()
    assert empty["note"].str.contains("only one class: all 35 samples are fake").all()
    assert (
        "3 comparisons of AUC could not be made"
        in detector_comparison.comparisons_words(table, "A")[1]
    )
    found = detector_comparison.calibration(part).set_index(["label", "dataset"])
    assert np.isnan(found.loc[("A", "unseen"), "ece_before"])
    assert "only one class" in found.loc[("A", "unseen"), "note"]
    assert found.loc[("A", "closed"), "ece_before"] > 0


def test_temperatures_are_of_validation_videos_and_their_absence_has_a_reason(scored):
    table = detector_comparison.calibration(scored).set_index(["label", "dataset"])
    fitted = fit_temperature(scored.validation["is_fake"], scored.validation["B"])
    assert table.loc[("B", "unseen"), "temperature"] == fitted.temperature
    curves = detector_comparison.reliability_curves(scored, table.reset_index())
    known = table["temperature"].notna().groupby("label").first().sum()
    counts = curves.groupby(["dataset", "when"])["videos"].sum()
    assert counts.loc["unseen"].tolist() == [known * 60] * 2
    apart = scored.validation.assign(noise=np.where(scored.validation["is_fake"], 0.9, 0.1))
    without = detector_comparison.calibration(Scored(apart, scored.test))
    row = without[without["label"] == "noise"].iloc[0]
    assert "separates all 120" in row["note"]
    assert np.isnan(row["ece_after"])
    assert row["ece_before"] > 0
    assert detector_comparison.calibration_words(without)[-1].startswith(
        "Without a temperature: noise (0.5 separates"
    )


def test_the_mean_and_stacking_are_those_of_scikit_learn(scored):
    table = fusion.results(scored, {"some": NAMES})
    cell = table.set_index(["rule", "dataset"])
    part, validation = scored.of("unseen"), scored.validation
    score = part[NAMES].mean(axis=1)
    assert cell.loc[(fusion.ALL, "unseen"), "auc"] == pytest.approx(
        roc_auc_score(part["is_fake"], score)
    )
    logits = [np.log(t[NAMES] / (1 - t[NAMES])).to_numpy() for t in (validation, part)]
    model = LogisticRegression(class_weight="balanced").fit(logits[0], validation["is_fake"])
    row = cell.loc[(fusion.STACKED, "unseen")]
    stacked = model.predict_proba(logits[1])[:, 1]
    assert row["auc"] == pytest.approx(roc_auc_score(part["is_fake"], stacked), abs=1e-3)
    assert row["bosc"] == pytest.approx(
        balanced_accuracy_score(part["is_fake"], model.predict(logits[1])), abs=0.02
    )
    best = max(NAMES, key=lambda n: roc_auc_score(part["is_fake"], part[n]))
    assert cell.loc[(fusion.UNREACHABLE, "unseen"), "names"] == best
    single = max(NAMES, key=lambda n: roc_auc_score(validation["is_fake"], validation[n]))
    assert cell.loc[(fusion.PICKED, "unseen"), "names"] == single
    assert cell.loc[(fusion.PICKED, "unseen"), "gap"] == 0
    said = fusion.words(table, ["unseen"])
    assert f"picked on validation videos ({single})" in said[0]


def test_members_are_added_while_they_help_on_validation_videos(scored):
    """By hand: no member more, and none other in the last place, does better."""
    validation = scored.validation
    fake = validation["is_fake"]

    def merit(names):
        score = validation[list(names)].mean(axis=1)
        weight = np.where(fake, 1 / fake.sum(), 1 / (~fake).sum())
        loss = log_loss(fake, score, sample_weight=weight)
        return roc_auc_score(fake, score), -loss

    members = fusion.chosen(validation, NAMES).members
    assert len(members) > 1
    assert "noise" not in members
    for number in range(1, len(members)):
        assert merit(members[: number + 1]) > merit(members[:number])
    for other in set(NAMES) - set(members):
        assert merit([*members, other]) <= merit(members)
        assert merit([*members[:-1], other]) <= merit(members)


def test_nothing_that_is_chosen_depends_on_test_videos(scored):
    turned = scored.test.assign(**{name: 1 - scored.test[name] for name in NAMES})
    before = fusion.results(scored, {"some": NAMES}).set_index(["rule", "dataset"])
    after = fusion.results(Scored(scored.validation, turned), {"some": NAMES})
    after = after.set_index(["rule", "dataset"])
    kept = [rule for rule in fusion.RULES]
    assert (before.loc[kept, "names"] == after.loc[kept, "names"]).all()
    first, second = (
        detector_comparison.points(scored, 0),
        detector_comparison.points(Scored(scored.validation, turned), 0),
    )
    assert (first["threshold"] == second["threshold"]).all()
    one = scored.validation[scored.validation["is_fake"]]
    with pytest.raises(ValueError, match="80 validation videos are of one class"):
        fusion.results(Scored(one, scored.test), {"some": NAMES})


def test_families_are_the_colour_spaces_one_row_of_each_detector_and_all():
    labels = {"MCX-API(RGB)": "mcx-api", "MCX-API(HSV)": "mcx-api", "MesoNet": "mesonet"}
    runs = [SimpleNamespace(label=label, detector=name) for label, name in labels.items()]
    assert fusion.families(runs) == {
        "colour spaces": ["MCX-API(RGB)", "MCX-API(HSV)"],
        "detectors": ["MCX-API(RGB)", "MesoNet"],
        "all rows": ["MCX-API(RGB)", "MCX-API(HSV)", "MesoNet"],
    }
    assert fusion.families(runs[:1]) == {}


def test_the_best_on_one_half_is_no_better_on_the_other():
    """Detectors that know nothing: on the other half the best one is at chance again."""
    rng = np.random.default_rng(0)
    table = videos("closed", 20, 20, 0)[KEY]
    names = [f"d{i}" for i in range(8)]
    for name in names:
        table[name] = rng.random(40)
    found = fusion.halves(Scored(table, table), names, rounds=400).iloc[0]
    assert (found["n_real"], found["n_fake"], found["detectors"]) == (10, 10, 8)
    # Halves of one set are complements: what is picked high here is low there.
    assert found["seen"] > found["average"] + 0.05
    assert found["other"] < found["average"] + 0.02
    right = (table[names].to_numpy() > 0.5) == table[["is_fake"]].to_numpy()
    assert found["average"] == pytest.approx(right.mean(), abs=0.01)
    assert 0.1 < found["simulated"] < 0.2
    assert "closed: the best of 8 on half of the videos" in fusion.halves_words(
        found.to_frame().T
    )[0]  # fmt: skip


SOURCE = "synthetic demonstration data"


def drawn(axis, marker):
    """x and y of all points of one marker."""
    lines = [line for line in axis.lines if line.get_marker() == marker]
    return [(float(x), float(y)) for line in lines for x, y in zip(*line.get_data(), strict=True)]


@pytest.fixture(scope="module")
def found(scored):
    calibration = detector_comparison.calibration(scored)
    return {
        "points": detector_comparison.points(scored, 200),
        "compared": detector_comparison.comparisons(scored, "A", draws=200),
        "curves": detector_comparison.reliability_curves(scored, calibration),
        "fused": fusion.results(scored, {"some": NAMES}),
        "halved": fusion.halves(scored, NAMES, rounds=20),
    }


@pytest.mark.parametrize(
    "draw",
    [
        lambda f, s: figures.thresholds(f["points"], s),
        lambda f, s: figures.differences(f["compared"], "A", source=s),
        lambda f, s: figures.reliability(f["curves"], s),
        lambda f, s: figures.fusion(f["fused"], s),
        lambda f, s: figures.halves(f["halved"], s),
    ],
)
def test_figures_say_where_their_numbers_come_from(found, draw):
    marked, plain = draw(found, SOURCE), draw(found, "")
    texts = [text.get_text() for text in marked.figure.findobj(matplotlib.text.Text)]
    assert f"Data: {SOURCE}" in texts
    assert SOURCE in marked.alt
    assert SOURCE not in plain.alt
    assert marked.alt.endswith(".")
    width, height = marked.figure.get_size_inches() * marked.figure.dpi
    assert 200 < height <= width < 1200


def test_figures_draw_the_numbers_of_their_tables(found):
    plate = figures.thresholds(found["points"])
    part = found["points"].query("dataset == 'unseen'")
    across, down = zip(*drawn(plate.figure.axes[1], "s"), strict=True)
    assert across == pytest.approx(100 * part["bosc_chosen"].to_numpy())
    assert down == (0, 1, 2, 3)
    plate = figures.differences(found["compared"], "A")
    part = found["compared"].query("dataset == 'unseen' and metric == 'auc'")
    kept = part[part["holm"] < 0.05]
    filled = [
        line for line in plate.figure.axes[1].lines if line.get_markerfacecolor() == "#0072B2"
    ]
    assert sorted(filled[-1].get_xdata()) == sorted(kept["estimate"])
    plate = figures.fusion(found["fused"])
    part = found["fused"].query(f"dataset == 'unseen' and rule == '{fusion.STACKED}'")
    assert drawn(plate.figure.axes[1], "D")[0][0] == part["auc"].iloc[0]
    leads = paper.leads()
    plate = figures.leads(leads)
    points = [x for x, _ in drawn(plate.figure.axes[0], "o")]
    assert sorted(points) == sorted(leads["lead"])
    # 95 % of the normal distribution: KoDF's two equal detectors at 81.13 %, 265 + 734 videos.
    number = int(leads.index[leads["test_set"] == "KoDF"][0])
    width = plate.figure.axes[0].patches[number].get_width()
    assert width == pytest.approx(196 * (0.8113 * 0.1887 * (1 / 265 + 1 / 734) / 2) ** 0.5)
    empty = figures.reliability(found["curves"].iloc[:0])
    assert "no row has a temperature" in empty.alt


def test_what_was_seen_is_said_whichever_way_it_falls(found):
    said = beyond.saw(found["points"], found["compared"], found["fused"], ["unseen"])
    part = 100 * found["points"].query("dataset == 'unseen'")[
        ["bosc_half", "bosc_chosen", "bosc_best"]
    ].mean()  # fmt: skip
    lost, moved = part["bosc_best"] - part["bosc_half"], part["bosc_chosen"] - part["bosc_half"]
    assert f"lose {lost:.1f} points" in said[0]
    assert ("of them back" in said[0]) == (moved > 0)
    kept = found["compared"].query("metric == 'auc' and holm < 0.05")
    assert f"{len(kept)} of 6 (0 above it, {len(kept)} below)" in said[1]
    assert len(kept) > 0
    none = found["compared"].assign(holm=1.0)
    assert beyond.saw(found["points"], none, found["fused"], ["unseen"])[1].endswith("none of 6.")
    worse = found["points"].assign(bosc_chosen=found["points"]["bosc_half"] - 0.02)
    assert "loses 2.0 more" in beyond.saw(worse, none, found["fused"], ["unseen"])[0]
    gaps = found["fused"].query("dataset == 'unseen'").set_index("rule")["gap"]
    best = gaps[list(fusion.RULES[1:])].idxmax()
    auc = found["fused"].query("dataset == 'unseen'").set_index("rule")["auc"][best]
    assert (
        f"best on unseen sets ({best}, some) has an AUC of {auc:.3f}, {gaps[best]:+.3f}" in said[2]
    )
    assert "no unseen set has both" in beyond.saw(
        found["points"], found["compared"], found["fused"].iloc[:0], []
    )[2]  # fmt: skip

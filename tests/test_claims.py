"""The paper's claims: each with two verdicts, the printed one from the CSVs by pandas alone, the
measured one from small tables worked by hand."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage, stats
from sklearn.linear_model import LinearRegression

from mcxlib import claims, paper
from mcxlib.claims import measured, networks, page
from mcxlib.claims.material import OPEN, OTHER, SAME, Material, over_videos
from mcxlib.config import load
from mcxlib.method import colorspace
from mcxlib.paper import statements
from mcxlib.synthetic import render_person

ROOT = Path(__file__).parents[1]
CSV = {n: pd.read_csv(ROOT / f"mcxlib/paper/table{n}.csv") for n in (1, 2, 3)}


@pytest.fixture(scope="module")
def printed():
    return paper.claims().set_index("id")["printed"]


# -- what the printed tables say --------------------------------------------------------------


def test_every_claim_has_a_place_words_a_verdict_and_what_would_test_it():
    found = paper.claims()
    assert 30 <= len(found) <= 40
    assert found["id"].is_unique
    assert list(dict.fromkeys(found["section"])) == [
        "Abstract",
        "4.2.1",
        "4.2.2",
        "5.1",
        "5.2",
        "6",
    ]
    assert found["claim"].str.len().between(20, 110).all()
    assert (found["tests"].str.len() > 15).all()
    verdicts = {finding.verdict for finding in found["printed"]}
    assert verdicts == {"agrees", "contradicted", "not in the tables"}
    # Every function that the file names exists, and every function is named.
    assert set(found["measured"]) - {""} == set(page.MEASURES)
    raw = pd.read_csv(ROOT / "mcxlib/paper/claims.csv")
    assert set(raw["printed"].dropna()) == {"cell", *statements.CHECKS}


def test_claims_about_cells_by_pandas_alone(printed):
    """The number and the rank of each, from the transcribed tables."""
    raw = pd.read_csv(ROOT / "mcxlib/paper/claims.csv").dropna(subset="table")
    for claim in raw.itertuples():
        table = CSV[int(claim.table)].rename(columns={"bosc_percent": "bosc", "acc_percent": "acc"})
        if "test_set" in table:
            table = table[table["test_set"] == claim.test_set]
        values = table.set_index("method")[claim.metric]
        right = claim.method in values.index
        if right:
            value = values[claim.method]
            right = np.isnan(claim.stated) or value == claim.stated
            if not np.isnan(claim.rank_claimed):
                right &= (values > value).sum() + 1 == claim.rank_claimed
        assert (printed[claim.id].verdict == "agrees") == right, claim.id
    # Two rows print 98.75 on DF; no row on NT is above 96.75, and two have that.
    assert printed["rgb-df"].said == (
        "Table 1 prints 98.75 %, not 98.87 %; rank 1 of its column, level with MCX-API(RGB+HSV)"
    )
    assert printed["ycbcr-nt"].said.startswith("Table 1 has no such row, and in that column prints")
    assert "no more than 96.75 %" in printed["ycbcr-nt"].said
    assert (
        printed["kodf-auc"].said == "Table 3 prints 0.90; rank 2 of its column, behind LipForensics"
    )


def test_claims_about_many_cells_by_pandas_alone(printed):
    third = CSV[3].pivot(index="method", columns="test_set", values="bosc_percent")
    mean = third.dropna().mean(axis=1)
    ours = mean.index.str.startswith("MCX")
    assert printed["generalises"].verdict == "contradicted"
    assert f"Seferbekov {mean['Seferbekov [6]']:.1f} %" in printed["generalises"].said
    assert f"{mean[ours].idxmax()}, {mean[ours].max():.1f} %" in printed["generalises"].said
    rivals = third[~third.index.str.startswith("MCX")].max()
    led = third[third.index.str.startswith("MCX")] > rivals
    assert printed["better-in-general"].verdict == "contradicted"
    assert f"leads in {led.any().sum()} of 3 columns" in printed["better-in-general"].said
    assert f"no single row leads in more than {led.sum(axis=1).max()}" in (
        printed["better-in-general"].said
    )
    assert third[third.index.str.startswith("MCX")].idxmax().nunique() == 3
    assert printed["no-single"].verdict == "agrees"
    first = CSV[1].pivot(index="method", columns="test_set", values="bosc_percent")
    spaces = first.index.str.count(r"\+") + 1
    own = first[first.index.str.startswith("MCX")]
    assert (own["NT"] <= own[["DF", "F2F", "FS"]].min(axis=1)).sum() == 6
    assert "in 6 of 6 proposed rows" in printed["real-nt"].said
    for n in (2, 3):
        mean = first.loc[first.index.str.startswith("MCX") & (spaces == n), "Average"].mean()
        assert mean < first.loc["MCX-API(RGB)", "Average"]
        stated = float(re.search(rf"with {n}, mean ([\d.]+) %", printed["more-spaces"].said)[1])
        assert stated == pytest.approx(mean, abs=0.0051)
    second = CSV[2].set_index("method")
    rival = second.drop(["API-Net", "MCX-API(RGB)"]).max()
    ahead = second.loc["MCX-API(RGB)"] - rival
    assert f"Ahead by {ahead['acc_percent']:.2f} points and by {ahead['auc']:.4f} AUC" in (
        printed["table2"].said
    )
    for name in ("MCX-API(RGB)", "Xception [14]", "API-Net(ResNet101) [58]"):
        assert f"{first.loc[name, 'Average']:.2f} %" in printed["pairs-work"].said


def test_a_changed_digit_changes_a_verdict(monkeypatch):
    table = paper.table3()
    table.loc[table["label"] == "MCX-API(RGB)", "bosc"] = 96.0
    monkeypatch.setattr(paper.tables, "table3", lambda: table.copy())
    changed = {row.id: row.printed.verdict for row in paper.claims().itertuples()}
    assert changed["generalises"] == changed["better-in-general"] == "agrees"
    assert changed["no-single"] == "contradicted"


# -- what the digits of Table 3 say -----------------------------------------------------------


def test_the_chance_of_a_lead_by_hand():
    """One real and one fake video at 1/2: BOSC is 0, 1/2 or 1 with 1/4, 1/2, 1/4."""
    half = {"rate": 0.5, "n_real": 1, "n_fake": 1}
    # The rival has 0: a lead of 1/2 with 3/4. It has 1/2: with 1/4. It has 1: never.
    assert paper.lead_chance(1, 0.5, **half) == pytest.approx(3 / 16 + 1 / 8)
    # The best of two: 1 - (1/4)^2 and 1 - (3/4)^2.
    assert paper.lead_chance(2, 0.5, **half) == pytest.approx(15 / 64 + 7 / 32)
    assert paper.lead_chance(3, 0.5, **half, fixed=True) == pytest.approx(1 - (3 / 4) ** 3)
    assert paper.lead_chance(4, 0.0, **half) > paper.lead_chance(4, 0.01, **half)


def test_the_chance_of_a_lead_against_a_simulation():
    rng, n = np.random.default_rng(0), 40_000
    shape = (n, 9)
    bosc = (rng.binomial(265, 0.811, shape) / 265 + rng.binomial(734, 0.811, shape) / 734) / 2
    simulated = (bosc[:, 1:].max(axis=1) - bosc[:, 0] >= 0.0006).mean()
    exact = paper.lead_chance(8, 0.0006, 0.811, **paper.KODF_TEST)
    assert exact == pytest.approx(simulated, abs=4 * np.sqrt(0.25 / n))
    # One against a fixed number: the two binomials' own distribution.
    real, fake = np.arange(266), np.arange(735)
    joint = np.outer(stats.binom.pmf(real, 265, 0.811), stats.binom.pmf(fake, 734, 0.811))
    reached = (real[:, None] / 265 + fake / 734) / 2 >= 0.811 + 0.0006
    one = paper.lead_chance(1, 0.0006, 0.811, **paper.KODF_TEST, fixed=True)
    assert one == pytest.approx(joint[reached].sum())


def test_a_chance_of_nothing_is_refused():
    for wrong in ({"detectors": 0}, {"rate": 1.0}, {"n_real": 0}):
        given = {"detectors": 8, "lead": 0, "rate": 0.5, "n_real": 1, "n_fake": 1} | wrong
        with pytest.raises(ValueError, match="a rate between 0 and 1"):
            paper.lead_chance(**given)


def test_the_page_on_the_papers_numbers_says_what_is_computed():
    text = " ".join((ROOT / "book/paper_numbers.md").read_text(encoding="utf-8").split())
    for row in paper.headline().itertuples():
        where, row_label = paper.shown(row.test_set), re.escape(row.label)
        assert re.search(
            rf"\| {where} \| {row_label} \| {row.bosc} \| {row.other} \| "
            rf"{row.other_bosc} \| {row.lead:g} \|",
            text,
        )
    assert f"best of {['eight'][paper.headline()['rows'].iloc[0] - 8]} proposed rows" in text
    other, own = paper.means().iloc[0], paper.means().query("origin == 'proposed'").iloc[0]
    assert f"{other['mean']:.1f} % for {other['label']}'s detector" in text
    assert f"{own['mean']:.1f} % for the best proposed row, {own['label']}, whose lowest" in text
    assert f"cell is {own['lowest']:.2f} %" in text
    kodf = paper.headline().set_index("test_set").loc["KoDF"]
    lead, rate = kodf["lead"] / 100, kodf["other_bosc"] / 100
    best, one = (100 * paper.lead_chance(n, lead, rate, **paper.KODF_TEST) for n in (8, 1))
    assert f"probability of {kodf['other_bosc']} %" in text
    assert (
        f"{kodf['lead']} points or more is {best:.0f} %, and that of a single one {one:.0f} %"
        in (text)
    )


# -- what was measured here -------------------------------------------------------------------


def cells(name, values):
    """A column of a table: label -> (BOSC, low, high), AUC a hundredth of it."""
    rows = []
    for label, (value, low, high) in values.items():
        spec = paper.entry(label).colorspace
        method = "mcx-api" if label.startswith("MCX") else "other"
        row = {"label": label, "method": method, "colorspace": spec, "test_set": name}
        row |= {"variant": "", "seeds": 1, "source": "synthetic demonstration data"}
        for metric, scale in (("bosc", 1), ("auc", 100)):
            ends = zip(("measured", "low", "high"), (value, low, high), strict=True)
            row |= {f"{metric}_{end}": number / scale for end, number in ends}
        rows.append(row)
    return pd.DataFrame(rows)


def material(closed=None, cross=None, **more):
    empty = cells("none", {"MCX-API(RGB)": (50, 40, 60)})
    return Material(
        load("test"), empty if closed is None else closed, empty if cross is None else cross, **more
    )


def claim(**about):
    return pd.Series({"label": "MCX-API(RGB)", "test_set": "Average", "metric": "bosc"} | about)


@pytest.mark.parametrize(
    ("rgb", "wanted", "verdict", "ranks"),
    [
        ((95, 92, 98), 1, SAME, "1 to 1"),  # above all three
        ((80, 75, 91), 1, OPEN, "1 to 3"),  # meets the first's interval
        ((80, 75, 85), 1, OTHER, "2 to 3"),  # surely behind it
        ((80, 75, 85), 2, OPEN, "2 to 3"),
        ((50, 45, 55), 4, SAME, "4 to 4"),
        ((50, np.nan, np.nan), 1, OPEN, "1 to 4"),  # no interval: nothing is sure
    ],
)
def test_a_rank_by_intervals(rgb, wanted, verdict, ranks):
    table = cells(
        "Average",
        {
            "MCX-API(RGB)": rgb,
            "MCX-API(HSV)": (90, 89, 91),
            "Xception": (78, 70, 86),
            "MesoNet": (60, 58, 62),
        },
    )
    for metric in ("bosc", "auc"):
        found = measured.rank(material(table), claim(rank_claimed=wanted, metric=metric))
        assert found.verdict == verdict
        assert f"{ranks} by the intervals" in found.said
    assert "of 4 measured rows" in found.said


def test_rows_with_other_settings_and_rows_not_run_are_no_rivals():
    table = cells("Average", {"MCX-API(RGB)": (70, 65, 75), "MCX-API(HSV)": (90, 89, 91)})
    table.loc[1, "variant"] = "0a1b2c"
    assert measured.rank(material(table), claim(rank_claimed=1)).verdict == SAME
    found = measured.rank(material(table), claim(label="MCX-API(YCbCr)", rank_claimed=1))
    assert found[:2] == ("not testable here", "MCX-API(YCbCr) was not run")


def test_more_spaces_and_three_channels():
    values = {
        "MCX-API(RGB)": (80, 75, 85),
        "MCX-API(HSV)": (60, 55, 65),
        "MCX-API(RGB+HSV)": (82, 78, 90),
        "MCX-API(RGB+YCbCr)": (84, 79, 90),
        "MCX-API(RGB+HSV+CIELab)": (70, 65, 74),
    }
    found = measured.more_spaces(material(cells("Average", values)), claim())
    assert found.verdict == OPEN
    assert "with 2, mean 83.0 %; with 3, mean 70.0 %; of 3 rows with more 0 are" in found.said
    assert found.said.endswith("0 are surely ahead, 1 surely behind")
    behind = values | dict.fromkeys(("MCX-API(RGB+HSV)", "MCX-API(RGB+YCbCr)"), (60, 50, 70))
    assert measured.more_spaces(material(cells("Average", behind)), claim()).verdict == SAME
    ahead = cells("Average", values | {"MCX-API(RGB+YCbCr)": (95, 90, 98)})
    found = measured.more_spaces(material(ahead), claim())
    assert found.verdict == OTHER
    assert "of 3 rows with more 1 are surely ahead, 1 surely behind" in found.said
    assert measured.three_channels(material(ahead), claim()).verdict == SAME
    close = cells("Average", values | {"MCX-API(HSV)": (79, 70, 88)})
    assert measured.three_channels(material(close), claim()).verdict == OPEN


def test_no_single_configuration_by_hand():
    a, b = "MCX-API(RGB)", "MCX-API(HSV)"
    sets = {"FakeAV": (90, 60), "KoDF": (60, 90), "Celeb-DF": (70, 70)}
    tables = [
        cells(name, {a: (x, x - 5, x + 5), b: (y, y - 5, y + 5), "Xception": (99, 98, 100)})
        for name, (x, y) in sets.items()
    ]
    found = measured.best_differs(material(cross=pd.concat(tables)), claim())
    assert found.verdict == SAME
    assert "0 of 2 rows are surely behind on no set" in found.said
    tables[1] = cells("KoDF", {a: (85, 80, 90), b: (90, 85, 95)})
    found = measured.best_differs(material(cross=pd.concat(tables)), claim())
    assert found.verdict == OPEN
    unseen = measured.unseen_means(material(cross=pd.concat(tables[:1] + tables[2:])), claim())
    assert unseen.verdict == "not testable here"


def test_people_in_both_parts_counted_from_the_published_pairs():
    """By pandas: a test fake's target is 800 or above, and 200 targets have four fakes each."""
    pairs = pd.read_csv(ROOT / "mcxlib/data/datasets/splits/faceforensics_official.csv")
    swaps = pd.concat([pairs[["first", "second"]], pairs[["second", "first"]].set_axis(
        ["first", "second"], axis=1)])  # fmt: skip
    test, train = swaps[swaps["first"] >= 800], swaps[swaps["first"] < 600]
    people = [set(part["first"]) | set(part["second"]) for part in (test, train)]
    shared = people[0] & people[1]
    shown = test["first"].isin(shared) | test["second"].isin(shared)
    found = measured.shared_people(material(), claim())
    assert found.verdict == OTHER
    assert f"{len(shared)} people are in both parts" in found.said
    assert f"{4 * shown.sum()} of {4 * len(test)} test fakes show one" in found.said
    # As the page on the real data says.
    words = " ".join((ROOT / "book/real_data.md").read_text(encoding="utf-8").split())
    assert f"{len(shared)} people are both in its training and its test part" in words
    assert f"{4 * shown.sum()} of the {4 * len(test)} test fakes" in words


def test_redundant_channels_against_scikit_learn():
    import torch

    found = measured.redundancy(material(), claim())
    rgb = torch.rand(1, 3, 60, 60, generator=torch.Generator().manual_seed(1))
    x = rgb[0].reshape(3, -1).T.numpy()
    for name in ("ycbcr", "lab", "hsv"):
        y = colorspace.stack(rgb, name)[0].reshape(3, -1).T.numpy()
        scores = [LinearRegression().fit(x, c).score(x, c) for c in y.T]
        words = re.search(rf"{colorspace.label(name)} ([\d., ]+\d)", found.said)[1]
        stated = [float(number) for number in words.split(",")]
        np.testing.assert_allclose(stated, scores, atol=0.03)
    # HSV's channels are not linear in R, G and B, so that the claim holds for two of three.
    assert found.verdict == OPEN
    assert "(YCbCr and CIELab)" in found.said


def test_a_mean_over_videos_weighs_videos_and_not_frames():
    values = [1, 1, 1, 1, 0, 0.5]
    found = over_videos(values, ["a"] * 4 + ["b", "c"])
    assert found.value == pytest.approx(0.5)
    expected = stats.ttest_1samp([1, 0, 0.5], 0).confidence_interval()
    assert expected.low < 0  # and a share lies within 0 and 1
    assert expected.high > 1
    assert (found.low, found.high) == (0, 1)
    wide = over_videos(values, ["a"] * 4 + ["b", "c"], (-9, 9))
    assert (wide.low, wide.high) == pytest.approx(tuple(expected))
    assert [wide.against(v) for v in (-1, 0.5, 2)] == [SAME, OPEN, OTHER]
    assert np.isnan(over_videos([1, 0], ["a", "a"]).low)
    # Two alike: SciPy's one-sided bound of two in two, and the others may be anything.
    like = stats.binomtest(2, 2, alternative="greater").proportion_ci(0.95).low
    assert over_videos([1, 1], ["a", "b"]) == pytest.approx((1, like, 1))
    same = over_videos([0.5, 0.5], ["a", "b"], (-1, 1))
    assert same == pytest.approx((0.5, 0.5 * like - (1 - like), 0.5 * like + (1 - like)))
    assert over_videos([1, 0], ["a", "a"]).against(0) == OPEN


def test_landmarks_of_a_drawn_face_give_two_eyes_and_a_mouth():
    frame = render_person((2,), 160, 160, frames=1)[0]
    blank = np.full_like(frame, 128)
    face, none = networks.eyes_and_mouth_of(np.stack([frame, blank]).transpose(0, 3, 1, 2) / 255)
    parts, count = ndimage.label(face)
    assert count == 3
    (y1, x1), (y2, x2), (y3, x3) = ndimage.center_of_mass(face, parts, [1, 2, 3])
    # The mouth is labelled last, being lowest: below both eyes, and between them.
    assert y3 > max(y1, y2) + 10
    assert abs(y1 - y2) < 12
    assert min(x1, x2) < x3 < max(x1, x2)
    assert not none.any()


def test_the_region_of_eyes_and_mouth_by_hand():
    marks = np.array([[10, 10], [30, 10], [20, 20], [14, 30], [26, 30]], float)
    region = networks.around(marks, (48, 48))
    reach = networks.AROUND * 20
    inside = [(10, 10), (30, 10), (20, 30), (14 - 6, 30), (20, 30 + 7), (10, 17)]
    outside = [(20, 10), (20, 20), (14 - 8, 30), (20, 38), (10, 18), (0, 0)]
    assert reach == 7
    assert all(region[y, x] for x, y in inside)
    assert not any(region[y, x] for x, y in outside)
    assert not networks.around(None, (48, 48)).any()


def stored(folder, name, points, fake_score=None):
    """Features and scores of three people, real and as DF, two frames each; ``points`` (12, 2)."""
    keys = [
        {"video_id": f"{kind}/{person}", "frame_index": frame, "manipulation": kind}
        | {"dataset": "FaceForensics++", "is_fake": kind == "DF", "target_id": str(person)}
        for kind in ("real", "DF")
        for person in range(3)
        for frame in range(2)
    ]
    table = pd.DataFrame(keys)
    for kind in ("features", "scores"):
        (folder / name / kind).mkdir(parents=True)
    features = table.drop(columns="target_id").assign(features=list(np.asarray(points, float)))
    features.to_parquet(folder / name / "features/FaceForensics++.parquet")
    scores = table.assign(split="test", fake_score=0.5 if fake_score is None else fake_score)
    scores.to_parquet(folder / name / "scores/FaceForensics++.parquet")
    return table


def test_separation_and_neighbours_leave_out_the_own_person(home, monkeypatch):
    monkeypatch.setattr(networks, "NEIGHBOURS", 3)
    runs = home / "runs/test"
    with pytest.raises(FileNotFoundError, match="has no stored features"):
        networks.near(load("test"))
    rng = np.random.default_rng(0)
    apart = np.repeat([0, 100], 6)[:, None] + rng.normal(size=(12, 2))
    stored(runs, "mcx-api_rgb_seed0", apart)
    points = rng.normal(size=(12, 2))
    table = stored(runs, "api-net_rgb_seed0", points)
    found = networks.near(load("test"))
    own = table["manipulation"].to_numpy()[:, None]
    # A frame's nearest are of the four frames of two other people of its class.
    assert (found.classes == own).all()
    said = networks.separation(material(), claim())
    assert "MCX-API(RGB) 1.00 (0.61 to 1.00)" in said.said  # six videos alike: 0.05 ** (1 / 6)
    # API-Net's from distances in which the own person is infinitely far.
    away = np.linalg.norm(points[:, None] - points[None], axis=-1)
    people = table["target_id"].to_numpy()
    away[people[:, None] == people] = np.inf
    nearest = table["manipulation"].to_numpy()[np.argsort(away, axis=1)[:, :3]]
    share = pd.Series((nearest == own).mean(axis=1)).groupby(table["video_id"]).mean()
    assert 0.2 < share.mean() < 0.8
    assert f"API-Net {share.mean():.2f} (" in said.said
    assert said.verdict == SAME
    assert networks.mixed_with_real(material(), claim()).said.endswith("real frames are: none")


def test_classes_that_do_not_lie_apart_are_not_well_separated(home, monkeypatch):
    """However much worse the other network's are."""
    monkeypatch.setattr(networks, "NEIGHBOURS", 2)
    swapped = [[50 * person + 0.1 * frame, 0] for person in range(3) for frame in range(2)]
    for name in ("mcx-api_rgb_seed0", "api-net_rgb_seed0"):
        # Each fake lies at the next person's real frames.
        points = [*swapped, *np.roll(swapped, 2, axis=0)]
        stored(home / "runs/test", name, points)
    found = networks.separation(material(), claim())
    assert "MCX-API(RGB) 0.00 (0.00 to 0.39)" in found.said
    assert found.verdict == OTHER
    mixed = networks.mixed_pairs(material(), claim())
    assert mixed.said.endswith("as a share of all neighbours: DF with real 1.000")


def test_stray_real_frames_and_errors(home, monkeypatch):
    monkeypatch.setattr(networks, "NEIGHBOURS", 2)
    real = [[(0, person), (100, 50 * person)] for person in range(3)]
    # The second frame of each real video lies at the next person's fake one, and is called fake.
    fake = [[(100, 50 * ((person + 2) % 3))] * 2 for person in range(3)]
    points = np.array([*real, *fake], float).reshape(12, 2)
    wrong = np.array([0.1, 0.9] * 3 + [0.9] * 6)
    stored(home / "runs/test", "mcx-api_rgb_seed0", points, wrong)
    found = networks.stray_real(material(), claim())
    assert found.said.startswith("3 of 6 real frames have mostly fakes among their neighbours; ")
    assert "called fake are 100 % of these and 0 % of the others" in found.said
    assert found.verdict == OPEN  # three videos are too few, however large the difference


# -- the page ---------------------------------------------------------------------------------


def test_written_files_and_what_is_missing_is_said(home):
    table = cells("Average", {"MCX-API(RGB)": (95, 92, 98), "MCX-API(HSV)": (60, 58, 62)})
    given = material(table)
    paths = claims.write(given, home / "made")
    assert [path.name for path in paths] == ["claims.csv", "claims.json", "claims.md"]
    stored = json.loads(paths[1].read_text(encoding="utf-8"))
    found = pd.DataFrame(stored["claims"]).set_index("id")
    assert stored["format"] == 2
    assert len(found) == len(paper.claims())
    assert found.loc["rgb-average", "measured_verdict"] == SAME
    assert found.loc["rgb-average", "data"] == "synthetic demonstration data"
    assert found.loc["redundant", "data"] == "no videos: uniform colours"
    for name, words in (
        ("ff", "A number of the real videos; of rendered ones here BOSC 95.0 % (92.0 to 98.0)"),
        ("rgb-df", "MCX-API(RGB) was not run"),
        ("separated", "MCX-API(RGB) has no stored features"),
        ("attention", "MCX-API(RGB) and API-Net was not run"),
        ("pairs-work", "The study of pairing was not run"),
        ("double-eyebrows", "It is about one picture, which these data do not have"),
    ):
        row = found.loc[name]
        assert (row["measured_verdict"], row["measured"]) == ("not testable here", words)
    printed = pd.read_csv(paths[0]).set_index("Claim")
    assert printed.loc["RGB has the highest BOSC on average, 98.48 %", "Printed tables"] == (
        "**agrees**: Table 1 prints 98.48 %; rank 1 of its column."
    )
    said = paths[2].read_text(encoding="utf-8")
    assert f"Of {len(found)} claims" in said
    rendered = found[~found["data"].str.startswith("no videos")]
    assert len(found) - len(rendered) == 2
    for verdicts in (found["printed_verdict"], rendered["measured_verdict"]):
        for verdict, count in verdicts.value_counts().items():
            assert f"{verdict} {count}" in said
    assert "By what needs no videos: " in said
    assert "synthetic demonstration data" in said


def test_rendered_data_never_confirm_or_refute():
    """The two verdicts have no word in common."""
    words = {SAME, OTHER, OPEN, "not testable here"}
    assert not words & {finding.verdict for finding in paper.claims()["printed"]}
    text = (ROOT / "book/claims.md").read_text(encoding="utf-8")
    for word in words | {"agrees", "contradicted"}:
        assert f"**{word}**" in text
    assert "can neither\nconfirm nor refute the paper" in text

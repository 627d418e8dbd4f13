"""Tables from hand-made scores, against values worked by hand and against scikit-learn."""

import json
import re
import shutil
from importlib.metadata import version

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, roc_auc_score

from mcxlib import CLASSES, paper, provenance, schemas, tables
from mcxlib.evaluate import videos
from mcxlib.settings import recipe
from mcxlib.tables import headline, results, seeds

# Fake scores of four frames (two videos) a class. At 0.5: 3 of 4 real frames are right.
HAND = {
    "real": (0.1, 0.2, 0.3, 0.6),
    "DF": (0.9, 0.8, 0.7, 0.55),  # all 4 right; 15 of 16 pairs in order
    "F2F": (0.9, 0.2, 0.7, 0.4),  # 2 right; 12.5 of 16 (one tie)
    "FS": (0.5, 0.5, 0.5, 0.5),  # 0 right, 0.5 is called real; 12 of 16
    "NT": (0.95, 0.95, 0.95, 0.95),  # 4 right; 16 of 16
}
BOSC = {"DF": 87.5, "F2F": 62.5, "FS": 37.5, "NT": 87.5, "Average": 68.75}
AUC = {"DF": 15 / 16, "F2F": 12.5 / 16, "FS": 12 / 16, "NT": 1.0, "Average": 0.8671875}
# Two videos of two frames a class. Means: real 0.4 and 0.7, fake 0.6 and 0.2.
CROSS = {"real": (0.1, 0.7, 0.6, 0.8), "Celeb-synthesis": (0.9, 0.3, 0.2, 0.2)}


def frames(dataset, kinds, split="test"):
    rows = []
    for kind, scores in kinds.items():
        for i, score in enumerate(scores):
            p_real = np.float32(1 - score)
            rest = (1 - p_real) / 4
            video = f"{split}-{kind}-{i // 2}"
            about = (dataset, video, i % 2, split, kind != "real", kind, str(i), "")
            rows.append((*about, p_real, rest, rest, rest, rest))
    columns = ["dataset", "video_id", "frame_index", "split", "is_fake", "manipulation"]
    columns += ["target_id", "donor_id", *(f"p_{name}" for name in CLASSES)]
    return pd.DataFrame(rows, columns=columns)


def store(runs_dir, scores, method="mcx-api", spec="rgb", seed=0, preset="demo", digest=""):
    run_id = f"{method}_{spec}_seed{seed}" + (f"_{digest}" if digest else "")
    folder = runs_dir / run_id / "scores"
    folder.mkdir(parents=True)
    config = {"run_id": run_id, "method": method, "colorspace": spec, "backbone": "slim_xception"}
    text = json.dumps(config | {"seed": seed, "preset": preset})
    (folder.parent / "config.json").write_text(text)
    for name, part in scores.groupby("dataset"):
        part.to_parquet(folder / f"{name}.parquet", index=False)
    return folder.parent


def every(closed=HAND, cross=CROSS):
    parts = [frames("FaceForensics++", closed), frames("Celeb-DF-v2", cross)]
    # Validation frames with every decision wrong: whatever uses them is far off.
    wrong = {kind: (0.9,) * 4 if kind == "real" else (0.1,) * 4 for kind in HAND}
    return pd.concat([*parts, frames("FaceForensics++", wrong, "val")], ignore_index=True)


def random_scores(seed):
    rng = np.random.default_rng(seed)
    kinds = {name: rng.random(40).round(2) for name in HAND}
    parts = [frames("FaceForensics++", kinds)]
    for dataset in tables.DATASETS.values():
        parts.append(frames(dataset, {k: rng.random(30) for k in ("real", "made", "made too")}))
    return pd.concat(parts, ignore_index=True)


def cells(table, label):
    return table.query("label == @label").set_index("test_set")


def printed(file):
    """A table to print: {row: {(group, column): text}}, rows without marks of notes."""
    groups, columns, *rows = pd.read_csv(
        file, header=None, dtype=str, keep_default_na=False
    ).values.tolist()
    for place in range(2, len(groups)):
        groups[place] = groups[place] or groups[place - 1]
    names = list(zip(groups, columns, strict=True))[1:]
    return {r[0].rstrip("¹²³⁴"): dict(zip(names, r[1:], strict=True)) for r in rows if any(r[1:])}


def printed_layout(table):
    return tables.show(table).printed


def measured(row):
    return {name: text.strip("*") for name, text in row.items() if "measured" in name[0]}


def test_closed_set_by_hand(tmp_path):
    store(tmp_path, every())
    row = cells(tables.closed_set(tmp_path), "MCX-API(RGB)")
    assert row["bosc_measured"].to_dict() == pytest.approx(BOSC)
    assert row["auc_measured"].to_dict() == pytest.approx(AUC)
    assert row["bosc_paper"].to_dict() == {
        "DF": 98.75, "F2F": 99.90, "FS": 98.5, "NT": 96.75, "Average": 98.48
    }  # fmt: skip
    assert row[["n_real", "n_fake"]].loc["DF"].tolist() == [4, 4]
    assert set(row["status"]) == {"measured"}
    assert set(row["source"]) == {"synthetic demonstration data"}
    assert row["bosc_sd"].isna().all()


def test_overall_by_hand_gives_bosc_and_accuracy_apart(tmp_path):
    store(tmp_path, every())
    row = cells(tables.overall(tmp_path), "MCX-API(RGB)").loc["overall"]
    # Right: 3 real, 4 DF, 2 F2F, 0 FS, 4 NT of 20.
    assert row["acc_measured"] == pytest.approx(65.0)
    assert row["bosc_measured"] == pytest.approx(68.75)
    assert row["auc_measured"] == pytest.approx(0.8671875)
    assert (row["acc_paper"], row["paper_measure"]) == (98.48, "BOSC")
    other = cells(tables.overall(tmp_path), "M2TR").loc["overall"]
    assert (other["acc_paper"], other["paper_measure"]) == (97.93, "accuracy")


def test_cross_dataset_by_hand_is_by_video(tmp_path):
    store(tmp_path, every())
    row = cells(tables.cross_dataset(tmp_path), "MCX-API(RGB)")
    # Video means: real 0.4 right, 0.7 wrong; fake 0.6 right, 0.2 wrong; one pair of four in order.
    assert row.loc["Celeb-DF", ["bosc_measured", "auc_measured"]].tolist() == [50.0, 0.25]
    assert row.loc["Celeb-DF", ["n_real", "n_fake"]].tolist() == [2, 2]
    assert row["status"].to_dict() == {
        "FakeAV": "not run", "KoDF": "not run", "Celeb-DF": "measured"
    }  # fmt: skip
    assert row.loc["KoDF", ["bosc_paper", "auc_paper"]].tolist() == [78.09, 0.87]
    assert np.isnan(row.loc["KoDF", "bosc_measured"])


def test_seeds_are_averaged_and_their_spread_given(tmp_path):
    store(tmp_path, every())
    better = HAND | {"FS": (0.7, 0.7, 0.7, 0.7)}  # BOSC 87.5, AUC 1
    store(tmp_path, every(better), seed=1)
    row = cells(tables.closed_set(tmp_path), "MCX-API(RGB)").loc["FS"]
    assert row["seeds"] == 2
    assert row["bosc_measured"] == pytest.approx((37.5 + 87.5) / 2)
    assert row["bosc_sd"] == pytest.approx(50 / np.sqrt(2))
    assert row["auc_measured"] == pytest.approx((0.75 + 1) / 2)
    shown = tables.wide(tables.closed_set(tmp_path)).set_index("Method")
    assert shown.loc["MCX-API(RGB)", "FS measured"] == "62.50±35.36 / 0.8750±0.1768"
    # In print a cell may break before the spread.
    shown = [
        cell.strip("*") for row in printed_layout(tables.closed_set(tmp_path)).rows for cell in row
    ]
    assert any(cell.startswith("62.50 ±35.36") for cell in shown)


def test_all_paper_rows_and_measured_extras_in_order(tmp_path):
    store(tmp_path, every(), digest="0a1b2c")
    for spec in ("ycbcr", "hsv", "rgb+hsv"):
        store(tmp_path, every(), spec=spec)
    table = tables.closed_set(tmp_path)
    labels = list(dict.fromkeys(table["label"]))
    printed = list(dict.fromkeys(paper.table1()["label"]))
    extras = ["MCX-API(HSV)", "MCX-API(YCbCr)", "MCX-API(RGB), other settings 0a1b2c"]
    assert labels == printed + extras
    assert set(table.query("label in @extras")["status"]) == {"not in the paper's table"}
    assert table.query("label in @extras")["bosc_paper"].isna().all()
    assert table.query("label in @extras")["bosc_measured"].notna().all()
    # The changed run must not lend its numbers to the row of the preset's settings.
    plain = cells(table, "MCX-API(RGB)")
    assert set(plain["status"]) == {"not run"}
    assert plain["bosc_measured"].isna().all()
    # HSV stands in Table 3, though not in Table 1.
    row = cells(tables.cross_dataset(tmp_path), "MCX-API(HSV)").loc["Celeb-DF"]
    assert (row["status"], row["bosc_paper"], row["bosc_measured"]) == ("measured", 75.67, 50.0)


def test_source_names_the_real_data_set_for_the_paper_preset(tmp_path):
    store(tmp_path, every(), preset="paper")
    assert cells(tables.closed_set(tmp_path), "MCX-API(RGB)")["source"]["DF"] == "FaceForensics++"
    cross = cells(tables.cross_dataset(tmp_path), "MCX-API(RGB)")["source"]
    assert cross.to_dict() == {"FakeAV": "", "KoDF": "", "Celeb-DF": "Celeb-DF-v2"}


def test_presets_are_never_mixed(tmp_path):
    store(tmp_path, every())
    store(tmp_path, every(), spec="hsv", preset="paper")
    with pytest.raises(ValueError, match="presets demo, paper"):
        tables.closed_set(tmp_path)


def test_against_scikit_learn_and_verify(tmp_path):
    for spec, seed in (("rgb", 0), ("rgb", 1), ("lab", 0)):
        store(tmp_path, random_scores(seed + len(spec)), spec=spec, seed=seed)
    one, three = tables.closed_set(tmp_path), tables.cross_dataset(tmp_path)
    scores = random_scores(3 + 0)
    part = scores[(scores["dataset"] == "FaceForensics++")]
    part = part[part["manipulation"].isin(["real", "F2F"])]
    lab = cells(one, "MCX-API(CIELab)").loc["F2F"]
    assert lab["bosc_measured"] == pytest.approx(
        100 * balanced_accuracy_score(part["is_fake"], part["p_real"] < 0.5)
    )
    assert lab["auc_measured"] == pytest.approx(roc_auc_score(part["is_fake"], -part["p_real"]))
    for table in (one, tables.overall(tmp_path), three):
        assert tables.verify(table, tmp_path) < 1e-12
    one.loc[one["seeds"] > 0, "auc_measured"] += 0.001
    assert tables.verify(one, tmp_path) == pytest.approx(0.001)
    three.loc[three["seeds"] > 0, "bosc_measured"] += 2
    assert tables.verify(three, tmp_path) == pytest.approx(0.02)
    three.loc[three["seeds"] > 0, "specificity_measured"] -= 4
    assert tables.verify(three, tmp_path) == pytest.approx(0.04)


def by_hand(scores):
    """Everything a cell says, from labels and scores, by scikit-learn."""
    called = scores["fake_score"] > 0.5
    tn, fp, fn, tp = confusion_matrix(scores["is_fake"], called).ravel()
    return {
        "sensitivity": 100 * tp / (tp + fn),
        "specificity": 100 * tn / (tn + fp),
        "bosc": 50 * (tp / (tp + fn) + tn / (tn + fp)),
        "acc": 100 * (tp + tn) / (tp + tn + fp + fn),
        "auc": roc_auc_score(scores["is_fake"], scores["fake_score"]),
    }


def test_a_cell_of_each_table_again_from_the_files_by_scikit_learn_and_pandas(tmp_path):
    """Two seeds; nothing of this package reads or judges the scores."""
    folders = [store(tmp_path, random_scores(s), spec="lab", seed=s) for s in (0, 1)]
    made = {
        1: cells(tables.closed_set(tmp_path), "MCX-API(CIELab)").loc["F2F"],
        2: cells(tables.overall(tmp_path), "MCX-API(CIELab)").loc["overall"],
        3: cells(tables.cross_dataset(tmp_path), "MCX-API(CIELab)").loc["KoDF"],
    }
    again = {1: [], 2: [], 3: []}
    for folder in folders:
        closed, kodf = (
            pd.read_parquet(folder / f"scores/{name}.parquet").assign(
                fake_score=lambda t: 1 - t["p_real"].astype(float)
            )
            for name in ("FaceForensics++", "KoDF")
        )
        each = [closed[closed["manipulation"].isin(["real", m])] for m in CLASSES[1:]]
        again[1].append(by_hand(each[1]))
        four = pd.DataFrame([by_hand(part) for part in each]).mean()
        again[2].append(dict(four) | {"acc": by_hand(closed)["acc"]})
        again[3].append(by_hand(kodf.groupby("video_id")[["is_fake", "fake_score"]].mean()))
    for number, values in again.items():
        for name, value in pd.DataFrame(values).mean().items():
            if name != "acc" or number == 2:
                assert made[number][f"{name}_measured"] == pytest.approx(value), (number, name)
    assert 0 < made[1]["sensitivity_measured"] < 100


def test_verify_refuses_what_it_cannot_check(tmp_path):
    with pytest.raises(ValueError, match="no measured number"):
        tables.verify(tables.closed_set(tmp_path), tmp_path)
    store(tmp_path, every())
    table = tables.closed_set(tmp_path)
    store(tmp_path, every(), seed=1)
    with pytest.raises(ValueError, match=r"counts 1 runs, .* holds 2"):
        tables.verify(table, tmp_path)


def test_sensitivity_and_specificity_by_hand(tmp_path):
    store(tmp_path, every())
    row = cells(tables.closed_set(tmp_path), "MCX-API(RGB)")
    fakes = {"DF": 100, "F2F": 50, "FS": 0, "NT": 100, "Average": 62.5}
    assert row["sensitivity_measured"].to_dict() == fakes
    assert set(row["specificity_measured"]) == {75}
    whole = cells(tables.overall(tmp_path), "MCX-API(RGB)").loc["overall"]
    assert whole[["sensitivity_measured", "specificity_measured"]].tolist() == [62.5, 75]
    shown = tables.rates(tables.closed_set(tmp_path)).set_index("Method")
    assert shown.index.tolist() == ["MCX-API(RGB)"]  # measured rows only
    assert shown.loc["MCX-API(RGB)", "F2F"] == "62.50 (50.00 / 75.00)"
    cross = tables.rates(tables.cross_dataset(tmp_path)).set_index("Method")
    assert cross.loc["MCX-API(RGB)", ["KoDF", "Celeb-DF"]].tolist() == [
        "–", "50.00 (50.00 / 50.00)"
    ]  # fmt: skip
    printed = tables.wide(tables.overall(tmp_path)).set_index("Method").loc["MCX-API(RGB)"]
    assert printed[["sensitivity measured", "specificity measured"]].tolist() == ["62.50", "75.00"]


def test_intervals_hold_the_number_and_count_videos(tmp_path):
    store(tmp_path, every())
    for table in (tables.closed_set(tmp_path), tables.overall(tmp_path)):
        found = cells(table, "MCX-API(RGB)")
        for name in ("bosc", "auc"):
            assert (found[f"{name}_low"] <= found[f"{name}_measured"]).all()
            assert (found[f"{name}_measured"] <= found[f"{name}_high"]).all()
    found = cells(tables.closed_set(tmp_path), "MCX-API(RGB)")
    assert found.loc["DF", ["videos_real", "videos_fake"]].tolist() == [2, 2]
    assert found.loc["Average", ["videos_real", "videos_fake"]].tolist() == [2, 8]
    # Real videos are right in 2 and 1 of 2 frames, so 50 % to 100 %; all of two videos of NT are
    # right, whose exact one-sided bound is the square root of 0.05.
    bound = stats.binomtest(2, 2, alternative="greater").proportion_ci(0.95).low
    assert found.loc["NT", ["bosc_low", "bosc_high"]].tolist() == pytest.approx(
        [(50 + 100 * bound) / 2, 100]
    )
    quoted = cells(tables.closed_set(tmp_path), "MesoNet")
    assert quoted[["bosc_low", "auc_high", "videos_real"]].isna().all(axis=None)
    without = cells(tables.closed_set(tmp_path, draws=0), "MCX-API(RGB)")
    assert without[["bosc_low", "auc_high"]].isna().all(axis=None)
    assert without["videos_real"].tolist() == [2] * 5


def test_intervals_of_an_average_and_of_seeds_draw_shared_videos_together(tmp_path):
    """Against a loop over resamples of video names; every video has two frames, so that a share of
    frames is the mean over videos."""
    right = []
    for seed in (0, 1):
        store(tmp_path, random_scores(seed), seed=seed)
        part = random_scores(seed).query("dataset == 'FaceForensics++'")
        part = part.assign(right=(part["p_real"] < 0.5) == part["is_fake"])
        shares = part.groupby(["manipulation", "video_id"])["right"].mean()
        right.append([shares[kind].to_numpy() for kind in HAND])  # real first
    found = cells(tables.closed_set(tmp_path), "MCX-API(RGB)").loc["Average"]
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(3000):
        values = []
        for both in zip(*right, strict=True):
            chosen = rng.choice(20, 20)
            values.append(np.mean([shares[chosen] for shares in both]))
        drawn.append(50 * (values[0] + np.mean(values[1:])))
    ends = np.quantile(drawn, [0.025, 0.975])
    np.testing.assert_allclose(found[["bosc_low", "bosc_high"]].astype(float), ends, atol=0.5)
    assert found["bosc_measured"] == pytest.approx(np.mean(drawn), abs=0.3)


def test_a_perfect_cell_has_the_exact_bound(tmp_path):
    """Four real and four fake videos, all right: SciPy's one-sided bound of Clopper and Pearson."""
    kinds = {name: ((0.1 if name == "real" else 0.9),) * 8 for name in HAND}
    store(tmp_path, every(kinds))
    bound = stats.binomtest(4, 4, alternative="greater").proportion_ci(0.95).low
    for table in (tables.closed_set(tmp_path), tables.overall(tmp_path)):
        for row in cells(table, "MCX-API(RGB)").to_dict("records"):
            assert row["bosc_measured"] == 100
            assert [row["bosc_low"], row["bosc_high"]] == pytest.approx([100 * bound, 100])
            assert [row["auc_low"], row["auc_high"]] == pytest.approx([bound, 1])


def test_remarks_say_what_equal_numbers_mean(tmp_path):
    assert tables.remarks(tables.closed_set(tmp_path)) == ["Nothing was measured yet."]
    store(tmp_path, every())
    said = tables.remarks(tables.closed_set(tmp_path))
    assert said == [
        "The measured row has one specificity for its 4 columns, because the real "
        "frames behind them are the same: from 75.00 % (MCX-API(RGB)) to 75.00 % (MCX-API(RGB)).",
        "The same BOSC in several columns, because sensitivity is 100 % in each of them, so that "
        "only real faces are missed: MCX-API(RGB) (DF and NT: 87.50 %).",
        "No row reads the same AUC in two columns.",
    ]
    assert tables.remarks(tables.cross_dataset(tmp_path)) == [
        "No row has the same specificity in two columns.",
        "No row reads the same BOSC in two columns.",
        "No row reads the same AUC in two columns.",
    ]
    fakes = {name: (0.9,) * 4 for name in ("DF", "F2F", "FS", "NT")}
    store(tmp_path, every(fakes | {"real": (0.1,) * 4}), spec="lab")
    store(tmp_path, every(fakes | {"real": (0.9,) * 4}), method="mesonet")
    said = tables.remarks(tables.closed_set(tmp_path))
    assert said[0].endswith("from 0.00 % (MesoNet) to 100.00 % (MCX-API(CIELab)).")
    assert any(
        "nothing is judged wrongly: MCX-API(CIELab) (all columns: 100.00 %)." in s for s in said
    )
    assert any("everything is called fake: MesoNet (all columns: 50.00 %)." in s for s in said)
    assert any("every fake scores above every real face: MCX-API(CIELab)" in s for s in said)
    said = tables.remarks(tables.overall(tmp_path))
    assert "Sensitivity is 100 %, because everything is called fake: MesoNet." in said
    assert "Sensitivity is 100 %, because no fake is missed: MCX-API(CIELab)." in said
    assert said[-1] == (
        "MCX-API(CIELab) reads the same BOSC and accuracy, 100.00 %, because its sensitivity and "
        "specificity are equal."
    )


def test_remarks_on_other_data_sets_do_not_call_their_real_videos_the_same(tmp_path):
    parts = [frames("FaceForensics++", HAND)]
    parts += [frames(name, CROSS) for name in tables.DATASETS.values()]
    store(tmp_path, pd.concat(parts, ignore_index=True))
    said = tables.remarks(tables.cross_dataset(tmp_path))
    assert said[0] == (
        "The same specificity in several columns, though their real videos differ (as few as 2): "
        "MCX-API(RGB) (all columns: 50.00 %)."
    )
    assert said[1] == (
        "The same BOSC in several columns, because sensitivity and specificity are the same in "
        "each of them: MCX-API(RGB) (all columns: 50.00 %)."
    )
    assert said[2].endswith("to the digits printed: MCX-API(RGB) (all columns: 0.250).")


def test_summary(tmp_path):
    assert tables.summary(tmp_path)["runs"] == 0
    store(tmp_path, every())
    store(tmp_path, random_scores(0), spec="hsv")
    found = tables.summary(tmp_path)
    assert json.loads(json.dumps(found)) == found
    assert (found["runs"], found["source"]) == (2, "synthetic demonstration data")
    assert found["closed_set"]["MCX-API(RGB)"] == pytest.approx(
        {"bosc": 68.75, "auc": 0.8671875, "bosc_paper": 98.48, "auc_paper": 0.9968}
    )
    assert found["closed_set"]["MCX-API(HSV)"]["bosc_paper"] is None
    assert found["closed_set_best"] == "MCX-API(RGB)"  # random scores have an AUC of about 0.5
    assert found["cross_dataset"]["MCX-API(RGB)"]["Celeb-DF"]["auc"] == 0.25
    assert list(found["cross_dataset_mean"]) == ["MCX-API(HSV)"]  # RGB lacks two data sets
    three = found["cross_dataset"]["MCX-API(HSV)"].values()
    assert found["cross_dataset_mean"]["MCX-API(HSV)"]["auc"] == pytest.approx(
        sum(v["auc"] for v in three) / 3
    )


def test_written_files(tmp_path):
    runs, results = tmp_path / "runs", tmp_path / "results"
    store(runs, every())
    names = [path.name for path in tables.write(runs, results)]
    kinds = (".csv", "_cells.csv", ".parquet", ".md", "_notes.md", "_rates.csv")
    three = [f"table{i}{kind}" for i in (1, 2, 3) for kind in kinds if (i, kind) != (2, kinds[5])]
    others = ["results.csv", "results.parquet", "seeds.csv", "headline.md", "machine.md"]
    others += ["seeds.md", "cost.csv"]
    assert names == [*three, *others]
    assert sorted(p.name for p in results.iterdir()) == sorted(names)  # no temporary left
    first = printed(results / "table1.csv")
    assert first["RGB"]["F2F, paper", "BOSC"] == "99.90"
    assert first["RGB"]["F2F, measured", "BOSC"] == "62.50"
    assert first["RGB"]["F2F, measured", "AUC"] == "0.7812"
    assert first["MesoNet"]["DF, paper", "BOSC"] == "89.55"
    assert set(measured(first["MesoNet"]).values()) == {"–"}
    second = printed(results / "table2.csv")
    paper_row = {column: text for (g, column), text in second["API-Net"].items() if g == "paper"}
    assert paper_row == {"accuracy": "–", "BOSC": "87.40", "AUC": "0.9664"}
    assert second["RGB"]["measured", "accuracy"] == "65.00"
    third = printed(results / "table3.csv")
    assert {group for group, _ in third["RGB"]} == {
        f"{name}, {kind}"
        for name in ("FakeAVCeleb", "KoDF", "Celeb-DF v2")
        for kind in ("paper", "measured")
    }
    said = (results / "table1_notes.md").read_text()
    assert said.startswith(
        "- Measured: synthetic demonstration data; backbone, where a method leaves it open: "
        "slim_xception. Notes say what differs.\n- Bold"
    )
    assert "Not run here: Cozzolino et al., Bayar and Stamm, MesoNet" in said
    tidy = pd.read_parquet(results / "table3.parquet")
    pd.testing.assert_frame_equal(tidy, tables.cross_dataset(runs), check_dtype=False)
    every_cell = pd.read_csv(results / "table1_cells.csv")
    assert every_cell.columns.tolist() == list(tables.closed_set(runs).columns)
    row = every_cell.query("label == 'MCX-API(RGB)' and test_set == 'F2F'").iloc[0]
    assert row[["sensitivity_measured", "specificity_measured"]].tolist() == [50, 75]
    assert row["bosc_low"] <= 62.5 <= row["bosc_high"]
    said = (results / "table1.md").read_text()
    assert said == "".join(f"- {text}\n" for text in tables.remarks(tables.closed_set(runs)))
    before = {name: (results / name).read_bytes() for name in names}
    tables.write(runs, results)
    assert before == {name: (results / name).read_bytes() for name in names}


def test_what_another_seed_changes_is_said_and_kept(tmp_path):
    """Two rows with three seeds, one with one; AUC again by scikit-learn."""
    runs, kept = tmp_path / "runs", tmp_path / "kept"
    kept.mkdir()
    assert seeds.at_hand(runs_of_one_seed(tmp_path / "one"), kept)[0].empty
    auc = {}
    for row, (method, spec) in enumerate((("api-net", "rgb"), ("mcx-api", "lab"))):
        for seed in (0, 1, 2):
            scores = random_scores(10 * row + seed)
            run = store(runs, scores, method, spec, seed)
            record = {"finished": f"2026-01-0{seed + 1}T10:00:00", "commit": "abcdef0123"}
            (run / "provenance.json").write_text(json.dumps(record))
            part = scores[scores["dataset"] == "FaceForensics++"]
            each = [part[part["manipulation"].isin(["real", kind])] for kind in CLASSES[1:]]
            auc[method, seed] = np.mean(
                [roc_auc_score(p["is_fake"], 1 - p["p_real"]) for p in each]
            )
    store(runs, random_scores(30), "xception", "rgb")
    store(runs, random_scores(31), "api-net", "rgb", 3, digest="abc12345")  # other settings
    found = seeds.by_seed(runs)
    assert list(dict.fromkeys(found["label"])) == ["API-Net", "MCX-API(CIELab)"]
    assert len(found) == 2 * 3 * 4  # rows, seeds, the closed set's average and three data sets
    closed = found[found["test_set"] == seeds.AVERAGE].set_index(["label", "seed"])
    for label, method in (("API-Net", "api-net"), ("MCX-API(CIELab)", "mcx-api")):
        values = [auc[method, seed] for seed in (0, 1, 2)]
        assert closed.loc[label, "auc"].tolist() == pytest.approx(values)
        row = seeds.spread(found).set_index(["label", "test_set"]).loc[label, seeds.AVERAGE]
        assert (row["auc"], row["auc_least"], row["auc_most"]) == pytest.approx(
            (np.mean(values), min(values), max(values))
        )
        assert row["auc_sd"] == pytest.approx(np.std(values, ddof=1))
        assert row["run_ids"].split()[1].endswith("_seed1")
    of_api_net = [auc["api-net", seed] for seed in (0, 1, 2)]
    sentence = seeds.of_row(found, "API-Net", False)
    ends = re.match(
        r"Another seed moves these: over the seeds 0, 1 and 2, its AUC is "
        r"(0\.\d{3}) to (0\.\d{3}) on the closed set, ",
        sentence,
    ).groups()
    assert [float(e) for e in ends] == pytest.approx([min(of_api_net), max(of_api_net)], abs=6e-4)
    assert seeds.of_row(found, "MCX-API(RGB)", False) == ""
    said = seeds.words(found, kept=False)
    assert said[0].startswith("2 rows were trained with 3 seeds each: between the lowest")
    gaps = seeds.spread(found)
    assert f"{(gaps['auc_most'] - gaps['auc_least']).max():.3f} at most" in said[0]
    first = [max(("api-net", "mcx-api"), key=lambda m, s=s: auc[m, s]) for s in (0, 1, 2)]
    named = {"api-net": "API-Net", "mcx-api": "MCX-API(CIELab)"}
    if len(set(first)) == 1:
        assert said[1] == f"On the closed set, {named[first[0]]} has the highest AUC in each seed."
    else:
        each = "; ".join(f"{named[m]} in seed {s}" for s, m in enumerate(first))
        assert said[1].endswith(f"is that of another row by seed: {each}.")
    # Kept with the book, they are shown where one seed is all there is.
    tables.write(runs, tmp_path / "out", None, kept, keep=True)
    again, old = seeds.at_hand(tmp_path / "one", kept)
    assert old
    pd.testing.assert_frame_equal(again, found.round({"bosc": 2, "auc": 4}), check_dtype=False)
    assert "in a `make full` (2026-01-01 to 2026-01-03)" in (seeds.words(again, old)[0])
    tables.write(tmp_path / "one", tmp_path / "later", None, kept)
    assert "Another seed" not in (tmp_path / "later/headline.md").read_text()
    rows = pd.read_csv(tmp_path / "later/results.csv").query("table == 'seeds'")
    row = rows.query("row == 'API-Net' and test_set == 'KoDF' and metric == 'auc'").iloc[0]
    assert row["note"] == "kept: measured on 2026-01-03, commit abcdef0"
    assert row["low"] <= row["value"] <= row["high"]
    assert (row["seeds"], row["interval"]) == ("0 1 2", "lowest and highest seed")
    shown = pd.read_csv(tmp_path / "later/seeds.csv").set_index("AUC")
    assert shown.columns.tolist() == ["closed set", "FakeAVCeleb", "KoDF", "Celeb-DF v2"]
    assert (tmp_path / "later/seeds.md").read_text() == (
        tmp_path / "out/seeds.md"
    ).read_text().replace(
        "each:",
        "each, in a `make full` (2026-01-01 to 2026-01-03):",
    )


def runs_of_one_seed(folder):
    store(folder, every())
    return folder


def test_of_one_seed_nothing_is_said_of_others(tmp_path):
    tables.write(runs_of_one_seed(tmp_path / "one"), tmp_path / "out")
    assert (tmp_path / "out/seeds.md").read_text() == f"- {seeds.NOTHING}\n"
    assert pd.read_csv(tmp_path / "out/seeds.csv")["AUC"].tolist() == ["no row"]


def test_every_number_is_a_row_of_the_results(tmp_path):
    """A cell of each kind again from the files, by pandas and scikit-learn alone."""
    for seed in (0, 1):
        run = store(tmp_path / "runs", random_scores(seed), spec="lab", seed=seed)
        (run / "provenance.json").write_text(json.dumps({"commit": f"c{seed}", "steps": 40 + seed}))
        for file in sorted((run / "scores").glob("*.parquet")):
            note = {"weights_sha256": f"w{seed}", "rows_sha256": f"r-{file.stem}"}
            file.with_suffix(".json").write_text(json.dumps(note))
    study = store(tmp_path / "runs/ablation", every())
    (study / "provenance.json").write_text(json.dumps({"steps": 7}))
    tables.write(tmp_path / "runs", tmp_path / "out")
    found = pd.read_csv(tmp_path / "out/results.csv", keep_default_na=False, na_values=[""])
    typed = pd.read_parquet(tmp_path / "out/results.parquet")
    assert found.columns.tolist() == typed.columns.tolist() == list(results.COLUMNS)
    assert set(found["format"]) == {results.FORMAT} == {2}
    rows = found[found["value"].notna()].set_index(["table", "test_set", "metric"])
    files = [tmp_path / f"runs/mcx-api_lab_seed{seed}/scores" for seed in (0, 1)]
    closed, kodf = (
        [pd.read_parquet(folder / f"{name}.parquet") for folder in files]
        for name in ("FaceForensics++", "KoDF")
    )
    f2f = [t[t["manipulation"].isin(["real", "F2F"])] for t in closed]
    auc = [roc_auc_score(t["is_fake"], -t["p_real"]) for t in f2f]
    row = rows.loc[("Table 1", "F2F", "auc")]
    assert row[["value", "sd"]].tolist() == pytest.approx([np.mean(auc), np.std(auc, ddof=1)])
    assert row["low"] < row["value"] < row["high"]
    assert row[["row", "detector", "level", "unit"]].tolist() == [
        "MCX-API(CIELab)", "mcx-api", "frame", "share"
    ]  # fmt: skip
    assert row[["seeds", "weights_sha256", "code"]].tolist() == ["0 1", "w0 w1", "c0 c1"]
    assert row["run_ids"] == "mcx-api_lab_seed0 mcx-api_lab_seed1"
    assert row["data_sha256"] == "r-FaceForensics++"
    called = [1 - t["p_real"].astype(float) > 0.5 for t in closed]
    right = [100 * (c == t["is_fake"]).mean() for c, t in zip(called, closed, strict=True)]
    assert rows.loc[("Table 2", "overall", "accuracy"), "value"] == pytest.approx(np.mean(right))
    videos = [
        t.assign(score=1 - t["p_real"].astype(float)).groupby("video_id")[["is_fake", "score"]]
        for t in kodf
    ]
    bosc = [
        balanced_accuracy_score(m["is_fake"], m["score"] > 0.5) for v in videos for m in [v.mean()]
    ]
    row = rows.loc[("Table 3", "KoDF", "bosc")]
    assert row["value"] == pytest.approx(100 * np.mean(bosc))
    assert (row["level"], row["video_rule"], row["paper"]) == ("video", "mean", 81.16)
    assert bool(row["synthetic"])
    cost = found[(found["table"] == "cost") & (found["metric"] == "steps")]
    assert cost["value"].tolist() == [40, 41, 7]
    assert cost["note"].fillna("").tolist() == ["", "", "of the study ablation"]
    # What the paper prints and was not run is there too, and measured nowhere.
    other = found[(found["row"] == "MesoNet") & (found["table"] == "Table 1")]
    assert other.set_index("test_set").loc["DF", "paper"] == 89.55
    assert other["value"].isna().all()
    assert other["synthetic"].isna().all()
    acc = found[(found["row"] == "M2TR") & (found["metric"] == "accuracy")]
    assert acc["paper"].tolist() == [97.93]
    own = found[(found["row"] == "MCX-API(RGB)") & (found["table"] == "Table 2")]
    assert own.set_index("metric")["paper"].to_dict() == {"bosc": 98.48, "auc": 0.9968}


def test_kept_numbers_are_results_until_they_are_run_again(tmp_path):
    full, usual, kept = tmp_path / "full", tmp_path / "usual", tmp_path / "kept"
    kept.mkdir()
    for folder in (full, usual):
        store(folder, every())
    for seed in (0, 1):
        store(full, every(), method="dcl", seed=seed)
    tables.write(full, tmp_path / "a", others=kept, keep=True)
    tables.write(usual, tmp_path / "b", others=kept)
    key = ["table", "test_set", "metric"]
    now, then = (
        found[(found["row"] == "DCL") & found["value"].notna() & (found["table"] != "cost")]
        for found in (pd.read_csv(tmp_path / f"{name}/results.csv") for name in "ab")
    )
    both = then.merge(now, on=key, suffixes=("", "_now"))
    assert len(both) == len(then) >= 10
    np.testing.assert_allclose(both["value"], both["value_now"], atol=0.0051)
    assert then["note"].str.startswith("kept: measured on a day not known").all()
    assert then["synthetic"].all()
    assert not now["note"].fillna("").str.contains("kept").any()


def test_a_result_in_a_column_that_is_not_there_is_refused():
    with pytest.raises(KeyError, match="no columns of the results: colour"):
        results.tidy([{"row": "a", "colour": 1}])


def test_the_first_page_says_what_came_out_and_what_it_took(tmp_path):
    out = tmp_path / "out"
    for place in (tmp_path / "nothing", tmp_path / "runs"):
        place.mkdir()
    tables.write(tmp_path / "nothing", out)
    assert (out / "headline.md").read_text() == "Nothing was measured yet.\n"
    run = store(tmp_path / "runs", every())
    record = {"seconds": 200, "processor": "abacus", "cores": 2, "gpus": []}
    (run / "provenance.json").write_text(json.dumps(record))
    store(tmp_path / "runs", every(), spec="hsv")
    tables.write(tmp_path / "runs", out)
    said = (out / "headline.md").read_text()
    found = cells(tables.closed_set(tmp_path / "runs"), "MCX-API(RGB)").loc["Average"]
    assert said.startswith("On synthetic demonstration data, MCX-API(RGB) tells real frames")
    assert (
        f"**68.8 %** (95 % interval {found['bosc_low']:.1f} to {found['bosc_high']:.1f} %)" in said
    )
    assert "an AUC of **0.867**" in said
    unseen = cells(tables.cross_dataset(tmp_path / "runs"), "MCX-API(RGB)").loc["Celeb-DF"]
    interval = f"({unseen['auc_low']:.3f} to {unseen['auc_high']:.3f})"
    assert said.endswith(
        "On drawn stand-ins of data sets it was not trained on, by video, its AUC is: Celeb-DF v2 "
        f"0.250 {interval}.\n"
    )
    assert (out / "machine.md").read_text() == (
        "Training took 3 minutes for the 2 runs of the tables, on abacus, 2 cores, no GPU. "
        "Of 1 the time is not known.\n"
    )
    shutil.copytree(run, tmp_path / "runs/ablation" / run.name)
    tables.write(tmp_path / "runs", out)
    said = (out / "machine.md").read_text()
    assert "of the tables, and 3 minutes for the 1 run of studies, on abacus" in said


def test_nothing_is_written_when_one_table_fails(tmp_path):
    run = store(tmp_path / "runs", every())
    (run / "scores/Celeb-DF-v2.parquet").write_bytes(b"half a table")
    with pytest.raises(ValueError, match=r"Celeb-DF-v2\.parquet cannot be read"):
        tables.write(tmp_path / "runs", tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_a_data_set_of_one_class_costs_its_own_cell_and_no_table(tmp_path):
    """Celeb-DF with fakes alone: every other number stays, and the cell says why it is empty."""
    store(tmp_path, every().query("dataset != 'Celeb-DF-v2' or is_fake"))
    assert cells(tables.closed_set(tmp_path), "MCX-API(RGB)")["bosc_measured"].to_dict() == (
        pytest.approx(BOSC)
    )
    row = cells(tables.cross_dataset(tmp_path), "MCX-API(RGB)").loc["Celeb-DF"]
    assert np.isnan(row["bosc_measured"])
    assert (row["n_real"], row["n_fake"], row["status"]) == (0, 2, "measured")
    assert row["note"] == "no real videos were scored"
    shown = tables.wide(tables.cross_dataset(tmp_path)).set_index("Method")
    assert shown.loc["MCX-API(RGB)", "Celeb-DF measured"] == "– / –"
    assert "no real videos were scored" in shown.loc["MCX-API(RGB)", "Status"]
    assert np.isnan(row["bosc_low"])
    assert row["sensitivity_measured"] == 50
    assert (row["videos_real"], row["videos_fake"]) == (0, 2)
    assert len(tables.write(tmp_path, tmp_path / "results")) == 24


def test_other_data_sets_have_a_table_of_their_own(tmp_path):
    """By hand: video means real 0.4 and 0.7, fake 0.6 and 0.2; and fakes alone."""
    parts = [every(), frames("mine", CROSS), frames("fakes", {"made": (0.9, 0.3, 0.2, 0.2)})]
    store(tmp_path, pd.concat(parts, ignore_index=True))
    found = tables.further(tmp_path).set_index("dataset")
    assert found.loc["mine", ["n_real", "n_fake", "bosc", "auc"]].tolist() == [2, 2, 50.0, 0.25]
    assert found.loc["mine", ["sensitivity", "specificity"]].tolist() == [50.0, 50.0]
    assert found.loc["fakes", "sensitivity"] == 50.0
    assert found.loc["fakes", ["bosc", "auc", "specificity"]].isna().all()
    assert found.loc["fakes", "note"] == "no real videos were scored"
    names = [path.name for path in tables.write(tmp_path, tmp_path / "results")]
    assert names[-1] == "further.csv"


def test_cost_adds_up_what_runs_and_scores_say_of_themselves(tmp_path):
    """By hand: 3 and 2.5 TFLOP of training, 0.25 twice of scoring; what was not counted is said."""
    for seed, flop in ((0, 3e12), (1, 2.5e12), (2, None)):
        run = store(tmp_path, every(), seed=seed)
        record = {"steps": 40, "seconds": 12.5, "flop": flop}
        (run / "provenance.json").write_text(json.dumps(record))
        for file in (run / "scores").glob("*.parquet"):
            about = {} if flop is None else {"flop": 0.25e12}
            schemas.write_scores(file, schemas.read_scores(file), "1 - p(real)", **about)
    found = tables.cost(tmp_path).set_index("run")
    assert found["training"].tolist()[:2] == [3, 2.5]
    assert found["scoring"].tolist()[:2] == [0.5, 0.5]
    assert found.loc["mcx-api_rgb_seed2", ["training", "scoring"]].isna().all()
    assert found["steps"].tolist() == [40] * 3
    assert tables.cost_summary(tables.cost(tmp_path)) == (
        "3 runs: 5.5 TFLOP of training, 1.0 of scoring, 6.5 together; 1 not counted, or in part"
    )
    shutil.copytree(tmp_path / "mcx-api_rgb_seed1", tmp_path / "ablation/mcx-api_rgb_seed1")
    found = tables.cost(tmp_path)
    assert found["study"].tolist() == ["", "", "", "ablation"]
    assert found.iloc[3, 1:].tolist() == found.iloc[1, 1:].tolist()


def test_videos_that_were_not_judged_are_counted(tmp_path):
    run = store(tmp_path, every())
    file = run / "scores/Celeb-DF-v2.parquet"
    schemas.write_scores(
        file, schemas.read_scores(file), "1 - p(real)", videos_left_out={"no face found": 3}
    )
    row = cells(tables.cross_dataset(tmp_path), "MCX-API(RGB)").loc["Celeb-DF"]
    assert row["left_out"] == 3
    shown = tables.wide(tables.cross_dataset(tmp_path)).set_index("Method")
    assert "3 videos not judged" in shown.loc["MCX-API(RGB)", "Status"]


def rule_of(run, rule):
    """Note in a run's scores how its detector makes a video's score."""
    for file in (run / "scores").glob("*.parquet"):
        schemas.write_scores(file, schemas.read_scores(file), "sigmoid", video_rule=rule)


def test_rows_of_make_full_are_kept_and_shown_until_the_next_time(tmp_path):
    full, usual, kept = tmp_path / "full", tmp_path / "usual", tmp_path / "kept"
    kept.mkdir()
    for folder in (full, usual):
        store(folder, every())
    larger = store(full, every(), method="dcl")
    made = {"finished": "2026-03-04T05:06:07", "commit": "abcdef012"}
    (larger / "provenance.json").write_text(json.dumps(made))
    tables.write(usual, tmp_path / "a", others=kept)  # nothing kept yet
    assert set(measured(printed(tmp_path / "a/table2.csv")["DCL"]).values()) == {"–"}
    tables.write(full, tmp_path / "b", others=kept, keep=True)
    assert sorted(p.name for p in kept.iterdir()) == [f"full_table{n}.csv" for n in (1, 2, 3)]
    assert pd.read_csv(kept / "full_table2.csv")["Method"].tolist() == ["DCL"]
    tables.write(usual, tmp_path / "c", others=kept)
    for n in (1, 2, 3):
        now, shown, plain = (printed(tmp_path / f"{folder}/table{n}.csv") for folder in "bca")
        # What was measured, without the mark of the best, which older numbers do not get.
        kept_row = {name: text.split("*")[0] for name, text in shown.pop("DCL").items()}
        assert measured(kept_row) == {
            name: text.partition("*")[0] or text.split("**")[1]
            for name, text in measured(now["DCL"]).items()
        }
        plain.pop("DCL", None)
        assert shown == plain
        notes = (tmp_path / f"c/table{n}_notes.md").read_text()
        assert "¹ measured on 2026-03-04, commit abcdef0" in notes
        assert "¹" not in (tmp_path / f"a/table{n}_notes.md").read_text()
    # A row that was run now is not covered by an older one.
    tables.write(full, tmp_path / "d", others=kept)
    assert "commit" not in (tmp_path / "d/table2_notes.md").read_text()


def test_each_row_has_its_own_video_score(tmp_path):
    """Real video: 12 faces at 0.1 and one at 0.9. Fake: 12 at 0.9 and 13 at 0.05. By hand: the
    means are 0.1615 and 0.458, which calls neither fake; "confident" takes 0.1 and 0.9."""
    scores = {"real": [0.1] * 12 + [0.9], "made": [0.9] * 12 + [0.05] * 13}
    cross = pd.concat(
        frames("Celeb-DF-v2", {kind: values}).assign(
            video_id=kind, frame_index=range(len(values)), target_id=""
        )
        for kind, values in scores.items()
    )
    for spec in ("rgb", "hsv", "lab"):
        run = store(tmp_path, cross, spec=spec)
        if spec != "lab":  # as if scored before detectors said it
            rule_of(run, "confident" if spec == "hsv" else "mean")
    table = tables.cross_dataset(tmp_path)
    for label, rule, bosc in (
        ("MCX-API(RGB)", "mean", 50.0),
        ("MCX-API(HSV)", "confident", 100.0),
        ("MCX-API(CIELab)", "mean", 50.0),
    ):
        row = cells(table, label).loc["Celeb-DF"]
        assert (row["video_rule"], row["bosc_measured"]) == (rule, bosc)
        status = tables.wide(table).set_index("Method").loc[label, "Status"]
        assert ("video score: confident" in status) == (rule == "confident")
        assert "video score: mean" not in status
    assert tables.verify(table, tmp_path) < 1e-12
    over = tables.cross_dataset(tmp_path, "median")
    measured = over[over["seeds"] > 0]
    assert set(measured["video_rule"]) == {"median"}
    assert set(measured["bosc_measured"]) == {50.0}
    assert tables.verify(over, tmp_path) < 1e-12
    said = tables.wide(over).set_index("Method")["Status"]
    assert "video score: median" in said["MCX-API(RGB)"]
    assert tables.closed_set(tmp_path)["video_rule"].eq("").all()


def test_seeds_with_two_rules_are_each_measured_by_its_own(tmp_path):
    """One scored before its detector said how: mean; one after. Two videos of 30 faces a class,
    about half of which score above 0.8."""
    rng = np.random.default_rng(0)
    for seed, rule in ((0, ""), (1, "confident")):
        kinds = {kind: rng.random(60) ** power for kind, power in (("real", 0.5), ("made", 0.3))}
        cross = frames("KoDF", kinds)
        video = cross["manipulation"] + (cross.groupby("manipulation").cumcount() // 30).astype(str)
        cross = cross.assign(video_id=video, frame_index=cross.groupby(video).cumcount())
        run = store(tmp_path, cross.assign(target_id=""), seed=seed)
        if rule:
            rule_of(run, rule)
    table = tables.cross_dataset(tmp_path)
    assert tables.verify(table, tmp_path) < 1e-12
    row = cells(table, "MCX-API(RGB)").loc["KoDF"]
    assert row["video_rule"] == "mean, confident"
    # By hand, seed 0: 0.67 and 0.66 below 0.82 and 0.78. Seed 1: 0.70 and 0.916, 0.894 and 0.907.
    assert row["auc_measured"] == pytest.approx((1 + 0.5) / 2)


def test_a_run_that_lacked_masks_says_so(tmp_path):
    run = store(tmp_path, every())
    for masks, words in (
        ({"fakes": 8, "with_masks": 6}, "trained with masks of 6 of 8 fakes"),
        ({"fakes": 8, "with_masks": 0}, "trained with masks of 0 of 8 fakes"),
        ({"fakes": 8, "with_masks": 8}, ""),
    ):
        record = {"trained_on": {"masks": masks}}
        (run / "provenance.json").write_text(json.dumps(record))
        status = tables.wide(tables.closed_set(tmp_path)).set_index("Method")["Status"]
        assert words in status["MCX-API(RGB)"]
        assert bool(words) == ("masks" in status["MCX-API(RGB)"])


def test_the_data_say_themselves_whether_they_are_synthetic(tmp_path):
    """Rendered videos under the paper's settings, real ones under the demo's."""
    run = store(tmp_path, every().assign(synthetic=True), preset="paper")
    assert set(cells(tables.closed_set(tmp_path), "MCX-API(RGB)")["source"]) == {
        "synthetic demonstration data"
    }
    shutil.rmtree(run)
    store(tmp_path, every().assign(synthetic=False), preset="demo")
    found = cells(tables.closed_set(tmp_path), "MCX-API(RGB)")["source"]
    assert set(found) == {"FaceForensics++"}


def test_what_made_a_run_stands_in_its_status(tmp_path):
    run = store(tmp_path, every())
    record = {"packages": {"torch": "1.0.0"}, "processor": "abacus"}
    (run / "provenance.json").write_text(json.dumps(record))
    shown = tables.wide(tables.closed_set(tmp_path)).set_index("Method")
    status = shown.loc["MCX-API(RGB)", "Status"]
    assert "made by older code" in status
    assert "torch 1.0.0; on abacus" in status
    now = recipe.recipe("mcxlib.detectors.mcx_api", {}, also=["mcxlib.method.colorspace.rgb"])
    record = {"packages": {"torch": version("torch")}, "processor": provenance.processor()}
    (run / "provenance.json").write_text(json.dumps(record | {"recipe": now}))
    shown = tables.wide(tables.closed_set(tmp_path)).set_index("Method")
    assert shown.loc["MCX-API(RGB)", "Status"] == "synthetic demonstration data, slim_xception"
    now["code"]["mcxlib.method.losses"] = "other"
    (run / "provenance.json").write_text(json.dumps(record | {"recipe": now}))
    shown = tables.wide(tables.closed_set(tmp_path)).set_index("Method")
    assert "made by older code (code of method.losses)" in shown.loc["MCX-API(RGB)", "Status"]


def test_unfinished_files_of_other_writers_are_no_scores(tmp_path):
    run = store(tmp_path, every())
    (run / "scores/.tmp-killed.parquet").write_bytes(b"half a table")
    expected = cells(tables.closed_set(tmp_path), "MCX-API(RGB)")["bosc_measured"].to_dict()
    assert expected == pytest.approx(BOSC)


def test_display_is_the_same_every_time_and_whole(tmp_path):
    store(tmp_path, every())
    table = tables.closed_set(tmp_path)
    first, second = tables.show(table), tables.show(table)
    assert first._repr_html_() == second._repr_html_()
    assert "id=" not in first._repr_html_()
    assert "..." not in repr(first)
    assert "62.50 / 0.7812" in repr(first)
    assert "not run" in repr(first)
    page = first._repr_html_()
    assert "<td class='measured'>62.50</td><td class='measured'>0.7812</td>" in page
    assert "Not run here: Cozzolino et al., " in page
    # Every row is as wide as the widest header: spans and cells add up.
    rows = re.findall(r"<tr>(.*?)</tr>", page)
    wide = [sum(map(int, re.findall(r"colspan='(\d+)'", row))) for row in rows]
    single = [len(re.findall(r"<t[hd](?![^>]*colspan)", row)) for row in rows]
    assert {sum(both) for both in zip(wide, single, strict=True)} == {1 + 4 * 5}
    rates = tables.show(tables.rates(table))
    assert "<td class='measured'>50.00</td><td class='measured'>75.00</td>" in rates._repr_html_()


def test_the_best_of_a_column_is_marked_with_its_interval(tmp_path):
    """HSV ranks FS and F2F perfectly and calls all right; RGB is as good on DF and NT."""
    store(tmp_path / "runs", every())
    kinds = HAND | {"FS": (0.9,) * 4, "F2F": (0.9,) * 4}
    store(tmp_path / "runs", every(kinds), spec="hsv")
    tables.write(tmp_path / "runs", tmp_path / "out")
    shown = printed(tmp_path / "out/table1.csv")
    bound = cells(tables.closed_set(tmp_path / "runs"), "MCX-API(HSV)").loc["F2F"]
    ends = f"{bound['bosc_low']:.1f}–{bound['bosc_high']:.1f}"
    assert shown["HSV"]["F2F, measured", "BOSC"] == f"**87.50** {ends}"
    assert shown["RGB"]["F2F, measured", "BOSC"] == "62.50"
    # Equal numbers have no best.
    assert shown["HSV"]["DF, measured", "BOSC"] == shown["RGB"]["DF, measured", "BOSC"] == "87.50"
    # Nor have the paper's, or the halves of BOSC.
    assert not any("*" in text for (g, _), text in shown["RGB"].items() if "paper" in g)
    second = printed(tmp_path / "out/table2.csv")
    assert "*" not in second["HSV"]["measured", "sensitivity"]
    assert second["HSV"]["measured", "BOSC"].startswith("**87.50** ")


def test_rows_are_printed_in_two_groups_and_differing_ones_have_a_note(tmp_path):
    store(tmp_path, every())
    store(tmp_path, every(), method="mesonet")
    run = store(tmp_path, every(), method="api-net")
    record = {"packages": {"torch": "1.0.0"}, "processor": "abacus"}
    (run / "provenance.json").write_text(json.dumps(record))
    table = tables.closed_set(tmp_path)
    shown = printed_layout(table)
    names = [row[0] for row in shown.rows]
    headings = [row[0] for row in shown.rows if not any(row[1:])]
    assert headings == ["Compared with", "The paper's own: MCX-API on"]
    own = names.index(headings[1])
    assert names[own + 1] == "RGB"
    assert "API-Net(ResNet101)¹" in names[:own]
    assert "MesoNet" in names[:own]
    (note,) = [text for text in shown.notes if text.startswith("¹")]
    assert "on abacus" in note
    assert shown.notes[0].startswith("Measured: synthetic demonstration data")


def test_what_is_not_a_scored_run_is_left_out(tmp_path):
    store(tmp_path, every())
    (tmp_path / "logs").mkdir()
    half = store(tmp_path, every(), spec="hsv")
    for file in (half / "scores").iterdir():
        file.unlink()
    assert [run.run_id for run in tables.find_runs(tmp_path)] == ["mcx-api_rgb_seed0"]


def test_missing_folder(tmp_path):
    with pytest.raises(ValueError, match=r"no runs folder .*nowhere; train and score"):
        tables.closed_set(tmp_path / "nowhere")


def test_missing_classes_are_named(tmp_path):
    store(tmp_path, every().query("manipulation not in ['F2F', 'NT']"))
    row = cells(tables.closed_set(tmp_path), "MCX-API(RGB)")
    found = row["bosc_measured"].dropna().to_dict()
    assert found == pytest.approx({k: BOSC[k] for k in ("DF", "FS")})  # and no average of two
    assert row.loc["DF", "note"] == "no scores of F2F, NT"


def test_scores_of_another_split_only(tmp_path):
    store(tmp_path, every().query("split == 'val'"))
    with pytest.raises(ValueError, match=r"scores of FaceForensics.*, but none of its test part"):
        tables.closed_set(tmp_path)


def test_unreadable_and_incomplete_files(tmp_path):
    run = store(tmp_path, every())
    file = run / "scores" / "FaceForensics++.parquet"
    good = pd.read_parquet(file)
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"FaceForensics\+\+\.parquet cannot be read"):
        tables.closed_set(tmp_path)
    good.drop(columns=["p_real", "split"]).to_parquet(file)
    with pytest.raises(ValueError, match="lacks the columns split, fake_score"):
        tables.closed_set(tmp_path)
    good.assign(p_real=np.where(good.index == 3, np.nan, good["p_real"])).to_parquet(file)
    with pytest.raises(ValueError, match="some scores are no numbers"):
        tables.closed_set(tmp_path)
    good.assign(p_NT=0.9).to_parquet(file)
    with pytest.raises(ValueError, match="the 5 probabilities of some frames do not sum to 1"):
        tables.closed_set(tmp_path)
    pd.concat([good, good.tail(1)]).to_parquet(file)
    with pytest.raises(ValueError, match="1 frames are scored twice"):
        tables.closed_set(tmp_path)
    good.to_parquet(file)
    (run / "config.json").write_text('{"run_id": "a", "seed": 0}')
    with pytest.raises(ValueError, match="lacks 'method'"):
        tables.closed_set(tmp_path)
    (run / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json cannot be read"):
        tables.closed_set(tmp_path)


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ("{", "cannot be read"),
        ("[]", "is no record of a run"),
        ('{"trained_on": "x"}', "trained_on is not what it should be"),
        ('{"seconds": "long"}', "seconds is not what it should be"),
        ('{"packages": {"torch": ["2.14.1"]}}', r"packages\.torch is not what it should be"),
        ('{"recipe": {"code": "all of it"}}', r"recipe\.code is not what it should be"),
        (
            '{"trained_on": {"masks": {"fakes": 3}}}',
            r"trained_on\.masks\.with_masks is not what it should be",
        ),
    ],
)
def test_a_damaged_record_of_a_run_is_named(tmp_path, record, said):
    run = store(tmp_path, every())
    (run / "provenance.json").write_text(record)
    with pytest.raises(
        ValueError, match=rf"mcx-api_rgb_seed0/provenance\.json:? {said}.*bring back"
    ):
        tables.write(tmp_path, tmp_path / "out")


@pytest.mark.parametrize("name", ["method", "colorspace", "label", "preset"])
def test_a_configuration_with_other_things_than_names_in_it_is_named(tmp_path, name):
    run = store(tmp_path, every())
    stored = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(stored | {name: ["a"]}))
    with pytest.raises(ValueError, match=r"mcx-api_rgb_seed0/config\.json"):
        tables.closed_set(tmp_path)


def test_a_recipe_without_its_parts_is_of_older_code():
    now = recipe.recipe("mcxlib.detectors.mesonet", {"lr": 0.1})
    found = recipe.differences({"format": now["format"]}, now)
    assert found[0] == "the training loop"
    assert {"code of detectors.mesonet", "setting lr"} < set(found)


def _changed(value, path=()):
    """The same JSON with one entry after the other of another kind, or gone: (where, JSON)."""
    for other in (None, "x", ["a"], {"a": 1}):
        yield path, other
    if isinstance(value, dict):
        for name, part in value.items():
            yield (*path, name), {k: v for k, v in value.items() if k != name}
            for where, other in _changed(part, (*path, name)):
                yield where, value | {name: other}


def test_whatever_entry_of_a_run_is_wrong_it_is_read_or_its_file_is_named(tmp_path):
    """No entry of what a run wrote about itself, whatever stands there instead, ends the tables
    without a word about where."""
    run = store(tmp_path, every())
    masks = {"with_masks": 2, "fakes": 3}
    record = {
        "format": 1,
        "run_id": run.name,
        "finished": "2026-01-01T10:00:00",
        "commit": "abcdef0123",
        "steps": 40,
        "seconds": 12.5,
        "flop": 2e12,
        "processor": "abacus",
        "cores": 2,
        "gpus": ["card"],
        "packages": {"torch": version("torch")},
        "trained_on": {"dataset": "FaceForensics++", "synthetic": True, "masks": masks},
        "recipe": recipe.recipe("mcxlib.detectors.mcx_api", {"lr": 0.1}, data="0a1b"),
        "crop_contract": {"crop_size": 96},
    }
    parts = {
        "data": {"preset": "demo", "train_on": "FaceForensics++", "protocol": "paper"},
        "train": {"seed": 0},
        "model": {"colorspace": "rgb", "backbone": "slim_xception"},
    }
    config = {"format": 1, "run_id": run.name, "label": "MCX-API(RGB)", "detector": "mcx-api"}
    files = {run / "provenance.json": record, run / "config.json": config | parts}
    for file, right in files.items():
        file.write_text(json.dumps(right))
    tables.write(tmp_path, tmp_path / "out")
    refused, unnamed = 0, []
    for file, right in files.items():
        for where, wrong in _changed(right):
            file.write_text(json.dumps(wrong))
            try:
                (found,) = tables.find_runs(tmp_path)
                assert isinstance(found.standing, str)
                results.origin([found], "Celeb-DF-v2")
                results.run_source(found)
                tables.cost_summary(tables.cost(tmp_path))
                headline.machine(tmp_path)
            except ValueError as error:
                refused += 1
                unnamed += [] if str(file) in str(error) else [(where, str(error))]
        file.write_text(json.dumps(right))
    assert not unnamed
    assert refused > 50
    tables.write(tmp_path, tmp_path / "out")


def test_a_run_that_was_put_aside_is_no_second_seed(tmp_path):
    store(tmp_path, every()).rename(tmp_path / "mcx-api_rgb_seed0.old")
    store(tmp_path, every()).rename(tmp_path / "mcx-api_rgb_seed0.old-1")
    store(tmp_path, every())
    (run,) = tables.find_runs(tmp_path)
    assert run.run_id == "mcx-api_rgb_seed0"


def test_two_faces_of_one_frame_are_not_the_same_frame_twice(tmp_path):
    scores = pd.concat([every().assign(face=0), every().assign(face=1)], ignore_index=True)
    store(tmp_path, scores)
    (run,) = tables.find_runs(tmp_path)
    assert len(tables.read_scores(run)) == 2 * len(every())


# Three frames a video. Real: mean 0.6, median 0.7, top two 0.8. Fake: 0.47, 0.3, 0.65.
THREE = {"real": (0.2, 0.7, 0.9), "Celeb-synthesis": (0.1, 0.3, 1.0)}


@pytest.mark.parametrize(("video", "bosc"), [("mean", 0.0), ("median", 0.0), ("top_k", 50.0)])
def test_video_scores_of_table_3_by_hand(tmp_path, video, bosc, monkeypatch):
    """top_k of two: both are called fake, which is right of one of the two."""
    cross = frames("Celeb-DF-v2", THREE).assign(
        video_id=lambda t: t["manipulation"], frame_index=[0, 1, 2] * 2, target_id=""
    )
    store(tmp_path, pd.concat([frames("FaceForensics++", HAND), cross], ignore_index=True))
    monkeypatch.setattr(videos.video_scores, "__defaults__", ("mean", 2))
    table = tables.cross_dataset(tmp_path, video)
    row = table[(table["test_set"] == "Celeb-DF") & (table["seeds"] > 0)].iloc[0]
    assert row["bosc_measured"] == pytest.approx(bosc)
    assert (row["n_real"], row["n_fake"]) == (1, 1)

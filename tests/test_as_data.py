"""Every study's numbers as rows of one table: a cell of each kind again from the stored files, by
scikit-learn, SciPy and NumPy alone."""

import hashlib

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.optimize import minimize_scalar
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, log_loss, roc_auc_score

from mcxlib import claims, pipeline, schemas
from mcxlib.config import load
from mcxlib.experiments import as_data, as_data_images, cam_truth, robustness, traces
from mcxlib.files import write_json
from mcxlib.tables import results

KINDS = ("DF", "F2F", "FS", "NT")
RUNS = {
    "MCX-API(RGB)": {"detector": "mcx-api"},
    "MCX-API(RGB+YCbCr)": {"detector": "mcx-api", "colorspace": "rgb+ycbcr"},
    "API-Net": {"detector": "api-net"},
}


def frames(dataset, seed, split="test", kinds=KINDS):
    """Two frames of each of 12 real and 12 fake videos."""
    rng = np.random.default_rng(seed)
    kind = np.repeat(["real"] * 12 + [kinds[n % len(kinds)] for n in range(12)], 2)
    fake = kind != "real"
    score = 1 / (1 + np.exp(-rng.normal(np.where(fake, 0.9, -0.9), 1.2)))
    return pd.DataFrame(
        {
            "dataset": dataset,
            "video_id": np.repeat([f"v{n}" for n in range(24)], 2),
            "frame_index": np.tile([0, 1], 24),
            "face": 0,
            "split": split,
            "is_fake": fake,
            "manipulation": kind,
            "synthetic": True,
            "fake_score": score,
        }
    )


def store_robustness(config):
    whole = frames("FaceForensics++", 50).drop(columns="split")
    blurred = whole.assign(fake_score=frames("FaceForensics++", 51)["fake_score"])
    table = pd.concat(
        [
            whole.assign(corruption="none", level="none"),
            blurred.assign(corruption="blur", level="2"),
        ]
    )
    note = {"format": 1, "sample": {}, "lost": {"blur=2": 3}, "weights_sha256": "w-rob"}
    schemas.write_noted(robustness.path_of(config), table, note | {"rows_sha256": "r-rob"})


def store_maps(config):
    rng = np.random.default_rng(60)
    rows = [
        {"network": network, "method": method, "manipulation": kind, "cells": 9, "evidence": True}
        | {name: rng.random() for name in (*as_data_images._OF_MAP, "area")}
        for network in ("MCX-API(RGB)", "API-Net")
        for method in cam_truth.METHODS
        for kind in KINDS * 2
    ]
    rows[0] |= {"evidence": False, "share": np.nan, "pointing": np.nan}
    note = {"format": 1, "weights": {"MCX-API(RGB)": "", "API-Net": ""}, "rows_sha256": "r-map"}
    reaction = [{"network": "API-Net", "quality": 70, "faces": 9, "shift": 0.25, "auc": 0.6}]
    first, last = cam_truth.files(config)
    schemas.write_noted(first, pd.DataFrame(reaction), note)
    schemas.write_noted(last, pd.DataFrame(rows), note)


def store_traces():
    grid = traces.GRIDS["tiny"]
    rng, parts = np.random.default_rng(70), {}
    for name, seed in traces.tasks(grid):
        rows = [
            {"trace": name, "seed": seed, "level": 5, "strength": 2.5, "colorspace": "lab"}
            | {"variant": "own", "auc": rng.random(), "compressed_auc": rng.random()}
        ]
        parts[traces._key(name, seed)] = rows
    made_from = traces.made_from(grid)
    write_json(traces.store("test", grid), {"format": 1, "made_from": made_from, "parts": parts})
    return parts


@pytest.fixture(scope="module")
def stored(module_home):
    """A home with scores of three of the preset's four rows and of every study but one."""
    home = module_home
    files = {}
    for number, settings in enumerate(RUNS.values()):
        config = load("test", **settings)
        folder = pipeline.run_folder(config)
        write_json(folder.config, config.stored() | {"run_id": config.run_id})
        write_json(folder.provenance, {"commit": "abc", "trained_on": {"synthetic": True}})
        for place, name in enumerate(pipeline.ALL_DATASETS):
            table = frames(name, 10 * number + place, kinds=KINDS if not place else ("fake",))
            schemas.write_scores(folder.scores(name), table, "made up")
            note = {"weights_sha256": f"w{number}", "rows_sha256": f"r-{name}"}
            write_json(folder.scores(name).with_suffix(".json"), note)
        of_val = frames(pipeline.ALL_DATASETS[0], 100 + number, "val")
        schemas.write_scores(folder.validation, of_val, "made up")
        files[config.label] = folder
    first = load("test")
    store_robustness(first)
    store_maps(first)
    parts = store_traces()
    claims.write(claims.material(first), home / "out")
    rows, lines = as_data.studies("test", claims=home / "out/claims.json")
    return results.tidy(rows), lines, files, parts


@pytest.fixture(scope="module")
def numbers(stored):
    return stored[0]


def videos(stored, label, dataset, kind="scores"):
    """Mean score of each video, by pandas alone."""
    folder = stored[2][label]
    file = folder.validation if kind == "validation" else folder.scores(dataset)
    return pd.read_parquet(file).groupby("video_id")[["is_fake", "fake_score"]].mean()


def cell(found, **where):
    for name, value in where.items():
        found = found[found[name] == value]
    assert len(found) == 1, found
    return found.iloc[0]


def test_what_is_there_is_listed_and_what_is_not_is_named(stored):
    table, lines, *_ = stored
    said = "\n".join(lines)
    assert "the study of pairing: 0 numbers; not made (mcx ablation)" in said
    assert "without stored scores of all sets: MesoNet" in said
    assert "robustness: 6 numbers; not made of API-Net (mcx robustness)" in said
    kinds = {"thresholds", "calibration", "differences", "fusion", "halves"}
    assert set(table["table"]) == kinds | {"robustness", "traces", "maps", "claims"}
    assert table["value"].notna().all()
    assert (table["synthetic"] != table["source"].str.startswith("no videos")).all()
    assert (table["format"] == results.FORMAT).all()


def test_where_nothing_was_made_every_study_is_named(home):
    rows, lines = as_data.studies("test")
    assert rows == []
    for study in ("pairing", "beside", "robustness", "traces", "maps", "claims"):
        assert sum(study in line and " 0 numbers; " in line for line in lines) == 1


def test_thresholds(stored, numbers):
    found = videos(stored, "API-Net", "KoDF")
    where = {"table": "thresholds", "row": "API-Net", "dataset": "KoDF"}
    row = cell(numbers, **where, metric="bosc_half")
    expected = balanced_accuracy_score(found["is_fake"], found["fake_score"] > 0.5)
    assert row["value"] == pytest.approx(100 * expected)
    assert row["low"] <= row["value"] <= row["high"]
    auc = cell(numbers, **where, metric="auc")["value"]
    assert auc == pytest.approx(roc_auc_score(found["is_fake"], found["fake_score"]))
    assert row[["weights_sha256", "data_sha256", "code", "run_ids", "level"]].tolist() == [
        "w2", "r-KoDF", "abc", "api-net_rgb_seed0", "video"
    ]  # fmt: skip


def test_differences_and_their_p_values(stored, numbers):
    first, second = (videos(stored, n, "KoDF") for n in ("MCX-API(RGB)", "API-Net"))
    where = {"table": "differences", "row": "API-Net", "dataset": "KoDF"}
    row = cell(numbers, **where, metric="auc difference")
    gap = np.subtract(*(roc_auc_score(t["is_fake"], t["fake_score"]) for t in (second, first)))
    assert row["value"] == pytest.approx(gap)
    assert row["reference"] == "MCX-API(RGB)"
    assert row["run_ids"] == "api-net_rgb_seed0 mcx-api_rgb_seed0"
    rates = [balanced_accuracy_score(t["is_fake"], t["fake_score"] > 0.5) for t in (second, first)]
    bosc = cell(numbers, **where, metric="bosc difference")
    assert bosc["value"] == pytest.approx(100 * np.subtract(*rates))
    every = numbers.query("table == 'differences' and metric == 'auc difference'")
    smallest = every.loc[every["p"].idxmin()]
    assert smallest["p_adjusted"] == pytest.approx(min(1, len(every) * smallest["p"]))


def test_calibration(stored, numbers):
    """A temperature by SciPy; as many real as fake videos, so that nothing has to be weighed."""
    val = videos(stored, "API-Net", "", "validation")
    logit = np.log(val["fake_score"] / (1 - val["fake_score"]))

    def loss(log_t):
        return log_loss(val["is_fake"], 1 / (1 + np.exp(-logit / np.exp(log_t))))

    best = np.exp(minimize_scalar(loss, bounds=(-4, 4), method="bounded").x)
    where = {"table": "calibration", "row": "API-Net", "dataset": "KoDF"}
    assert cell(numbers, **where, metric="temperature")["value"] == pytest.approx(best, rel=1e-3)
    found = videos(stored, "API-Net", "KoDF")
    bins = np.minimum((found["fake_score"] * 10).astype(int), 9)
    gaps = [
        len(part) * abs(part["fake_score"].mean() - part["is_fake"].mean())
        for _, part in found.groupby(bins)
    ]
    expected = sum(gaps) / len(found)
    assert cell(numbers, **where, metric="ece_before")["value"] == pytest.approx(expected)


def test_fusion(stored, numbers):
    where = {"table": "fusion", "condition": "all rows", "dataset": "KoDF"}
    tests = [videos(stored, name, "KoDF") for name in RUNS]
    fake, scores = tests[0]["is_fake"], np.stack([t["fake_score"] for t in tests], axis=1)
    row = cell(numbers, **where, row="mean of all", metric="auc")
    assert row["value"] == pytest.approx(roc_auc_score(fake, scores.mean(axis=1)))
    assert row["weights_sha256"] == "w0 w1 w2"
    val = [videos(stored, name, "", "validation") for name in RUNS]
    logits = [
        np.stack([np.log(t["fake_score"] / (1 - t["fake_score"])) for t in part], axis=1)
        for part in (val, tests)
    ]
    model = LogisticRegression(class_weight="balanced", max_iter=1000)
    model.fit(logits[0], val[0]["is_fake"].astype(int))
    row = cell(numbers, **where, row="stacking", metric="auc")
    assert row["value"] == pytest.approx(roc_auc_score(fake, model.decision_function(logits[1])))
    each = [roc_auc_score(t["is_fake"], t["fake_score"]) for t in tests]
    row = cell(numbers, **where, row="best on the test set", metric="auc")
    assert row["value"] == pytest.approx(max(each))
    # What was picked on validation videos is what the others are compared with.
    on_val = [roc_auc_score(t["is_fake"], t["fake_score"]) for t in val]
    gap = cell(numbers, **where, row="best on the test set", metric="auc difference")
    assert gap["value"] == pytest.approx(max(each) - each[int(np.argmax(on_val))])
    halved = cell(numbers, table="halves", dataset="KoDF", metric="average")
    mean = np.mean([balanced_accuracy_score(fake, s > 0.5) for s in scores.T])
    assert halved["value"] == pytest.approx(100 * mean, abs=1.5)  # over 200 random halves


def test_robustness(stored, numbers):
    file = robustness.path_of(load("test"))
    file = stored[2]["MCX-API(RGB)"].path / "robustness" / file.name
    table = pd.read_parquet(file)
    auc = {}
    for level, part in table.groupby("level"):
        sets = [part[part["manipulation"].isin(["real", kind])] for kind in KINDS]
        auc[level] = np.mean([roc_auc_score(s["is_fake"], s["fake_score"]) for s in sets])
    where = {"table": "robustness", "condition": "blur"}
    row = cell(numbers, **where, strength="2", metric="auc")
    assert row["value"] == pytest.approx(auc["2"])
    assert row[["weights_sha256", "data_sha256", "level"]].tolist() == ["w-rob", "r-rob", "frame"]
    assert row["note"] == "48 frames of 24 videos, 3 lost"
    lost = cell(numbers, **where, metric="auc_drop")
    assert lost["value"] == pytest.approx(auc["none"] - auc["2"])
    assert lost["low"] < lost["value"] < lost["high"]


def test_traces_and_maps(stored, numbers):
    parts = stored[3]
    row = cell(numbers, table="traces", condition="noise", metric="auc")
    assert row["value"] == parts["noise, seed 0"][0]["auc"]
    assert (row["row"], row["strength"]) == ("lab", "2.5")
    made_from = traces.made_from(traces.GRIDS["tiny"]).encode()
    assert row["data_sha256"] == hashlib.sha256(made_from).hexdigest()
    assert row[["run_ids", "protocol"]].tolist() == [
        "traces/tiny", "trained on 6 drawn people, tested on 5 others"
    ]  # fmt: skip
    maps = numbers[numbers["table"] == "maps"]
    rng = np.random.default_rng(60)
    drawn = rng.random((2, 3, 8, 9))  # networks, methods, crops, numbers
    drawn[0, 0, 0, [0, 2]] = np.nan
    where = {"row": "MCX-API(RGB)", "condition": "Grad-CAM", "test_set": "all fakes"}
    row = cell(maps, **where, metric="share")
    assert row["value"] == pytest.approx(np.nanmean(drawn[0, 0, :, 0]))
    assert (row["n_fake"], row["note"]) == (7, "1 of 8 maps say nothing")
    # Stored before videos were named: each crop is of a video of its own.
    share, others, area = drawn[0, 0, 1:, 0], drawn[0, 0, 1:, 1], drawn[0, 0, 1:, 8]
    ends = stats.ttest_1samp(share, 0).confidence_interval()
    assert (row["low"], row["high"]) == pytest.approx((max(0, ends.low), min(1, ends.high)))
    for metric, chance in (("above_flat", area), ("above_others", others)):
        row = cell(maps, **where, metric=metric)
        ends = stats.ttest_1samp(share - chance, 0).confidence_interval()
        assert row["value"] == pytest.approx((share - chance).mean())
        assert (row["low"], row["high"]) == pytest.approx(tuple(np.clip(ends, -1, 1)))
        assert row["interval"] == "95 %, Student's t over videos"
    assert row["reference"] == "the same network's maps of other images"
    row = cell(maps, row="API-Net", condition="LayerCAM", test_set="FS", metric="insertion")
    assert row["value"] == pytest.approx(drawn[1, 2, [2, 6], 6].mean())
    assert row["data_sha256"] == "r-map"
    assert cell(maps, condition="JPEG", metric="shift")["value"] == 0.25


def test_claims(stored, numbers):
    """The BOSC behind a claim about Table 1, frame by frame, and its place among the rows."""
    bosc = {}
    for label, folder in stored[2].items():
        table = pd.read_parquet(folder.scores("FaceForensics++"))
        sets = [table[table["manipulation"].isin(["real", kind])] for kind in KINDS]
        each = [balanced_accuracy_score(s["is_fake"], s["fake_score"] > 0.5) for s in sets]
        bosc[label] = 100 * np.mean(each)
    where = {"table": "claims", "condition": "rgb-average"}
    row = cell(numbers, **where, metric="bosc")
    assert row["value"] == pytest.approx(bosc["MCX-API(RGB)"])
    assert (row["run_ids"], row["weights_sha256"]) == ("mcx-api_rgb_seed0", "w0")
    assert row["low"] < row["value"] < row["high"]
    place = cell(numbers, **where, metric="rank")
    assert place["value"] == 1 + sum(value > bosc["MCX-API(RGB)"] for value in bosc.values())
    people = cell(numbers, table="claims", condition="no-overlap", metric="people in both parts")
    assert people["source"] == "no videos: the published pairs of FaceForensics++"
    assert not people["synthetic"]

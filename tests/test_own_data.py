"""Data of one's own through the whole pipeline, and what a score must never be of."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from sklearn.metrics import roc_auc_score
from training import FOLDERS, MESONET
from typer.testing import CliRunner

from mcxlib import cli, detectors, paper, pipeline, tables
from mcxlib.config import load
from mcxlib.files import read_json
from mcxlib.runs import RunFolder
from mcxlib.settings import paths
from mcxlib.synthetic import render_person
from mcxlib.synthetic.encode import write_video

SMALL = MESONET | {"crop_rule": "whole"}
FF = "FaceForensics++"


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """The bytes of one small MP4 file."""
    file = tmp_path_factory.mktemp("video") / "one.mp4"
    write_video(file, render_person((1,), frames=2), 25, 18)
    return file.read_bytes()


def distinct(video: bytes, text: str) -> bytes:
    """The same pictures in a file with other bytes: what follows its last box is nobody's."""
    word = text.encode().ljust(24, b"_")[:24]
    return video + (8 + 24).to_bytes(4, "big") + b"free" + word


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def faceforensics(home, video, targets=(("071", "054"), ("720", "672"), ("953", "974"))):
    for kind, folder in FOLDERS.items():
        for target, donor in targets:
            name = target if kind == "real" else f"{target}_{donor}"
            path = home / f"videos/{FF}/{folder}/c23/videos/{name}.mp4"
            put(path, distinct(video, f"{kind} {name}"))


def own(folder, video, names=("a", "b", "c")):
    for kind in ("real", "fake"):
        for name in names:
            put(folder / kind / f"{name}.mp4", distinct(video, f"{kind} {name}"))


def options(**more):
    settings = SMALL | more
    return [
        *("--preset", "paper", "--detector", settings.pop("detector")),
        *(word for k, v in settings.items() for word in ("--set", f"{k}={v}")),
    ]


def mcx(*arguments):
    result = CliRunner().invoke(cli.app, [str(a) for a in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.stdout


def state_of(folder):
    return {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in folder.rglob("*") if p.is_file()}


def test_videos_that_a_run_was_trained_on_are_not_scored(home, video):
    """012 is trained on under `paper` and a test video under `official`."""
    faceforensics(home, video, (("012", "026"), ("720", "672"), ("953", "974")))
    config = load("paper", **SMALL)
    before = pipeline.ensure_scores(config, FF, workers=1)
    folder = pipeline.run_folder(config)
    kept = state_of(folder.path)
    other = config.but(protocol="official").data
    with pytest.raises(ValueError, match=r"trained or selected on 5 of these 10 videos.*012"):
        pipeline.ensure_scores(config, FF, workers=1, cut=other)
    with pytest.raises(ValueError, match="trained or selected on 5"):
        mcx("score", *options(), "--dataset", FF, "--cut", "protocol=official")
    assert state_of(folder.path) == kept
    pd.testing.assert_frame_equal(pipeline.ensure_scores(config, FF), before)
    # Nor under another name: a byte copy of a training video in a folder of one's own.
    own(home / "mine", video)
    source = home / f"videos/{FF}/{FOLDERS['DF']}/c23/videos/012_026.mp4"
    shutil.copy(source, home / "mine/fake/found on the web.mp4")
    with pytest.raises(ValueError, match=r"on 1 of these 7 videos, or on copies.*found on the web"):
        pipeline.ensure_scores(config, str(home / "mine"), workers=1)


def test_validation_scores_are_kept_by_training_and_made_once_for_older_runs(home, video):
    faceforensics(home, video)
    config = load("paper", **SMALL)
    folder = pipeline.run_folder(config)
    with pytest.raises(FileNotFoundError, match=r"no finished weights.*mcx train --preset paper"):
        pipeline.ensure_validation(config)
    pipeline.ensure_run(config, workers=1)
    kept = pipeline.ensure_validation(config)
    assert set(kept["target_id"]) == {"720"}
    assert set(kept["split"]) == {"val"}
    written = folder.validation.stat().st_mtime_ns
    folder.validation.rename(folder.path / "before.parquet")
    assert pipeline.stored_validation(config) is None
    pd.testing.assert_frame_equal(pipeline.ensure_validation(config), kept)
    assert folder.validation.stat().st_mtime_ns > written
    # Scores of other weights are none of this run's.
    weights = load_file(folder.weights)
    before = folder.weights.read_bytes()
    with safe_open(folder.weights, "pt") as file:
        note = file.metadata()
    save_file({k: v + 0.1 for k, v in weights.items()}, folder.weights, note)
    assert pipeline.stored_validation(config) is None
    other = pipeline.ensure_validation(config)
    assert (other["fake_score"] != kept["fake_score"]).any()
    folder.weights.write_bytes(before)
    assert pipeline.stored_validation(config) is None


def test_another_protocol_is_another_file_and_no_row(home, video):
    """Test videos of both protocols: other videos, so their scores must not replace each other."""
    faceforensics(home, video)
    for name in ("id51_0001", "id0_0001"):
        put(home / f"videos/Celeb-DF-v2/Celeb-real/{name}.mp4", distinct(video, name))
    for name in ("id51_id0_0001", "id0_id51_0001"):
        put(home / f"videos/Celeb-DF-v2/Celeb-synthesis/{name}.mp4", distinct(video, name))
    (home / "videos/Celeb-DF-v2/List_of_testing_videos.txt").write_text(
        "1 Celeb-real/id0_0001.mp4\n0 Celeb-synthesis/id0_id51_0001.mp4\n"
    )
    config = load("paper", **SMALL)
    usual = pipeline.ensure_scores(config, "Celeb-DF-v2", workers=1)
    assert set(usual["target_id"]) == {"id51"}
    table = tables.cross_dataset(paths.runs("paper"))
    official = config.but(celebdf_protocol="celebdf_official").data
    listed = pipeline.ensure_scores(config, "Celeb-DF-v2", workers=1, cut=official)
    assert set(listed["target_id"]) == {"id0"}
    folder = pipeline.run_folder(config)
    assert [p.stem for p in folder.scored()] == ["Celeb-DF-v2"]
    (other,) = (folder.path / "other_scores").glob("*.parquet")
    assert "celebdf_official" in other.name
    pd.testing.assert_frame_equal(tables.cross_dataset(paths.runs("paper")), table)
    pd.testing.assert_frame_equal(pipeline.ensure_scores(config, "Celeb-DF-v2"), usual)
    # A list that somebody else made is no row either.
    foreign = home / "theirs.csv"
    foreign.write_text("video_id,is_fake,split\n./Celeb-real\\id0_0001.mp4,False,test\n")
    pipeline.make_manifest(config, "Celeb-DF-v2", listed=foreign)
    theirs = pipeline.ensure_scores(config, "Celeb-DF-v2", workers=1)
    assert set(theirs["video_id"]) == {"Celeb-real/id0_0001"}
    pd.testing.assert_frame_equal(tables.cross_dataset(paths.runs("paper")), table)


@pytest.mark.parametrize("ending", ["", "/"])
def test_a_folder_anywhere_is_scored_and_nothing_is_written_beside_it(home, video, ending):
    faceforensics(home, video)
    mine = home / "somewhere else/two"
    own(mine, video)
    before = state_of(mine.parent)
    said = mcx("score", *options(), "--workers", 1, "--dataset", f"{mine}{ending}")
    assert "3 real and 3 fake videos judged" in said
    for word in ("BOSC:", "AUC:", "sensitivity:", "specificity:"):
        assert word in said
    assert state_of(mine.parent) == before
    (file,) = (home / "runs/paper/mesonet_rgb_seed0").parent.glob("*/scores/two-*.parquet")
    assert len(pd.read_parquet(file)) == 12


def test_what_was_not_judged_is_said(home, video):
    faceforensics(home, video)
    own(home / "mine", video, ("a", "b"))
    put(home / "mine/fake/broken.mp4", b"no video at all")
    said = mcx("score", *options(), "--workers", 1, "--dataset", home / "mine")
    assert "2 real and 2 fake videos judged" in said
    assert "1 videos not judged: unreadable" in said
    shutil.rmtree(home / "mine/real")
    (home / "mine/real").mkdir()
    pipeline.make_manifest(load("paper", **SMALL), str(home / "mine"))
    said = mcx("score", *options(), "--workers", 1, "--dataset", home / "mine")
    assert "sensitivity:" in said
    assert "specificity:" not in said
    assert "no real video" in said


def test_a_labelled_table_is_trained_on_with_the_classes_it_has(home, video, capsys):
    rows = []
    for kind, label in (("real", 0), ("swap", 1)):
        for person in range(9):
            name = f"clips/{kind}{person}.mp4"
            put(home / "mine" / name, distinct(video, name))
            rows.append({"path": name, "label": label, "identity": f"p{person}"})
    table = home / "mine/my clips.csv"
    pd.DataFrame(rows).to_csv(table, index=False)
    config = load("paper", **(SMALL | {"train_on": str(table)}))
    folder = RunFolder(pipeline.ensure_run(config, workers=1))
    # What tells the classes apart besides faces is said once, before training.
    (line,) = [s for s in capsys.readouterr().err.splitlines() if "the files' own properties" in s]
    found = json.loads(pipeline.confounds_file(pipeline.plan(config, str(table))).read_text())
    assert line == found["sentence"]
    assert found["videos"] == 18
    pipeline.ensure_run(config, workers=1)
    assert "properties" not in capsys.readouterr().err
    rows = pipeline.ensure_rows(config, str(table))
    people = {s: set(part["target_id"]) for s, part in rows.groupby("split")}
    assert set(people) == {"train", "val", "test"}
    assert not people["train"] & people["test"]
    assert not people["train"] & people["val"]
    from mcxlib import weights

    card = weights.read_card(folder.weights)
    assert card.classes == ("real", "fake")
    assert card.trained_on["dataset"].startswith("my_clips-")
    assert card.trained_on["synthetic"] is False
    seen = pd.read_parquet(folder.videos)
    assert set(seen["split"]) == {"train", "val"}
    scores = pipeline.ensure_scores(config, str(table))
    assert set(scores["video_id"]) == set(rows.loc[rows["split"] == "test", "video_id"])
    found = tables.further(paths.runs("paper"))
    assert found["dataset"].tolist() == [card.trained_on["dataset"]]
    written = tables.write(paths.runs("paper"), home / "tables")
    assert {"table1.csv", "further.csv"} <= {path.name for path in written}
    # The closed set of these data, as the notebooks show it; the paper's table has nothing of it.
    runs, name = paths.runs("paper"), card.trained_on["dataset"]
    closed, overall = tables.closed_set(runs, name), tables.overall(runs, name)
    assert closed["test_set"].tolist() == ["fake", "Average"]
    assert set(closed["status"]) == {"not in the paper's table"}
    assert closed["auc_paper"].isna().all()
    expected = roc_auc_score(scores["is_fake"], scores["fake_score"])
    assert closed["auc_measured"].tolist() == pytest.approx([expected] * 2)
    right = (scores["fake_score"] > 0.5) == scores["is_fake"]
    assert overall["acc_measured"].tolist() == pytest.approx([100 * right.mean()])
    assert tables.verify(closed, runs, name) < 1e-12
    assert (closed["auc_low"] <= closed["auc_measured"]).all()
    assert (tables.closed_set(runs)["seeds"] == 0).all()
    table.unlink()
    pd.testing.assert_frame_equal(pipeline.stored_scores(config, str(table)), scores)


def test_a_face_of_each_class_is_shown_where_nobody_is_both_real_and_fake(monkeypatch):
    from mcxlib.figures import maps, samples

    columns = ["target_id", "class_index", "manipulation", "frame_index"]
    rows = pd.DataFrame([("a", 0, "real", 0), ("b", 1, "swap", 1), ("c", 2, "talk", 0)])
    rows.columns = columns
    monkeypatch.setattr(samples, "test_images", lambda _, chosen: torch.zeros(len(chosen), 3, 4, 4))
    monkeypatch.setattr(samples, "test_rows", lambda _: rows)
    sample = samples.one_person(load("paper"))
    assert sample.labels == ["real", "swap", "talk"]
    monkeypatch.setattr(samples, "test_rows", lambda _: rows.assign(target_id=["a", "b", "a"]))
    assert samples.one_person(load("paper")).labels == ["real", "talk"]
    drawn = {}
    monkeypatch.setattr(maps, "cam_grid", lambda i, labels, shown, **_: drawn.update(labels=labels))
    stacked = {"net": {"fake": {"LayerCAM": np.zeros((3, 4, 4))}}}
    maps.layercam_plate(sample, stacked, "")
    assert drawn["labels"] == ["swap", "talk"]


def test_a_refused_training_leaves_the_finished_run_where_it_is(home, video):
    faceforensics(home, video)
    config = load("paper", **SMALL)
    folder = RunFolder(pipeline.ensure_run(config, workers=1))
    before = state_of(folder.path)
    # A list with fakes alone in the training part.
    manifest = pipeline.ensure_manifest(config, FF)
    chosen = manifest[(manifest["split"] != "train") | manifest["is_fake"]]
    chosen[["video_id", "is_fake", "split"]].to_csv(home / "fakes.csv", index=False)
    with pytest.raises(ValueError, match=r"part train has no real video"):
        mcx("manifest", "--preset", "paper", "--dataset", FF, "--list", home / "fakes.csv")
    # A copy of a test video in the training part, found by what it holds.
    test = home / f"videos/{FF}/{FOLDERS['real']}/c23/videos/953.mp4"
    shutil.copy(test, home / f"videos/{FF}/{FOLDERS['real']}/c23/videos/071.mp4")
    said = mcx("manifest", "--preset", "paper", "--dataset", FF)
    assert "equal files in both train / test: 1" in said
    assert f"{FOLDERS['real']}/c23/videos/071: {FOLDERS['real']}/c23/videos/953" in said
    with pytest.raises(ValueError, match="1 copies of a video under another name"):
        pipeline.ensure_run(config, workers=1, retrain="all")
    assert state_of(folder.path) == before
    assert [p.name for p in folder.path.parent.iterdir() if p.is_dir()] == [folder.run_id]


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_a_run_of_a_preset_that_has_changed_is_kept_until_asked_for(
    home, video, capsys, monkeypatch
):
    """Its name is the same, its settings are not: kept and used, and named in the status."""
    faceforensics(home, video)
    small = {name: value for name, value in SMALL.items() if name != "detector"}
    detector = detectors.find("mesonet")

    def preset(**settings):
        found = {"paper": dict(detector.presets["paper"]) | small | settings}
        monkeypatch.setattr(detector, "presets", found)
        return load("paper", detector="mesonet")

    config = preset()
    folder = RunFolder(pipeline.ensure_run(config, workers=1))
    before = state_of(folder.path)
    assert config.run_id == "mesonet_rgb_seed0"
    now = preset(weight_decay=0.25)
    assert now.run_id == "mesonet_rgb_seed0"
    assert now.train.weight_decay == 0.25 != config.train.weight_decay
    pipeline.ensure_run(now, workers=1)
    assert state_of(folder.path) == before
    pipeline.ensure_run(now, workers=1, retrain="changed")
    assert "training anew (setting weight_decay)" in capsys.readouterr().err
    assert read_json(folder.config)["train"]["weight_decay"] == 0.25
    aside = folder.path.with_name(f"{folder.run_id}.old-1")
    assert read_json(aside / "config.json")["train"]["weight_decay"] != 0.25


def test_runs_are_kept_and_replaced_ones_numbered(home, video, capsys):
    faceforensics(home, video)
    config = load("paper", **SMALL)
    folder = RunFolder(pipeline.ensure_run(config, workers=1))
    first = load_file(folder.weights)
    pipeline.ensure_run(config, retrain="changed")
    assert same(load_file(folder.weights), first)
    record = json.loads(folder.provenance.read_text())
    record["recipe"]["code"]["mcxlib.detectors.mesonet"] = "another"
    folder.provenance.write_text(json.dumps(record))
    pipeline.ensure_run(config)  # kept and used, whatever has changed
    assert not folder.path.with_name(f"{folder.run_id}.old-1").exists()
    for number in (1, 2):
        record = json.loads(folder.provenance.read_text())
        record["recipe"]["code"]["mcxlib.detectors.mesonet"] = "another"
        folder.provenance.write_text(json.dumps(record))
        pipeline.ensure_run(config, workers=1, retrain="changed")
        assert "code of detectors.mesonet" in capsys.readouterr().err
        aside = folder.path.with_name(f"{folder.run_id}.old-{number}")
        assert (aside / "weights.safetensors").is_file()
    assert same(load_file(folder.weights), first), "the same recipe gives the same bits"
    assert [run.run_id for run in tables.find_runs(paths.runs("paper"))] == []
    pipeline.ensure_run(config, workers=1, retrain="all")
    assert folder.path.with_name(f"{folder.run_id}.old-3").is_dir()
    with pytest.raises(ValueError, match="never, changed, all, not 'always'"):
        pipeline.ensure_run(config, retrain="always")


def test_weights_of_another_run_are_not_scored_under_its_name(home, video):
    faceforensics(home, video)
    config, other = load("paper", **SMALL), load("paper", **SMALL, seed=1)
    pipeline.ensure_run(config, workers=1)
    pipeline.ensure_run(other, workers=1)
    mine, theirs = pipeline.run_folder(config), pipeline.run_folder(other)
    shutil.copy(theirs.weights, mine.weights)
    with pytest.raises(ValueError, match=r"holds the weights of mesonet_rgb_seed1.*not of"):
        pipeline.ensure_scores(config, FF, workers=1)
    shutil.copy(theirs.config, mine.config)
    with pytest.raises(ValueError, match=r"is the configuration of mesonet_rgb_seed1"):
        pipeline.ensure_run(config)


def test_cut_takes_what_decides_crops_and_nothing_else(home, video):
    faceforensics(home, video)
    for name in ("colorspace=hsv", "seed=3", "input_size=32"):
        with pytest.raises(ValueError, match=f"unknown setting '{name.partition('=')[0]}'"):
            mcx("score", *options(), "--dataset", FF, "--cut", name)
    pipeline.ensure_run(load("paper", **SMALL), workers=1)
    crops = sorted(p.name for p in (home / "data/paper/crops").iterdir())
    with pytest.raises(ValueError, match=r"trained on other crops.*frame_count: 2 stored, 1 want"):
        mcx("score", *options(), "--dataset", FF, "--cut", "frame_count=1")
    assert sorted(p.name for p in (home / "data/paper/crops").iterdir()) == crops, "before cutting"
    mcx("score", *options(), "--dataset", FF, "--cut", "frame_count=1", "--any-crops")
    folder = pipeline.run_folder(load("paper", **SMALL))
    (file,) = (folder.path / "other_scores").glob("*.parquet")
    assert len(pd.read_parquet(file)) == 5


def test_weights_and_one_data_set_are_enough_to_score_it(home, video):
    """A finished run in another place: no FaceForensics++, no crops, one folder of clips."""
    faceforensics(home, video)
    config = load("paper", **SMALL)
    pipeline.ensure_run(config, workers=1)
    shutil.rmtree(home / f"videos/{FF}")
    shutil.rmtree(home / "data")
    own(home / "videos/mine", video)
    scores = pipeline.ensure_scores(config, "mine", workers=1)
    assert len(scores) == 12
    assert not (home / f"data/paper/crops/{FF}").exists()
    assert scores["fake_score"].between(0, 1).all()
    assert not [c for c in scores if c.startswith("p_")], "a binary detector has no classes"


def test_the_papers_row_finds_its_run_by_the_label(home, video):
    faceforensics(home, video)
    pipeline.ensure_scores(load("paper", **SMALL, seed=0), FF, workers=1)
    table = tables.closed_set(paths.runs("paper"))
    row = table[table["label"].str.startswith("MesoNet") & (table["seeds"] > 0)]
    printed = paper.table1().query("key == 'MesoNet' and test_set == 'DF'")["bosc"].item()
    # Its settings are not the preset's: a row of its own, the paper's stays empty.
    assert set(row["status"]) == {"not in the paper's table"}
    assert printed == 89.55
    scores = pipeline.ensure_scores(load("paper", **SMALL), FF)
    assert np.isfinite(scores["fake_score"]).all()

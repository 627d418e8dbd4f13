"""What tells classes apart without a face: measured values, and a classifier on them."""

import io
import json

import cv2
import numpy as np
import pandas as pd
import pytest
from media import write_video
from PIL import Image
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from typer.testing import CliRunner

from mcxlib import cli, pipeline
from mcxlib.config import load_data
from mcxlib.data.confounds import measure
from mcxlib.data.confounds.separate import sentence, separate
from mcxlib.settings import paths


def picture(seed, size=(64, 48)):
    """Smooth colours with a little noise, RGB."""
    rng = np.random.default_rng(seed)
    small = rng.integers(40, 215, (6, 8, 3)).astype(np.uint8)
    image = cv2.resize(small, size, interpolation=cv2.INTER_CUBIC).astype(float)
    return (image + rng.normal(0, 3, image.shape)).clip(0, 255).astype(np.uint8)


def recompressed(image, quality):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "jpeg", quality=quality)
    return np.asarray(Image.open(io.BytesIO(buffer.getvalue())))


def data_set(folder, save, number=30):
    """A folder of so many real and fake images, written by save(kind, image, path)."""
    for offset, kind in enumerate(("real", "fake")):
        (folder / kind).mkdir(parents=True)
        for i in range(number):
            save(kind, picture(1000 * offset + i), folder / kind / f"{i:02}")
    return folder


def found_in(folder):
    config = load_data("paper")
    return config, pipeline.ensure_confounds(config, str(folder), workers=1)


def stored(config, folder):
    """The measured table, with labels, as another program would read it."""
    manifest = pd.read_parquet(pipeline.plan(config, str(folder)).manifest)
    place = pipeline.confounds_file(pipeline.plan(config, str(folder)))
    table = pd.read_parquet(place.with_suffix(".parquet"))
    return table.merge(manifest[["video_id", "is_fake"]], on="video_id").sort_values("video_id")


def test_fakes_that_were_saved_as_jpeg_once_more_are_told_by_that(home):
    def save(kind, image, path):
        image = recompressed(image, 60) if kind == "fake" else image
        Image.fromarray(image).save(path.with_suffix(".png"))

    config, found = found_in(data_set(home / "mine", save))
    assert found["auc"] > 0.95
    assert found["low"] > 0.8
    best = found["features"][0]
    assert best["feature"] in ("blockiness", "bits_per_pixel")
    blocks = next(row for row in found["features"] if row["feature"] == "blockiness")
    assert blocks["auc"] > 0.95
    assert "tell real from fake without a face" in found["sentence"]
    assert "need not be about faces" in found["sentence"]
    assert "blockiness" in found["sentence"]
    table = stored(config, home / "mine")
    for name in ("blockiness", "bits_per_pixel", "brightness", "contrast"):
        said = next(row["auc"] for row in found["features"] if row["feature"] == name)
        assert said == pytest.approx(roc_auc_score(table["is_fake"], table[name]))


def test_another_jpeg_quality_is_named_and_the_forest_is_scikit_learns(home):
    def save(kind, image, path):
        Image.fromarray(image).save(path.with_suffix(".jpg"), quality=90 if kind == "real" else 75)

    config, found = found_in(data_set(home / "mine", save))
    quality = next(row for row in found["features"] if row["feature"] == "jpeg_quality")
    assert (quality["auc"], quality["known"]) == (0.0, 60)
    assert "jpeg_quality 0.00" in found["sentence"]
    by_class = {(r["class"], r["feature"]): r for r in found["classes"]}
    assert by_class["real", "jpeg_quality"]["median"] == 90
    assert by_class["fake", "jpeg_quality"]["median"] == 75
    assert by_class["fake", "codec"]["most"] == "jpeg"
    assert found["auc"] == pytest.approx(forest_auc(stored(config, home / "mine")))
    assert found["auc"] > 0.99


def forest_auc(table):
    """The same classifier, put together here; every image is a group of its own."""
    table = table.reset_index(drop=True)
    names = [n for n in measure.NUMBERS if n in table and table[n].notna().any()]
    model = make_pipeline(
        ColumnTransformer(
            [
                ("n", SimpleImputer(strategy="median", add_indicator=True), names),
                ("k", OneHotEncoder(handle_unknown="ignore"), ["file_type", "codec"]),
            ]
        ),
        RandomForestClassifier(50, min_samples_leaf=2, class_weight="balanced", random_state=0),
    )
    fake = table["is_fake"].astype(bool)
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    score = cross_val_predict(
        model, table, fake, cv=folds.split(table, fake, np.arange(len(table))),
        method="predict_proba",
    )[:, 1]  # fmt: skip
    return roc_auc_score(fake, score)


def test_a_balanced_data_set_is_not_told_apart(home):
    def save(kind, image, path):
        Image.fromarray(image).save(path.with_suffix(".png"))

    config, found = found_in(data_set(home / "mine", save))
    assert found["low"] < 0.5 < found["high"]
    assert found["auc"] == pytest.approx(forest_auc(stored(config, home / "mine")))
    assert "do not tell real from fake reliably" in found["sentence"]
    flat = {row["feature"]: row for row in found["features"]}
    assert (flat["width"]["auc"], flat["codec"]["auc"]) == (0.5, 0.5)
    assert found["unreadable"] == []
    assert (found["videos"], found["of"], found["faces"]) == (60, 60, False)


def test_a_kind_of_file_is_told_by_the_other_videos_of_its_kind():
    rng = np.random.default_rng(0)
    fake = np.arange(80) % 2 == 1
    codec = np.where(rng.random(80) < 0.8, np.where(fake, "h264", "vp9"), "mpeg4")
    table = pd.DataFrame({"is_fake": fake, "codec": codec})
    found = separate(table, pd.Series(np.arange(80)))
    (row,) = found.features.to_dict("records")
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression())
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    score = cross_val_predict(
        model, table[["codec"]], fake, cv=folds.split(table, fake, np.arange(80)),
        method="predict_proba",
    )[:, 1]  # fmt: skip
    assert row["auc"] == pytest.approx(roc_auc_score(fake, score))
    assert row["low"] > 0.5


def test_videos_that_belong_together_are_never_on_both_sides():
    """Each person has a brightness of their own and one class: only who it is tells the class."""
    rng = np.random.default_rng(1)
    person = np.repeat(np.arange(12), 20)
    table = pd.DataFrame({"is_fake": person % 2 == 1, "brightness": rng.random(12)[person]})
    table["brightness"] += rng.normal(0, 1e-4, len(table))
    grouped = separate(table, pd.Series(person)).interval
    alone = separate(table, pd.Series(np.arange(len(table)))).interval
    assert alone.estimate > 0.99
    assert grouped.low < 0.5 < grouped.high


def test_too_few_or_too_entangled_videos_are_said():
    table = pd.DataFrame({"is_fake": [0, 0, 1, 1], "brightness": [0.1, 0.2, 0.3, 0.4]})
    found = separate(table, pd.Series([0, 0, 1, 2]))
    assert found.interval is None
    assert "1 of real videos and 2 of fake videos that do not belong together" in sentence(
        "mine", found
    )
    assert pd.isna(found.features["auc"].iloc[0])


@pytest.mark.parametrize("quality", [10, 35, 50, 75, 90, 98])
def test_jpeg_quality_is_what_it_was_saved_with(tmp_path, quality):
    file = tmp_path / "a.jpg"
    Image.fromarray(picture(0)).save(file, quality=quality)
    said = measure.measure(file, file.stat().st_size)["jpeg_quality"]
    assert said == quality
    assert np.isnan(measure.jpeg_quality(None))


def test_what_is_measured_of_a_video_and_of_a_folder_of_frames(tmp_path):
    file = write_video(tmp_path / "a.mp4", n=20, size=(96, 64))
    size = file.stat().st_size
    about = measure.measure(file, size)
    assert {n: about[n] for n in ("width", "height", "frames", "fps", "codec", "file_type")} == {
        **{"width": 96, "height": 64, "frames": 20, "fps": 25.0},
        **{"codec": "h264", "file_type": ".mp4"},
    }
    assert about["duration"] == pytest.approx(0.8, abs=0.05)
    assert about["bitrate"] == pytest.approx(size * 8 / 1000 / about["duration"])
    assert about["bits_per_pixel"] == pytest.approx(size * 8 / (96 * 64 * 20))
    # Frames 3, 10 and 16 of 20 have a mean of 10 + 8 i, up to the compression.
    assert about["brightness"] * 255 == pytest.approx(np.mean([34, 90, 138]), abs=2)
    folder = tmp_path / "frames"
    folder.mkdir()
    images = [picture(i) for i in range(2)]
    for i, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{i}.png")
    about = measure.measure(folder, 1000)
    assert (about["frames"], about["file_type"], about["codec"]) == (2, "folder of .png", "png")
    greys = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images]
    assert about["brightness"] == pytest.approx(np.mean(greys) / 255, abs=2e-3)
    assert about["contrast"] == pytest.approx(np.mean([g.std() for g in greys]) / 255, abs=2e-3)
    assert np.isnan(about["fps"])
    assert np.isnan(about["bitrate"])


def test_blockiness_by_hand():
    """Steps of 1 everywhere, of 3 across the grid: 3. Of a plain picture there is nothing."""
    row = np.cumsum([0] + [3 if i % 8 == 0 else 1 for i in range(1, 32)])
    assert measure.blockiness(row[None] + row[:, None]) == pytest.approx(3)
    assert np.isnan(measure.blockiness(np.zeros((20, 20))))
    assert np.isnan(measure.blockiness(np.zeros((4, 4))))


def test_it_is_computed_once_and_new_videos_are_measured_alone(home, monkeypatch):
    folder = data_set(
        home / "mine", lambda _, image, path: Image.fromarray(image).save(f"{path}.png"), 4
    )
    config, found = found_in(folder)
    place = pipeline.confounds_file(pipeline.plan(config, str(folder)))
    assert place.parent == pipeline.plan(config, str(folder)).manifest.parent
    assert json.loads(place.read_text())["sentence"] == found["sentence"]
    seen = []
    real = measure.measure
    monkeypatch.setattr(measure, "measure", lambda p, s: seen.append(p.name) or real(p, s))
    written = place.stat().st_mtime_ns
    assert found_in(folder)[1] == found
    assert (seen, place.stat().st_mtime_ns) == ([], written)
    Image.fromarray(picture(77)).save(folder / "fake/new.png")
    (folder / "real/broken.png").write_bytes(b"\x89PNG no more")
    pipeline.make_manifest(config, str(folder))
    _, again = found_in(folder)
    assert sorted(seen) == ["broken.png", "new.png"]
    assert (again["videos"], again["of"], again["unreadable"]) == (9, 10, ["real/broken"])


def test_sizes_of_faces_come_from_the_crops(home):
    folder = data_set(
        home / "mine", lambda _, image, path: Image.fromarray(image).save(f"{path}.png"), 6
    )
    config, found = found_in(folder)
    assert not found["faces"]
    at = pipeline.plan(config, str(folder))
    videos = pd.read_parquet(at.manifest)
    side = np.where(videos["is_fake"], 20.0, 30.0)
    crops = pd.DataFrame({"video_id": videos["video_id"], "status": "ok"})
    crops = crops.assign(x1=5.0, y1=5.0, x2=5 + side, y2=5 + side)
    bad = crops.assign(status="no_face", x2=np.nan)
    paths.table_of(at.crops).parent.mkdir(parents=True, exist_ok=True)
    pd.concat([crops, bad]).to_parquet(paths.table_of(at.crops))
    _, found = found_in(folder)
    assert found["faces"]
    (row,) = [r for r in found["features"] if r["feature"] == "face_size"]
    assert row["auc"] == 0.0
    medians = {r["class"]: r["median"] for r in found["classes"] if r["feature"] == "face_size"}
    assert medians == pytest.approx({"real": 30.0, "fake": 20.0})


def test_a_sample_is_stable_and_of_both_classes():
    rows = [(f"v{i:04}", i % 3 == 0, 1, "train") for i in range(900)]
    table = pd.DataFrame(rows, columns=["video_id", "is_fake", "bytes", "split"])
    first = measure.sample(table, 50)
    assert first["is_fake"].value_counts().to_dict() == {True: 50, False: 50}
    more = measure.sample(table.iloc[:880], 50)
    assert len(set(first["video_id"]) & set(more["video_id"])) >= 90
    table.loc[0, "bytes"] = 0
    assert "v0000" not in set(measure.sample(table, 900)["video_id"])
    unused = table.assign(split=[*["test"] * 10, *[""] * 890])
    assert len(measure.sample(unused, 50)) == 9


def test_the_command_shows_it(home):
    def save(kind, image, path):
        Image.fromarray(image).save(path.with_suffix(".jpg"), quality=90 if kind == "real" else 40)

    data_set(home / "mine", save, 6)
    result = CliRunner().invoke(
        cli.app, ["check", "--preset", "paper", "--dataset", str(home / "mine"), "--workers", "1"]
    )
    assert result.exit_code == 0, result.output
    for words in (
        *("real, 6 videos", "fake, 6 videos", "codec: jpeg (100%)", "jpeg_quality: 0.00"),
        *("12 of 12 videos were looked at", "face_size: not known before mcx crops"),
        "tell real from fake without a face",
    ):
        assert words in result.output


def test_training_goes_on_whatever_happens_to_it(home, monkeypatch, capsys):
    from mcxlib.pipeline import confounds

    monkeypatch.setattr(confounds, "ensure_confounds", lambda *_: 1 / 0)
    confounds.announce(load_data("paper"), "mine")
    assert "mine: confounds could not be computed (division by zero)" in capsys.readouterr().err

"""The study of robustness: untouched frames keep their scores to the last bit, what is there is not
made again, and every number comes from the stored scores."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text
from scipy.stats import bootstrap
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from training import FOLDERS, MESONET
from typer.testing import CliRunner

from mcxlib import cli, figures, pipeline, schemas
from mcxlib.config import load
from mcxlib.data.crops import storage
from mcxlib.data.faces.choice import Face
from mcxlib.data.video.reader import read_frames
from mcxlib.data.video.reencode import reencoded
from mcxlib.evaluate import Sample as Scores
from mcxlib.evaluate.drop import drop_interval
from mcxlib.experiments import corrupted_crops, corruptions, robustness
from mcxlib.experiments import robustness_curves as numbers
from mcxlib.experiments.corrupted_crops import Sample
from mcxlib.figures.style import png
from mcxlib.settings.data import DataConfig
from mcxlib.synthetic import render_person
from mcxlib.synthetic.encode import write_video

FF = "FaceForensics++"
SETTINGS = MESONET | {"frame_count": 3}
PEOPLE = {"071": "054", "720": "672", "953": "974", "907": "795"}
"""One to train on, one to select by, two to test on."""
TWO = Sample(20, 2)
GRID = [("jpeg", 30), ("h264", 38), ("shift", 0.2), ("detection", "exact")]


@pytest.fixture(scope="module")
def run(module_home):
    """A run of MesoNet, one epoch on one drawn person, with the scores of :data:`GRID`."""
    home = module_home
    for person, (target, donor) in enumerate(PEOPLE.items()):
        clip = render_person((person,), width=240, height=180, frames=3)
        for number, (kind, folder) in enumerate(FOLDERS.items()):
            name = target if kind == "real" else f"{target}_{donor}"
            path = home / f"videos/{FF}/{folder}/c23/videos/{name}.mp4"
            write_video(path, np.roll(clip, number, axis=-1) - 9 * np.uint8(number), 25, 18)
    config = load("paper", **SETTINGS)
    robustness.make([config], GRID, sample=TWO, workers=1, told=lambda line: None)
    return config


def again(config, grid=GRID, sample=TWO):
    """What is made by another call, a line a level."""
    lines = []
    robustness.make([config], grid, sample=sample, workers=1, told=lines.append)
    return lines


def level(table, corruption, text="none"):
    return table[(table["corruption"] == corruption) & (table["level"] == text)]


def test_untouched_frames_have_the_stored_scores_to_the_last_bit(run):
    table = robustness.stored(run, sample=TWO)
    untouched = level(table, "none")
    assert len(untouched) == 2 * 5 * 2, "two people, five kinds, two frames of three"
    every = pipeline.stored_scores(run, FF)
    keys = ["video_id", "frame_index"]
    both = untouched.merge(every, on=keys, suffixes=("", "_stored"))
    assert len(both) == 20
    assert both["fake_score"].eq(both["fake_score_stored"]).all()
    assert both["is_fake"].eq(both["is_fake_stored"]).all()
    # And a harm changes them.
    for name, text in (("jpeg", "30"), ("h264", "38"), ("shift", "0.2")):
        part = level(table, name, text).merge(untouched, on=keys, suffixes=("", "_before"))
        assert len(part) == 20
        assert (part["fake_score"] != part["fake_score_before"]).mean() > 0.5


def test_of_all_frames_too(run, tmp_path):
    """As many as the stored scores, cut and scored by themselves: no sample, no order."""
    whole = Sample(20, 30)
    assert again(run, [], whole) == ["none=none: 1 detectors"]
    table = robustness.stored(run, sample=whole)
    every = pipeline.stored_scores(run, FF)
    keys = ["video_id", "frame_index"]
    found = table.sort_values(keys)["fake_score"].to_numpy()
    np.testing.assert_array_equal(found, every.sort_values(keys)["fake_score"].to_numpy())


def rows_of(run):
    """(rows of the test part, video id -> file)."""
    store = robustness._store(run, FF, Sample(20, 30), 1)
    return store.rows, store.videos


def test_crops_of_untouched_frames_are_the_stored_ones(run, tmp_path):
    rows, videos = rows_of(run)
    new = corrupted_crops.cut(rows, videos, tmp_path, run.data, "none", "none")
    assert len(new) == len(rows) == 30
    both = new.merge(rows, on=corrupted_crops.FRAME, suffixes=("", "_stored"))
    folder = pipeline.crop_folder(run, FF)
    assert len(both) == 30
    for row in both.itertuples():
        expected = storage.open_crops(folder / row.file_stored)[row.row_stored]
        np.testing.assert_array_equal(storage.open_crops(tmp_path / row.file)[row.row], expected)


def one(box, video="a", index=1):
    return pd.DataFrame(
        [
            {"video_id": video, "frame_index": index, "face": 0, "file": "old.npy", "row": 7}
            | dict(zip(("x1", "y1", "x2", "y2"), box, strict=True))
        ]
    )


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """(file, its frames as they are read)."""
    path = tmp_path_factory.mktemp("clip") / "a.mp4"
    write_video(path, render_person((9,), width=160, height=120, frames=4), 25, 18)
    return path, [frame.image for frame in read_frames(path, [0, 1, 2, 3])]


def cut_one(clip, folder, name, at, size, box=(60.0, 40.0, 100.0, 80.0)):
    data = DataConfig(crop_size=size)
    found = corrupted_crops.cut(one(box), {"a": clip[0]}, folder, data, name, at)
    (row,) = found.to_dict("records")
    return row, storage.open_crops(folder / row["file"])[row["row"]]


def test_a_shifted_box_is_a_crop_cut_by_hand(clip, tmp_path, monkeypatch):
    """A box of 40 px has a loose crop of 52, which is stored as it is at 52 px."""
    frame = clip[1][1]
    _, crop = cut_one(clip, tmp_path, "none", "none", 52)
    np.testing.assert_array_equal(crop, frame[34:86, 54:106])
    for angle, (right, down) in ((0.0, (8, 0)), (np.pi / 2, (0, 8)), (np.pi, (-8, 0))):
        monkeypatch.setattr(corruptions, "angle_of", lambda video, angle=angle: angle)
        row, crop = cut_one(clip, tmp_path, "shift", 0.2, 52)
        expected = frame[34 + down : 86 + down, 54 + right : 106 + right]
        np.testing.assert_array_equal(crop, expected)
        assert (row["x1"], row["y2"]) == pytest.approx((60 + right, 80 + down))


def test_a_scaled_box_is_a_crop_cut_by_hand(clip, tmp_path):
    """Of 80 px: a crop of 104, here without enlarging."""
    _, crop = cut_one(clip, tmp_path, "scale", 2, 104)
    np.testing.assert_array_equal(crop, clip[1][1][8:112, 28:132])


def test_pictures_are_harmed_before_the_face_is_cut_out(clip, tmp_path):
    frame = clip[1][1]
    for name, at in (("jpeg", 20), ("blur", 2), ("noise", 5), ("resize", 0.5), ("brightness", 2)):
        _, crop = cut_one(clip, tmp_path, name, at, 52)
        expected = corruptions.picture(frame, name, at, "a", 1)[34:86, 54:106]
        np.testing.assert_array_equal(crop, expected)
    # H.264: the whole video up to the frame, and no further.
    _, crop = cut_one(clip, tmp_path, "h264", 35, 52)
    np.testing.assert_array_equal(crop, list(reencoded(clip[1][:2], 35))[1][34:86, 54:106])


def test_what_is_there_is_not_made_again(run, monkeypatch):
    before = robustness.stored(run, sample=TWO)
    path = robustness.path_of(run, sample=TWO)
    stamp = path.stat().st_mtime_ns
    assert again(run) == []
    assert path.stat().st_mtime_ns == stamp
    # Stopped in the middle of a level: the one before it is kept.
    whole, cut = [("blur", 1), ("blur", 2)], corrupted_crops.cut

    def stopped(rows, videos, folder, data, name, at):
        if at == 2:
            raise KeyboardInterrupt
        return cut(rows, videos, folder, data, name, at)

    monkeypatch.setattr(corrupted_crops, "cut", stopped)
    with pytest.raises(KeyboardInterrupt):
        again(run, whole)
    monkeypatch.setattr(corrupted_crops, "cut", cut)
    assert again(run, whole) == ["blur=2: 1 detectors"]
    after = robustness.stored(run, sample=TWO)
    kept = after[after["corruption"] != "blur"].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, before)
    assert len(level(after, "blur", "1")) == len(level(after, "blur", "2")) == 20


def test_other_weights_rows_or_corruptions_are_made_anew(run, monkeypatch):
    sample = Sample(20, 1)
    again(run, [("jpeg", 30)], sample)
    path = robustness.path_of(run, sample=sample)
    table, note = pd.read_parquet(path), schemas.read_note(path)
    assert note["format"] == 1
    assert (note["lost"], note["sample"]) == (
        {"none=none": 0, "jpeg=30": 0},
        {"videos": 20, "frames": 1, "seed": 0},
    )
    for name in ("weights_sha256", "rows_sha256", "corruptions"):
        schemas.write_noted(path, table.assign(fake_score=0.5), note | {name: "others"})
        if name == "weights_sha256":
            assert robustness.stored(run, sample=sample) is None
            with pytest.raises(FileNotFoundError, match=r"no current scores of mesonet.*: make"):
                numbers.curves([run], sample=sample)
        assert again(run, [], sample) == ["none=none: 1 detectors"]
        assert set(robustness.stored(run, sample=sample)["corruption"]) == {"none"}
    schemas.write_noted(path, table, note | {"format": 2})
    with pytest.raises(ValueError, match="of format 2, and this program reads up to 1; update it"):
        robustness.stored(run, sample=sample)
    path.write_bytes(b"PAR1 nothing")
    with pytest.raises(ValueError, match=r"cannot be read .*remove it and run mcx robustness"):
        robustness.stored(run, sample=sample)
    path.unlink()


def test_other_videos_than_those_that_were_scored_are_noticed(run, monkeypatch):
    store = robustness._store(run, FF, Sample(20, 1), 1)
    store.untouched = store.untouched.assign(fake_score=store.untouched["fake_score"] + 0.01)
    with pytest.raises(ValueError, match=r"score up to 0\.0100 away from the stored scores"):
        robustness._make_level([store], "none", "none")


class Finds:
    """A face finder that sees the face that was there in every video but one."""

    def __init__(self, rows, blind):
        self.rows, self.blind, self.video = rows, blind, -1

    def reset(self):
        self.video += 1

    def __call__(self, frame, index):
        video = list(dict.fromkeys(self.rows["video_id"]))[self.video]
        row = self.rows[(self.rows["video_id"] == video) & (self.rows["frame_index"] == index)]
        box = tuple(row[["x1", "y1", "x2", "y2"]].iloc[0])
        return [] if video == self.blind else [Face(box, 1.0)]


def test_faces_that_are_not_found_anew_are_counted(run, monkeypatch):
    found = level(robustness.stored(run, sample=TWO), "detection", "exact")
    assert 15 <= len(found) <= 20, "drawn faces are found at their place by either search"
    store = robustness._store(run, FF, TWO, 1)
    blind = store.rows["video_id"].iloc[0]
    monkeypatch.setattr(
        corrupted_crops, "_finder", lambda data, detection: Finds(store.rows, blind)
    )
    robustness._make_level([store], "detection", "fast")
    table = robustness.stored(run, sample=TWO)
    assert table.attrs["lost"]["detection=fast"] == 2
    part = level(table, "detection", "fast")
    assert len(part) == 18
    assert blind not in set(part["video_id"])
    # One video is left of its kind: there is no interval, and no number.
    curve = numbers.curves([run], sample=TWO)
    row = curve[(curve["corruption"] == "detection") & (curve["level"] == "fast")].iloc[0]
    assert (row["frames"], row["lost"]) == (18, 2)
    assert np.isnan(row["auc"])
    assert np.isnan(row["auc_drop"])
    assert curve[curve["corruption"] == "jpeg"]["auc"].notna().all()


def test_a_drop_is_over_the_frames_that_both_have(run):
    table = level(robustness.stored(run, sample=TWO), "none")
    found = numbers._drops(table, table[table["frame_index"] > 0])
    assert (found["auc_drop"], found["bosc_drop"]) == (0, 0)


def test_numbers_are_those_of_the_stored_scores(run):
    assert numbers.with_others([run]) == [run], "no other row has any"
    curve = numbers.curves([run], sample=TWO)
    table = robustness.stored(run, sample=TWO)

    def mean(metric, name, text):
        part = level(table, name, text)
        sets = [part[part["manipulation"].isin(["real", kind])] for kind in list(FOLDERS)[1:]]
        return np.mean([metric(s["is_fake"], s["fake_score"]) for s in sets])

    def bosc(is_fake, score):
        return 100 * balanced_accuracy_score(is_fake, score > 0.5)

    before = mean(roc_auc_score, "none", "none")
    for name, text in (("jpeg", "30"), ("shift", "0.2")):
        rows = curve[curve["corruption"] == name].set_index("level")
        assert list(rows["place"]) == [0, 1]
        assert rows.loc["none", "auc"] == pytest.approx(before)
        assert np.isnan(rows.loc["none", "auc_drop"])
        row = rows.loc[text]
        assert row["auc"] == pytest.approx(mean(roc_auc_score, name, text))
        assert row["auc_drop"] == pytest.approx(before - mean(roc_auc_score, name, text))
        assert row["bosc"] == pytest.approx(mean(bosc, name, text))
        assert row["auc_low"] <= row["auc"] <= row["auc_high"]
        assert row["auc_drop_low"] <= row["auc_drop"] <= row["auc_drop_high"]
        assert (row["videos"], row["frames"], row["label"]) == (10, 20, "MesoNet")


@pytest.mark.parametrize("perfect", [False, True])
def test_a_drop_has_scipys_paired_bootstrap_interval(perfect):
    """One frame a video, many draws: SciPy resamples pairs of real and of fake ones apart. Also
    where nothing was wrong before."""
    rng = np.random.default_rng(0)
    fake = np.arange(60) % 2 == 1
    before = rng.normal(fake * 1.5, 1) + (20 * fake if perfect else 0)
    after = 0.6 * (before - (20 * fake if perfect else 0)) + rng.normal(0, 0.8, 60)
    names = rng.permutation(60).astype(str)
    order = rng.permutation(60)
    found = drop_interval(
        [Scores(fake, before, names)],
        [Scores(fake[order], after[order], names[order])],
        draws=4000,
        seed=1,
    )
    assert found.estimate == pytest.approx(roc_auc_score(fake, before) - roc_auc_score(fake, after))

    def statistic(real, altered):
        real, altered = np.stack(list(real)), np.stack(list(altered))
        first, second = (altered[:, None] > real[None]).mean(axis=(0, 1))
        return first - second

    pairs = np.empty(60, object)
    pairs[:] = list(np.stack([before, after], axis=1))
    expected = bootstrap(
        (pairs[~fake], pairs[fake]), statistic, method="percentile", n_resamples=1500,
        vectorized=False, rng=np.random.default_rng(2),
    ).confidence_interval  # fmt: skip
    # Ends from so many draws have an error of about 0.005.
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.02)
    assert found.kind == "bootstrap"


def test_two_perfect_scores_of_few_videos_are_no_certain_zero():
    """Six of six in order, both times: a true AUC below 0.05 ** (1 / 6) would rarely give that."""
    fake = np.repeat([False, True], 6)
    names = [f"v{n}" for n in range(12)]
    perfect = Scores(fake, fake * 1.0, names)
    found = drop_interval([perfect], [Scores(fake, fake * 0.5, names)])
    open_ = 1 - 0.05 ** (1 / 6)
    assert found[:3] == pytest.approx((0, -open_, open_))
    assert found.kind == "exact bound"
    # BOSC at 0.5: every fake is missed afterwards, by 1 each; the real ones lose nothing.
    lost = drop_interval([perfect], [Scores(fake, fake * 0.5, names)], "bosc")
    assert lost[:3] == pytest.approx((0.5, 0.5 - open_ / 2 - open_, 0.5 + open_ / 2))
    assert lost.kind == "exact bound"
    with pytest.raises(ValueError, match="videos before and after the change are not the same"):
        drop_interval([perfect], [Scores(fake, fake * 1.0, [*names[:-1], "other"])])
    with pytest.raises(ValueError, match="1 sets of scores before and 0 after"):
        drop_interval([perfect], [])


def test_a_sample_by_hand():
    rows = pd.DataFrame(
        [
            {"video_id": f"{kind}{n}", "frame_index": index, "manipulation": kind}
            for kind, videos in (("real", 3), ("DF", 6))
            for n in range(videos)
            for index in range(0, 50, 10)
        ]
    )
    found = Sample(4, 3).of(rows)
    assert found.groupby("manipulation")["video_id"].nunique().to_dict() == {"real": 3, "DF": 4}
    assert set(found["frame_index"]) == {0, 20, 40}
    assert len(found) == 7 * 3
    pd.testing.assert_frame_equal(found, Sample(4, 3).of(rows))
    others = Sample(4, 3, seed=1).of(rows)
    assert set(others["video_id"]) != set(found["video_id"])
    assert len(Sample(9, 99).of(rows)) == len(rows)
    assert Sample.parse("4x3") == Sample(4, 3)
    assert (Sample(4, 3).name, Sample(4, 3, 1).name) == ("4x3", "4x3-seed1")


def curve(drops: dict[str, dict[str, float]]) -> pd.DataFrame:
    """AUC 0.9 untouched; drops at the stated levels, with intervals 0.1 to either side."""
    rows = []
    for label, of in drops.items():
        for name, drop in of.items():
            stated = corruptions.text(corruptions.CORRUPTIONS[name].stated)
            for place, (text, by) in enumerate((("none", np.nan), (stated, drop))):
                auc = 0.9 - (0 if place == 0 else by)
                row = {"label": label, "corruption": name, "level": text, "place": place}
                for metric, unit in (("auc", 1), ("bosc", 100)):
                    row |= {metric: unit * auc, f"{metric}_drop": unit * by}
                    for value in (metric, f"{metric}_drop"):
                        row |= {f"{value}_low": row[value] - unit * 0.1}
                        row |= {f"{value}_high": row[value] + unit * 0.1}
                rows.append(row)
    return pd.DataFrame(rows)


TABLE = {
    "A": {"jpeg": 0.05, "blur": 0.30, "shift": 0.02},
    "B": {"jpeg": 0.25, "blur": 0.10001, "shift": -0.12},
}


def test_words_say_what_costs_whom_most():
    first, second = numbers.words(curve(TABLE))
    assert first.startswith(
        "A: of the stated levels, Gaussian blur of 1 px costs most, 0.300 of AUC (0.200 to 0.400)"
    )
    assert first.endswith("2 of 3 stated levels cannot be told from no loss.")
    assert second.startswith("B: of the stated levels, JPEG of quality 30 costs most, 0.250")
    assert second.endswith("0 of 3 stated levels cannot be told from no loss, 1 raise it.")
    seen = numbers.seen(curve(TABLE))
    assert seen[0] == (
        "Of the stated levels, Gaussian blur of 1 px costs most, 0.200 of AUC on the mean of 2 "
        "detectors, and shifting the box by 0.1 of its side least, -0.050."
    )
    assert "A 0.123; B 0.077. 4 of 6 losses have an interval without 0." in seen[1]
    assert seen[2] == (
        "Changing the box alone costs -0.050 of AUC and -5.0 points of BOSC at 0.5, changing the "
        "picture 0.175 of AUC and 17.5 points of BOSC at 0.5."
    )
    costs = numbers.costs(curve(TABLE)).set_index("Detector")
    assert costs.loc["B"].to_dict() == {
        "AUC as it is": "0.900 (0.800 to 1.000)",
        "costs most": "JPEG of quality 30",
        "AUC lost to it": "0.250 (0.150 to 0.350)",
        "mean loss": "0.077",
    }
    shown = numbers.summary(curve(TABLE)).set_index("AUC")
    assert shown.loc["as it is", "A"] == "0.900 (0.800 to 1.000)"
    assert shown.loc["less by: JPEG of quality 30", "B"] == "0.250 (0.150 to 0.350)"


@pytest.mark.parametrize(("metric", "chance"), [("auc", 0.5), ("bosc", 50)])
def test_the_figure_shows_every_curve_its_band_and_chance(metric, chance):
    table = curve(TABLE)
    plate = figures.robustness(table, metric, "drawn")
    axes = plate.figure.axes
    assert [axis.get_title() for axis in axes] == ["JPEG", "Gaussian blur", "box shifted"]
    for axis, name in zip(axes, ("jpeg", "blur", "shift"), strict=True):
        lines = {line.get_label(): line for line in axis.get_lines()}
        assert list(lines) == ["chance", "A", "B"]
        assert set(lines["chance"].get_ydata()) == {chance}
        part = table[(table["corruption"] == name) & (table["label"] == "B")]
        np.testing.assert_allclose(lines["B"].get_ydata(), part[metric])
        assert len(axis.collections) == 2
        ends = axis.collections[1].get_paths()[0].vertices[:, 1]
        assert (ends.min(), ends.max()) == pytest.approx(
            (part[f"{metric}_low"].min(), part[f"{metric}_high"].max())
        )
        assert next(t.get_text() for t in axis.get_xticklabels()) == "as it is"
    texts = [t for t in plate.figure.findobj(Text) if t.get_text()]
    assert min(t.get_fontsize() for t in texts) * plate.figure.dpi / 72 >= 9
    assert "drawn" in plate.alt
    assert "A 0.900 without" in plate.alt or metric == "bosc"
    assert png(plate) == png(figures.robustness(table, metric, "drawn"))
    many = pd.concat([table.assign(label=f"{n}") for n in range(6)])
    assert not figures.robustness(many, metric).figure.axes[0].collections, "bands would hide it"
    with pytest.raises(ValueError, match="unknown metric 'acc'; valid: auc, bosc"):
        figures.robustness(table, "acc")
    with pytest.raises(ValueError, match="no curves to show; make some with mcx robustness"):
        figures.robustness(table[:0])


def test_one_face_under_every_level(run):
    rows, videos = rows_of(run)
    row = rows.iloc[0]
    grid = [("jpeg", 10), ("jpeg", 90), ("scale", 0.8)]
    shown = corrupted_crops.faces(row, videos[row["video_id"]], run.data, grid)
    assert {name: [text for text, _ in of] for name, of in shown.items()} == {
        "jpeg": ["none", "90", "10"],
        "scale": ["0.8", "none"],
    }
    stored = storage.open_crops(pipeline.crop_folder(run, FF) / row["file"])[row["row"]]
    np.testing.assert_array_equal(shown["scale"][1][1], stored)
    plate = figures.harmed_faces(shown)
    assert len([axis for axis in plate.figure.axes if axis.images]) == 5
    assert plate.alt.startswith("5 pictures of one face, a row a corruption: JPEG, box scaled.")
    with pytest.raises(ValueError, match="no pictures"):
        figures.harmed_faces({})


def test_what_cannot_be_harmed_is_named(run, tmp_path):
    rows, videos = rows_of(run)
    whole = run.data.model_copy(update={"crop_rule": "whole"})
    with pytest.raises(ValueError, match="shift: crops of rule 'whole' are whole frames"):
        corrupted_crops.cut(rows, videos, tmp_path, whole, "shift", 0.1)
    gone = dict.fromkeys(videos, tmp_path / "gone.mp4")
    for name, at in (("jpeg", 30), ("h264", 30)):
        with pytest.raises(ValueError, match=r"gone\.mp4: crops were cut .*bring the video back"):
            corrupted_crops.cut(rows, gone, tmp_path, run.data, name, at)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--level", "jpg=3"), "unknown corruption 'jpg'; did you mean 'jpeg'"),
        (("--level", "jpeg=300"), "jpeg=300: a level is a whole number from 1 to 100"),
        (("--sample", "many"), "a sample is VIDEOSxFRAMES, such as 20x4, not 'many'"),
        (("--detectors", "mcx-apy"), "mcx-apy"),
        (("--detectors", "mcx-api:rbg"), "rbg"),
        (("--preset", "demi"), "unknown preset 'demi'; valid: demo, test, paper"),
    ],
)
def test_wrong_words_of_the_command_are_named_before_anything_is_made(home, words, said):
    result = CliRunner().invoke(cli.app, ["robustness", *words])
    assert isinstance(result.exception, ValueError)
    assert said in str(result.exception)
    assert not (home / "data").exists()
    assert not (home / "runs").exists()


def test_which_detectors_are_looked_at():
    def ids(*arguments, **more):
        return [config.run_id for config in robustness.runs(*arguments, **more)]

    assert ids("demo") == ["mcx-api_rgb_seed0", "api-net_rgb_seed0", "xception_rgb_seed0"]
    assert ids("test") == ["mcx-api_rgb_seed0", "api-net_rgb_seed0"]
    assert len(ids("demo", full=True)) == 21
    assert ids("demo", ["mcx-api:rgb+hsv", "f3-net"]) == [
        "mcx-api_rgb+hsv_seed0",
        "f3-net_rgb_seed0",
    ]

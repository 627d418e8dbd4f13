"""What the notebooks show: pairs, planes, clips, the slider's numbers, and their last sentences."""

import base64
import io
import json
import re

import av
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import confusion_matrix, roc_auc_score

from mcxlib import CLASSES, explain, figures, notebook
from mcxlib.detectors.base import Detector, DetectorSettings
from mcxlib.experiments import what_we_saw
from mcxlib.figures import (
    altered,
    byhand,
    clips,
    embedding,
    mined,
    planes,
    threshold,
    vector,
)

SOURCE = "synthetic demonstration data"


def scores(n=40):
    rng = np.random.default_rng(3)
    fake = np.arange(n) % 3 > 0
    score = np.clip(rng.normal(0.4 + 0.3 * fake, 0.2), 0, 1)
    return pd.DataFrame({"dataset": "KoDF", "is_fake": fake, "fake_score": score})


# -- vector graphics ----------------------------------------------------------------------------


def test_a_vector_plate_is_the_same_twice_and_keeps_pictures_as_they_are():
    crop = np.zeros((3, 20, 30), np.float32)
    crop[0, :, :15] = 1
    plates = [figures.contact_sheet(crop[None], ["real"], SOURCE) for _ in range(2)]
    one, two = map(vector.svg, plates)
    assert one == two
    assert one.startswith("<svg")
    assert "<text" not in one  # outlines: the reader need not have the font
    (inside,) = re.findall(r"data:image/(\w+);base64,([^\"]+)", one)
    assert inside[0] == "webp"
    from PIL import Image

    with Image.open(io.BytesIO(base64.b64decode(inside[1]))) as picture:
        assert picture.size == (30, 20)
        red = np.asarray(picture.convert("RGB"), int)
    assert red[:, 3:12].mean((0, 1)) == pytest.approx([255, 0, 0], abs=12)
    assert red[:, 18:27].mean((0, 1)) == pytest.approx([0, 0, 0], abs=12)


def test_a_tile_is_reduced_and_never_enlarged():
    assert vector.tile(np.zeros((3, 8, 8))).shape == (8, 8, 3)
    large = np.zeros((400, 200, 3), np.uint8)
    large[:, 100:] = 200
    small = vector.tile(large, 100)
    assert small.shape == (100, 50, 3)
    assert set(np.unique(small)) == {0, 200}
    assert vector.tile(np.full((3, 4, 4), 1.5)).max() == 255


def test_a_notebooks_figure_carries_its_own_description():
    first, second = (figures.contact_sheet(np.zeros((1, 3, 9, 9)), ["DF"], SOURCE) for _ in "ab")
    text, about = notebook.show(first)._repr_svg_()
    assert about == {"alt": "Contact sheet (synthetic demonstration data) with 1 face crops: 1 DF."}
    assert text == vector.svg(second)


def test_an_executed_notebook_describes_what_it_shows(tmp_path):
    import nbformat
    from nbformat import v4

    shown = v4.new_output("display_data", {"image/svg+xml": "<svg/>"})
    shown["metadata"] = {"image/svg+xml": {"alt": "what this run shows"}}
    meta = {"mystnb": {"image": {"alt": "what another run showed"}}}
    book = v4.new_notebook(
        cells=[
            v4.new_markdown_cell("*This copy was run with the preset `test`.*"),
            v4.new_code_cell("preset = 'x'", metadata={"tags": ["injected-parameters"]}),
            v4.new_code_cell("show()", outputs=[shown], metadata=meta),
        ]
    )
    for preset, cells in (("test", 3), ("demo", 2)):
        path = tmp_path / f"{preset}.ipynb"
        nbformat.write(book, path)
        notebook.tidy(path, preset)
        after = nbformat.read(path, 4).cells
        assert len(after) == cells
        assert after[-1].metadata["mystnb"]["image"]["alt"] == "what this run shows"
        assert "remove-cell" in after[-2].metadata["tags"]


def test_a_notebook_ends_with_three_sentences():
    assert notebook.saw(["a", "b", "c"]).data == "- a\n- b\n- c"
    with pytest.raises(ValueError, match="three sentences, not 2"):
        notebook.saw(["a", "b"])


# -- the slider ---------------------------------------------------------------------------------


def test_the_sliders_numbers_are_those_of_scikit_learn():
    table = scores()
    found = threshold.counts(table)["KoDF"]
    fake, score = table["is_fake"].to_numpy(), table["fake_score"].to_numpy()
    assert (found["real"], found["fake"]) == ((~fake).sum(), fake.sum())
    assert found["auc"] == pytest.approx(roc_auc_score(fake, score), abs=1e-4)
    for place in (0, 3, 30, 53, 80, len(threshold.THRESHOLDS) - 1):
        t = threshold.THRESHOLDS[place]
        (_, wrong), (_, right) = confusion_matrix(fake, score > t, labels=[False, True])
        assert (found["real_above"][place], found["fake_above"][place]) == (wrong, right)
    for kind in ("real", "fake"):
        assert sum(found[f"{kind}_bins"]) == pytest.approx(1, abs=1e-3)
    assert found["roc"][0] == [0, 0]
    assert found["roc"][-1] == [1, 1]
    assert list(threshold.THRESHOLDS) == sorted(set(threshold.THRESHOLDS))
    assert {0, 0.5, 1} <= set(threshold.THRESHOLDS)


def test_a_group_a_manipulation_holds_all_real_ones():
    table = scores(30).assign(manipulation="real")
    table.loc[table["is_fake"], "manipulation"] = ["DF", "NT"] * 10
    groups = threshold.groups_of(table)
    found = {name: (~part["is_fake"]).sum() for name, part in groups.groupby("dataset")}
    assert found == {"DF": 10, "NT": 10}
    assert groups["is_fake"].sum() == 20


def test_a_threshold_needs_both_classes():
    with pytest.raises(ValueError, match="KoDF: a threshold needs"):
        threshold.counts(scores().assign(is_fake=True))
    with pytest.raises(ValueError, match="lack the columns fake_score"):
        threshold.counts(scores().drop(columns="fake_score"))


def test_the_slider_is_a_picture_without_scripts_and_its_data_end_no_script():
    page = threshold.slider(scores().assign(dataset="a</script>"), "videos", SOURCE, "MCX")
    assert "data:image/svg+xml;base64," in page
    assert re.search(r'alt="Histograms of the score of fake \(synthetic', page)
    data = re.search(r'application/json">(.*?)</script>', page, re.S)[1]
    about = json.loads(data)
    assert list(about["groups"]) == ["a</script>"]
    assert not re.search(r"(?:src|href)=.https?:", page)


# -- pairs, planes, clips -----------------------------------------------------------------------


class Means(Detector):
    """Features are an image's mean colours."""

    name = "means"

    def __init__(self):
        super().__init__(DetectorSettings(), CLASSES)
        self.weight = torch.nn.Parameter(torch.ones(1))

    def features(self, images):
        return images.mean((2, 3)) * self.weight


def test_mined_pairs_are_the_nearest_of_both_kinds():
    reds = [0.0, 0.1, 0.5, 0.6, 1.0]
    images = torch.zeros(5, 3, 8, 8)
    images[:, 0] = torch.tensor(reds)[:, None, None]
    rows = pd.DataFrame({"class_index": [0, 0, 1, 1, 0], "target_id": ["a", "b", "b", "c", "c"]})
    found = mined.mine(Means(), images, rows)
    pairs = found.groupby("kind")[["first", "second"]].apply(lambda p: p.to_numpy().tolist())
    assert pairs["own class"] == [[0, 1], [1, 0], [2, 3], [3, 2], [4, 1]]
    assert pairs["another class"] == [[0, 2], [1, 2], [2, 1], [3, 4], [4, 3]]
    every = [abs(a - b) for i, a in enumerate(reds) for b in reds[:i]]
    assert found["distance"].iloc[0] == pytest.approx(0.1 / np.mean(every), rel=1e-5)
    table = mined.shares(found, found).set_index(["partner of", ""])
    assert table.loc[("another class", "after training"), "of the same person"] == "4 of 5"
    assert table.loc[("own class", "before training"), "of the same person"] == "0 of 5"
    plate = mined.mined_pairs(images.numpy(), ["real", "real", "DF", "DF", "real"], found, found)
    assert "another class, after: 4 of 5 show the same person" in plate.alt


def test_images_shown_are_of_every_class_in_turn():
    assert mined.chosen(["DF", "DF", "DF", "real", "NT"]) == [0, 3, 4, 1]
    assert mined.chosen(["DF"]) == [0]


def test_planes_state_how_far_apart_the_faces_are():
    real, fake = np.zeros((3, 6, 6), np.float32), np.zeros((3, 6, 6), np.float32)
    real[:], fake[:] = 0.5, 0.5
    fake[0] = 0.75
    plate = planes.colour_planes(real, fake, "DF", SOURCE)
    assert "R 0.250, G 0.000, B 0.000" in plate.alt
    assert "V 0.250" in plate.alt
    with pytest.raises(ValueError, match="have shapes"):
        planes.colour_planes(real, fake[:, :3], "DF")


def test_hues_on_both_sides_of_red_are_near():
    red, other = (np.zeros((3, 4, 4), np.float32) for _ in range(2))
    red[0], other[0] = 1, 1
    red[1], other[2] = 0.06, 0.06  # hues 0.01 and 0.99
    assert "H 0.020" in planes.colour_planes(red, other, "DF").alt


def test_clips_play_from_the_page_alone():
    rng = np.random.default_rng(0)
    frames = [
        np.full((24, 32, 3), 20 * i, np.uint8) + rng.integers(0, 9, 3, np.uint8) for i in range(5)
    ]
    shown = [clips.Clip("real", frames), clips.Clip("DF", [])]
    page = clips.page(shown, SOURCE)
    (coded,) = re.findall(r'src="data:video/mp4;base64,([^"]+)"', page)
    with av.open(io.BytesIO(base64.b64decode(coded))) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        back = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(back) == 5
    assert np.abs(back[-1].mean() - frames[-1].mean()) < 6
    assert page.count("<video") == 1
    assert "This video cannot be read here." in page
    assert 'alt="Still of the real clip (synthetic demonstration data)' in page
    with pytest.raises(ValueError, match="none of the videos"):
        clips.page(shown[1:])


def test_a_person_is_shown_real_first():
    videos = pd.DataFrame(
        [("1", "DF", True), ("2", "DF", True), ("2", "real", False), ("1", "NT", True)],
        columns=["target_id", "manipulation", "is_fake"],
    )
    assert clips._of_one(videos)["manipulation"].tolist() == ["DF", "NT"]
    more = pd.concat([videos, videos.tail(1).assign(target_id="2")])
    assert clips._of_one(more)["manipulation"].tolist() == ["real", "DF", "NT"]


# -- last sentences -----------------------------------------------------------------------------


def cells():
    rows = [
        ("A", "DF", 0.9, 0.8, 0.95, 50.0, 0.0),
        ("A", "NT", 0.8, 0.7, 0.9, 50.0, 0.0),
        ("B", "DF", 0.7, 0.6, 0.82, 70.0, 60.0),
        ("B", "NT", 0.5, 0.4, 0.6, 55.0, 60.0),
        ("A", "Average", 0.85, 0.75, 0.92, 50.0, 0.0),
        ("B", "Average", 0.6, 0.5, 0.7, 62.5, 60.0),
    ]
    names = ["label", "test_set", "auc_measured", "auc_low", "auc_high", "bosc_measured"]
    return pd.DataFrame(rows, columns=[*names, "specificity_measured"])


def test_the_table_says_who_won_and_how_surely():
    won, equal, apart = what_we_saw.closed(cells())
    assert won.startswith("A has the highest AUC on average over the manipulations, 0.850 (0.750 ")
    assert "intervals of 0 of the 1 other rows overlap" in won
    assert equal.startswith("1 of 2 rows reads the same BOSC in all columns, 1 because")
    assert "A on DF: AUC 0.900, BOSC 50.0 %" in apart
    close = cells()
    close.loc[5, "auc_high"] = 0.76
    assert "intervals of 1 of the 1 other rows overlap" in what_we_saw.closed(close)[0]
    several = what_we_saw.cross(cells().query("test_set != 'Average'"))
    assert "(one row on all 2 data sets)" in several[0]
    assert "NT: A, 0.800 (0.700 to 0.900); the intervals of 1 of the 2 other" in several[0]


def test_training_says_what_the_gates_came_to():
    steps = pd.DataFrame({"total": [2.0, 1.0], "epoch": [0, 1], "val_auc": [0.7, 0.6]})
    loss, nothing, _ = what_we_saw.training(steps, None, None)
    assert "from 2.00 to 1.00" in loss
    assert "highest in epoch 1, 0.700, and ended at 0.600" in loss
    assert nothing == "This detector compares no pairs."
    gated = steps.assign(self_minus_other=[0.0, 0.02])
    assert "was 0.0200 at the end" in what_we_saw.training(gated, 0.05, None)[1]


def test_the_study_counts_what_every_seed_agrees_on():
    rows = [
        ("no ranking", "auc", -0.02, -0.03, -0.01, True),
        ("no ranking", "unseen_auc", 0.01, -0.01, 0.02, False),
        ("alone", "auc", 0.01, -0.01, 0.02, False),
        ("alone", "unseen_auc", 0.03, 0.02, 0.04, True),
    ]
    names = ["variation", "metric", "mean", "lowest", "highest", "agree"]
    closed, unseen, ranking = what_we_saw.study(pd.DataFrame(rows, columns=names), 3)
    assert "1 of 2 variations have a lower AUC" in closed
    assert "1 differs to one side in every seed." in closed
    assert "0 of 2 variations" in unseen
    assert "-0.0200 (-0.0300 to -0.0100" in ranking
    assert "one seed cannot show that" in what_we_saw.study(pd.DataFrame(rows, columns=names), 1)[0]


# -- features with faces ------------------------------------------------------------------------


def clouds():
    """Two clouds of 15, the class their side; one frame of each on the other side; one far off."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(30, 4)) * 0.1
    features[15:, 0] += 10
    labels = np.repeat(["real", "DF"], 15)
    features[[3, 20], 0] = features[[20, 3], 0]
    features[7, 1] = 60
    return features, labels


def test_overlaps_and_outliers_are_chosen_among_the_features():
    features, labels = clouds()
    videos = [f"v{i // 3}" for i in range(30)]
    found = embedding.choose(features, labels, videos)
    assert found.mixed == [3, 20]
    apart = np.linalg.norm(features[3] - features, axis=1)
    apart[:15] = np.inf
    assert found.partners[0] == apart.argmin()
    assert found.outliers[0] == 7
    assert len({videos[place] for place in found.outliers}) == 2
    table = embedding.overlaps(features, labels).set_index("class")
    assert list(table.index) == ["real", "DF"]
    # 13 near frames have one wrong neighbour at the most, the crossed one has ten.
    assert 0.8 < table.loc["real", "own"] < 14 / 15
    assert table.loc["real", "own"] + table.loc["real", "next"] == pytest.approx(1)
    assert table.loc["DF", "mixed with"] == "real"


def test_close_ups_and_other_maps_say_what_they_show():
    features, labels = clouds()
    chosen = embedding.choose(features, labels, list(range(30)))
    faces = np.zeros((6, 3, 8, 8), np.float32)
    plate = embedding.close_ups(features[:, :2], labels, faces, chosen, SOURCE)
    assert "2 overlaps (real beside DF, DF beside real) and 2 outliers (real, " in plate.alt
    maps = embedding.other_maps(features, labels, SOURCE, seeds=(0,))
    assert re.search(
        r"perplexity 5 0\.\d\d; perplexity 8 0\.\d\d; random start 0 0\.\d\d", maps.alt
    )


def test_a_random_start_of_t_sne_depends_on_the_seed_and_the_usual_one_does_not():
    features, _ = clouds()
    usual, random = (
        [explain.tsne(features, seed, 5, init) for seed in (0, 1)] for init in ("pca", "random")
    )
    np.testing.assert_allclose(usual[0], usual[1], atol=1e-3)
    assert np.abs(random[0] - random[1]).max() > 1


# -- maps beside the truth ----------------------------------------------------------------------


def test_identical_methods_are_one_and_shares_are_of_the_altered_part():
    half = np.zeros((2, 8, 8))
    half[:, :4] = 1
    other = half.copy()
    other[1, 0, 0] = 0.5
    maps = {
        o: {"Grad-CAM": half, "LayerCAM": other, "HiResCAM": half.copy()} for o in ("real", "fake")
    }
    assert altered.groups(maps) == [["Grad-CAM", "HiResCAM"], ["LayerCAM"]]
    assert list(altered.merged(maps)["fake"]) == ["Grad-CAM = HiResCAM", "LayerCAM"]
    masks = np.zeros((2, 8, 8), bool)
    masks[1, :, :2] = True
    known = np.array([True, True])
    table = altered.shares({"net": maps}, ["real", "DF"], masks, known)
    assert table["class"].tolist() == ["DF", "DF"]
    assert table["area"].tolist() == [0.25, 0.25]
    assert table["inside"].tolist() == pytest.approx([0.25, 7.5 / 31.5])
    assert altered.shares({"net": maps}, ["real", "DF"], masks, ~known).empty


def test_a_grid_outlines_what_was_altered_and_marks_an_empty_map():
    maps = {"fake": {"Grad-CAM = HiResCAM": np.zeros((1, 16, 16))}}
    mask = np.zeros((1, 16, 16), bool)
    mask[0, 4:12, 6:10] = True
    plate = figures.cam_grid(np.zeros((1, 3, 16, 16)), ["DF"], maps, masks=mask)
    crop, shown = plate.figure.axes
    assert [text.get_text() for text in shown.texts] == ["nothing"]
    assert shown.get_title() == "Grad-CAM\n= HiResCAM\n(fake)"
    for axis in (crop, shown):
        (path,) = axis.collections[0].get_paths()
        low, high = path.vertices.min(0), path.vertices.max(0)
        assert (*low, *high) == pytest.approx((5.5, 3.5, 9.5, 11.5))
    assert "lines show where the fakes were altered" in plate.alt


def test_distances_by_hand_name_the_pairs():
    plate = byhand.distances(np.array([[0.0], [1.0], [1.5]]), np.array([0, 0, 1]), "abc")
    assert (
        plate.alt
        == "Distances between 3 faces; pairs: a with b, b with a, a with c, b with c, c with b."
    )
    vectors = byhand.vectors(np.array([[1.0, -2.0]]), ["x"], ["p", "q"])
    assert "from -2.00 to 1.00" in vectors.alt
    assert {t.get_text() for t in vectors.figure.axes[0].texts} == {"1.00", "-2.00"}


def test_a_matrix_keeps_its_colours():
    plate = byhand.distances(np.arange(12.0).reshape(6, 2), np.array([0, 0, 1, 1, 2, 2]), "abcdef")
    text = vector.svg(plate)
    assert re.findall(r"data:image/(\w+)", text)[0] == "png"

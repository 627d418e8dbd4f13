"""Figures: what is drawn is the data, the alternative text states it, the files never differ."""

import subprocess
import sys

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from mcxlib import CLASSES, figures
from mcxlib.explain import neighbour_agreement

SOURCE = "synthetic demonstration data"


def words(plate):
    texts = [t.get_text() for t in plate.figure.findobj(matplotlib.text.Text)]
    return "\n".join(texts)


def table(source=SOURCE):
    rows = []
    for name, paper_value, value in (("DF", 0.99, 0.91), ("Average", 0.98, 0.87)):
        rows.append(("MCX-API(RGB)", "proposed", name, paper_value, value, 0.01, 2, source))
        rows.append(("MCX-API(RGB+HSV)", "proposed", name, 0.97, np.nan, np.nan, 0, ""))
        rows.append(("MCX-API(HSV)", "", name, np.nan, 0.65, np.nan, 1, source))
        rows.append(("MesoNet", "quoted", name, 0.8, np.nan, np.nan, 0, ""))
    columns = ["label", "origin", "test_set", "auc_paper", "auc_measured", "auc_sd", "seeds"]
    return pd.DataFrame(rows, columns=[*columns, "source"])


def intervals(source=SOURCE):
    """table() with BOSC and both intervals; the second row has a perfect AUC on DF."""
    frame = table(source).assign(auc_low=0.6, auc_high=0.95, bosc_measured=80.0)
    frame = frame.assign(bosc_low=65.0, bosc_high=88.0)
    frame.loc[2, ["auc_measured", "auc_low", "auc_high"]] = [1.0, 0.72, 1.0]
    return frame


def scores():
    """Real 0.1 .. 0.6, DF perfect, NT reversed: AUC 1 and 0."""
    real, df, nt = [0.1, 0.2, 0.3, 0.6], [0.7, 0.8, 0.9, 1.0], [0.05, 0.04, 0.03, 0.02]
    frame = pd.DataFrame({"fake_score": real + df + nt, "dataset": "FaceForensics++"})
    frame["manipulation"] = np.repeat(["real", "DF", "NT"], 4)
    return frame.assign(is_fake=frame["manipulation"] != "real")


def history():
    steps = np.arange(6)
    ends = {"val_auc": [0.52, 0.91, 0.88], "val_bosc": [0.5, 0.8, 0.77]}
    frame = pd.DataFrame({"step": steps, "epoch": steps // 2, "lr": 0.01})
    frame["cross_entropy"] = 2.0 - steps * 0.3
    frame["score_ranking"] = 0.05
    frame["total"] = frame["cross_entropy"] + 0.05
    for name, values in ends.items():
        frame.loc[1::2, name] = values
    return frame


def crops(n=5, size=20):
    return np.random.default_rng(0).random((n, 3, size, size)).astype(np.float32)


def points():
    rng = np.random.default_rng(1)
    return rng.normal(size=(50, 2)), np.repeat(CLASSES, 10)


def maps(value=0.4):
    full = np.full((5, 20, 20), value)
    full[:, :10] = 1
    return {output: {m: full for m in ("Grad-CAM", "LayerCAM")} for output in ("real", "fake")}


MAKERS = {
    "compare": lambda s: figures.compare(table(s)),
    "forest": lambda s: figures.forest(intervals(s)),
    "roc": lambda s: figures.roc_curves(scores(), s),
    "training": lambda s: figures.training_curves(history(), s),
    "scores": lambda s: figures.score_distributions(scores(), s),
    "tsne": lambda s: figures.tsne_panels({"MCX-API(RGB)": points(), "API-Net": points()}, {}, s),
    "cam": lambda s: figures.cam_grid(crops(), CLASSES, maps(), s),
    "sheet": lambda s: figures.contact_sheet(crops(), CLASSES, s),
}


@pytest.mark.parametrize("name", MAKERS)
def test_the_source_is_marked_in_figure_and_alt_only_when_told(name):
    marked, plain = MAKERS[name](SOURCE), MAKERS[name]("")
    assert SOURCE in words(marked)
    assert SOURCE in marked.alt
    assert SOURCE not in words(plain) + plain.alt
    assert marked.alt.endswith(".")
    assert "\n" not in marked.alt


@pytest.mark.parametrize("name", ["compare", "forest", "tsne", "cam"])
def test_files_are_deterministic_and_plain(name, tmp_path):
    one = figures.save(MAKERS[name](SOURCE), tmp_path / "a" / "one.png")
    two = figures.save(MAKERS[name](SOURCE), tmp_path / "two.png")
    assert one.read_bytes() == two.read_bytes()
    assert MAKERS[name](SOURCE)._repr_png_() == one.read_bytes()
    with Image.open(one) as image:
        assert set(image.info) == {"dpi", "mcx"}  # no date, no version of the library
        assert min(image.size) > 200
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["one.png"]


def test_a_changed_number_changes_the_file():
    changed = table()
    changed.loc[0, "auc_measured"] = 0.93
    assert figures.compare(changed)._repr_png_() != figures.compare(table())._repr_png_()


def test_only_png_and_svg(tmp_path):
    with pytest.raises(ValueError, match=r"ends in \.png or \.svg, not x\.pdf"):
        figures.save(MAKERS["sheet"](""), tmp_path / "x.pdf")


def test_a_users_settings_survive_and_do_not_leak_in(tmp_path):
    plain = MAKERS["roc"]("")._repr_png_()
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red"}):
        assert MAKERS["roc"]("")._repr_png_() == plain
        assert matplotlib.rcParams["font.size"] == 30
        assert matplotlib.rcParams["axes.facecolor"] == "red"


def test_compare_draws_paper_and_measured_and_leaves_out_quoted():
    plate = figures.compare(table())
    axis = plate.figure.axes[0]
    labels = [t.get_text() for t in axis.get_yticklabels()]
    assert labels == ["MCX-API(RGB)", "MCX-API(RGB+HSV)", "MCX-API(HSV)"]
    drawn = {line.get_label(): line.get_xdata() for line in axis.get_lines()}
    np.testing.assert_array_equal(drawn["printed in the paper"], [0.99, 0.97, np.nan])
    measured = axis.containers[0].lines[0].get_xdata().astype(float)
    np.testing.assert_array_equal(measured, [0.91, np.nan, 0.65])
    assert "0.6500 (MCX-API(HSV)) to 0.8700 (MCX-API(RGB))" in plate.alt
    assert "printed 0.9700 to 0.9800" in plate.alt


def test_compare_without_any_run_says_so():
    empty = table("").assign(seeds=0, auc_measured=np.nan)
    plate = figures.compare(empty)
    assert "nothing measured yet" in words(plate)
    assert "nothing measured" in plate.alt
    with pytest.raises(ValueError, match="valid: bosc, auc"):
        figures.compare(table(), "acc")


def test_forest_draws_each_measured_number_in_its_interval():
    plate = figures.forest(intervals())
    assert [axis.get_title() for axis in plate.figure.axes] == ["DF", "Average"]
    axis = plate.figure.axes[0]
    labels = [t.get_text() for t in axis.get_yticklabels()]
    assert labels == ["MCX-API(RGB)", "MCX-API(HSV)"]  # what was not measured is left out
    points = {line.get_label(): line for line in axis.get_lines() if line.get_marker() != "None"}
    assert points["AUC"].get_xdata().tolist() == [0.91, 1.0]
    assert points["BOSC, as a share"].get_xdata().tolist() == [0.8, 0.8]
    # Told apart by more than a colour.
    assert points["AUC"].get_marker() != points["BOSC, as a share"].get_marker()
    auc, bosc = (
        [(*part[:, 0], part[0, 1]) for part in drawn.get_segments()] for drawn in axis.collections
    )
    above, below = (points[name].get_ydata().tolist() for name in ("AUC", "BOSC, as a share"))
    assert auc == [(0.6, 0.95, above[0]), (0.72, 1.0, above[1])]
    assert bosc == [(0.65, 0.88, below[0]), (0.65, 0.88, below[1])]
    assert "2 methods with 95 % intervals" in plate.alt
    assert "AUC 0.650 (0.600 to 0.950, MCX-API(HSV)) to 0.870" in plate.alt


def test_a_forest_of_all_rows_is_no_wider_than_a_screen():
    one = intervals().query("label == 'MCX-API(RGB)' and test_set == 'DF'")
    rows = [
        one.assign(label=f"MCX-API(RGB+CIELab+YCbCr {i})", test_set=name)
        for i in range(18)
        for name in (*CLASSES[1:], "Average")
    ]
    width, height = figures.forest(pd.concat(rows)).figure.get_size_inches() * 110
    assert width <= 1280
    assert height <= 800


def test_forest_without_a_measured_number_is_refused():
    with pytest.raises(ValueError, match="no measured number"):
        figures.forest(intervals().assign(auc_measured=np.nan))
    # A number without interval is a point.
    plate = figures.forest(intervals().assign(bosc_low=np.nan, bosc_high=np.nan))
    assert plate.figure.axes[0].get_lines()[2].get_xdata().tolist() == [0.8, 0.8]


def test_roc_curves_hold_auc_and_the_decision_point():
    plate = figures.roc_curves(scores())
    # At 0.5 one of four real frames is called fake, all of DF and none of NT.
    assert "DF 1.000 (BOSC 0.875), NT 0.000 (BOSC 0.375)" in plate.alt
    dots = [
        tuple(float(v) for v in line.get_xydata()[0])
        for line in plate.figure.axes[0].get_lines()
        if line.get_marker() == "o"
    ]
    assert dots == [(0.25, 1.0), (0.25, 0.0)]
    curve = plate.figure.axes[0].get_lines()[1]
    assert curve.get_label() == "DF: AUC 1.000"
    assert np.trapezoid(curve.get_ydata(), curve.get_xdata()) == 1.0
    assert to_hex(curve.get_color()) == figures.COLORS["DF"].lower()


@pytest.mark.parametrize("draw", [figures.roc_curves, figures.score_distributions])
def test_scores_are_fake_scores(draw):
    frame = scores().assign(p_real=0.5)
    with pytest.raises(ValueError, match=r"lack the columns fake_score$"):
        draw(frame.drop(columns="fake_score"))
    with pytest.raises(ValueError, match="lack the columns is_fake, fake_score"):
        draw(frame.drop(columns=["is_fake", "fake_score"]))


def test_roc_of_other_manipulations_has_colours_of_their_own():
    frame = scores().replace({"manipulation": {"NT": "lip sync"}})
    lines = figures.roc_curves(frame).figure.axes[0].get_lines()
    colors = {line.get_label(): to_hex(line.get_color()).upper() for line in lines}
    assert colors["DF: AUC 1.000"] == figures.COLORS["DF"]
    assert colors["lip sync: AUC 0.000"] == "#56B4E9"


def test_training_curves():
    plate = figures.training_curves(history())
    assert "total loss goes from 2.05 to 0.55" in plate.alt
    assert "validation AUC from 0.520 to 0.880 (best 0.910), BOSC from 0.500 to 0.770" in plate.alt
    lines = {line.get_label(): line for axis in plate.figure.axes for line in axis.get_lines()}
    np.testing.assert_array_equal(lines["AUC"].get_xdata(), [1, 3, 5])
    np.testing.assert_array_equal(lines["AUC"].get_ydata(), [0.52, 0.91, 0.88])
    assert len(plate.figure.axes) == 3  # the learning rate has its own
    timed = figures.training_curves(history().assign(images_per_second=[9, 8, 9, 9, 7, 9]))
    (speed,) = timed.figure.axes[2].get_lines()
    np.testing.assert_array_equal(speed.get_ydata(), [9, 8, 9, 9, 7, 9])
    assert "images trained on in a second" in timed.alt
    assert "images" not in plate.alt
    # Nothing is cut off above or below.
    assert plate.figure.axes[0].get_ylim() == pytest.approx((0, 1.05 * 2.15), abs=0.1)
    with pytest.raises(ValueError, match="lacks the columns lr"):
        figures.training_curves(history().drop(columns="lr"))
    with pytest.raises(ValueError, match="empty"):
        figures.training_curves(history().head(0))


def test_training_curves_of_a_detector_with_losses_of_its_own():
    """Whatever a detector names; settings of the optimiser and the validation are no losses."""
    own = {"contrastive": -0.4, "squared_error": 0.2, "mask": 0.1, "frequency": 0.3}
    others = {"lr_backbone": 0.001, "val_loss": 1.0, "selected": True, "images_per_second": 9.0}
    table = history().drop(columns=["cross_entropy", "score_ranking"]).assign(**own, **others)
    plate = figures.training_curves(table)
    axis = plate.figure.axes[0]
    drawn = {line.get_label(): set(line.get_ydata()) for line in axis.get_lines()}
    assert set(drawn) == {"contrastive", "squared error", "mask", "frequency", "total"}
    assert drawn["contrastive"] == {-0.4}
    assert axis.get_ylim()[0] < -0.4
    assert len({line.get_color() for line in axis.get_lines()}) == 5
    alone = figures.training_curves(
        history()[["step", "epoch", "lr", "total", "val_auc", "val_bosc"]]
    )
    assert [line.get_label() for line in alone.figure.axes[0].get_lines()] == ["total"]


def test_score_distributions_state_the_share_above_the_threshold():
    frame = pd.concat([scores(), scores().assign(dataset="KoDF", fake_score=0.2)])
    plate = figures.score_distributions(frame)
    assert "FaceForensics++ 25.0 % of 4 real and 50.0 % of 8 fake" in plate.alt
    assert "KoDF 0.0 % of 4 real and 0.0 % of 8 fake" in plate.alt
    for axis in plate.figure.axes:
        heights = [sum(p.get_height() for p in bars) for bars in axis.containers]
        np.testing.assert_allclose(heights, 1)  # every class its own whole


def test_tsne_panels():
    features, labels = points()
    found = neighbour_agreement(features, labels, k=3)
    plate = figures.tsne_panels(
        {"MCX-API(RGB)": (features, labels), "API-Net": (features[:20], labels[:20])},
        {"MCX-API(RGB)": found},
    )
    assert f"{100 * found.neighbours:.0f} % of neighbours of the same class" in plate.alt
    assert "API-Net: 20 points" in plate.alt
    left, right = plate.figure.axes
    drawn = np.concatenate([c.get_offsets() for c in left.collections])
    np.testing.assert_allclose(drawn, features)
    assert [len(c.get_offsets()) for c in right.collections] == [10, 10, 0, 0, 0]
    colors = [to_hex(c.get_facecolor()[0]).upper() for c in left.collections]
    assert colors == list(figures.COLORS.values())
    assert "of 5 classes" in plate.alt
    with pytest.raises(ValueError, match="no panels"):
        figures.tsne_panels({})
    with pytest.raises(ValueError, match="3 labels"):
        figures.tsne_panels({"x": (features, labels[:3])})


def test_tsne_panels_of_other_classes():
    rng = np.random.default_rng(0)
    labels = np.repeat(["swap", "real", "avatar"], 5)
    plate = figures.tsne_panels({"x": (rng.normal(size=(15, 2)), labels)})
    collections = plate.figure.axes[0].collections
    assert [c.get_label() for c in collections] == ["real", "avatar", "swap"]
    assert [len(c.get_offsets()) for c in collections] == [5, 5, 5]
    colors = [to_hex(c.get_facecolor()[0]).upper() for c in collections]
    assert colors == [figures.COLORS["real"], "#56B4E9", "#000000"]
    assert "of 3 classes" in plate.alt


def test_palette_keeps_apart_without_colour():
    """Okabe and Ito's colours, and a marker a class besides."""
    assert list(figures.COLORS) == list(figures.MARKERS) == list(CLASSES)
    assert len(set(figures.COLORS.values())) == len(set(figures.MARKERS.values())) == 5


def test_every_class_has_a_look_of_its_own():
    five = figures.looks(reversed(CLASSES))
    assert list(five) == list(CLASSES)
    assert {n: look.color for n, look in five.items()} == dict(figures.COLORS)
    assert {n: look.marker for n, look in five.items()} == dict(figures.MARKERS)
    others = [f"method {i:02d}" for i in range(20)]
    looks = figures.looks([*others[::-1], *CLASSES])
    assert list(looks) == [*CLASSES, *others]
    assert {name: looks[name] for name in CLASSES} == five
    # Okabe and Ito have eight colours: eight classes differ in colour, and lines in colour and
    # dashes long after, points in colour and marker.
    assert len({look.color for look in list(looks.values())[:8]}) == 8
    assert len({look.color for look in looks.values()}) == 8
    assert len({(look.color, look.line) for look in looks.values()}) == 25
    assert len({(look.color, look.marker) for look in looks.values()}) == 25


def test_importing_figures_brings_no_library_to_draw_or_to_compute_with():
    code = "import sys, mcxlib.figures; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "numpy" in loaded
    assert not {"torch", "sklearn", "scipy", "matplotlib", "seaborn", "cv2"} & set(loaded)


def test_charts_are_drawn_without_torch():
    code = (
        "import sys, pandas as pd; from mcxlib import figures;"
        "s = pd.DataFrame({'dataset': 'x', 'is_fake': [False, True], 'fake_score': [0.2, 0.8]});"
        "print(len(figures.score_distributions(s)._repr_png_()), 'torch' in sys.modules)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert int(said[0]) > 1000
    assert said[1] == "False"


def test_cam_grid():
    plate = figures.cam_grid(crops(), CLASSES, maps(), title="MCX-API(RGB)")
    assert len(plate.figure.axes) == 5 * (1 + 4)
    assert [plate.figure.axes[i * 5].get_ylabel() for i in range(5)] == list(CLASSES)
    titles = [axis.get_title() for axis in plate.figure.axes[:5]]
    expected = ["Grad-CAM\n(real)", "LayerCAM\n(real)", "Grad-CAM\n(fake)", "LayerCAM\n(fake)"]
    assert titles == ["crop", *expected]
    # Half of each map is 1, the other half 0.4.
    assert "for output real, 50 % of the area, for output fake, 50 % of the area" in plate.alt
    broken = maps()
    broken["fake"]["LayerCAM"] = np.zeros((5, 3, 3))
    with pytest.raises(ValueError, match="LayerCAM for output fake have shape"):
        figures.cam_grid(crops(), CLASSES, broken)
    with pytest.raises(ValueError, match="4 row names for 5 images"):
        figures.cam_grid(crops(), CLASSES[:4], maps())


def test_contact_sheet():
    pictures = (crops(7) * 255).astype(np.uint8)
    labels = ["real", "DF", "DF", "NT", "real", "real", "FS"]
    plate = figures.contact_sheet(pictures, labels, columns=4)
    assert "7 face crops: 3 real, 2 DF, 1 NT, 1 FS" in plate.alt
    shown = [image for axis in plate.figure.axes for image in axis.images]
    assert len(shown) == 7
    np.testing.assert_array_equal(shown[2].get_array(), pictures[2].transpose(1, 2, 0))
    for label in set(labels):
        assert label in words(plate)
    with pytest.raises(ValueError, match="6 labels for 7 crops"):
        figures.contact_sheet(pictures, labels[:6])

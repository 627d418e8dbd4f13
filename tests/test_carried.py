"""A figure file carries what was drawn: read back from PNG and SVG, against the data put in."""

import base64
import hashlib
import io
import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image, PngImagePlugin
from sklearn.metrics import auc, roc_auc_score
from typer.testing import CliRunner

from mcxlib import figures, notebook, provenance
from mcxlib.cli import app, main
from mcxlib.figures import carried
from mcxlib.figures.style import Plate, new_figure, style

SOURCE = "synthetic demonstration data"


@pytest.fixture(scope="module")
def scores():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"manipulation": np.repeat(["real", "DF", "NT"], 30), "dataset": "KoDF"})
    frame["is_fake"] = frame["manipulation"] != "real"
    return frame.assign(fake_score=(rng.random(90) + 0.4 * frame["is_fake"]) / 1.4)


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_curves_can_be_drawn_again_from_the_file(scores, tmp_path, kind):
    run = {"run_id": "mcx-api_rgb_seed0", "weights_sha256": "0a1b"}
    plate = figures.roc_curves(scores, SOURCE, "mine")._replace(runs=[run])
    path = figures.save(plate, tmp_path / f"roc.{kind}")
    found = carried.read(path)
    (panel,) = found["panels"]
    lines = {line["label"].split(":")[0]: line for line in panel["lines"] if "label" in line}
    assert set(lines) == {"DF", "NT"}
    for name, line in lines.items():
        part = scores[scores["manipulation"].isin(["real", name])]
        expected = roc_auc_score(part["is_fake"], part["fake_score"])
        assert auc(line["x"], line["y"]) == pytest.approx(expected, abs=1e-6)
    assert (panel["title"], panel["x"]) == ("mine", "false positive rate")
    assert found["runs"] == [run]
    assert (found["data"], found["synthetic"], found["says"]) == (SOURCE, True, plate.alt)
    assert found["code"]["commit"] == provenance.code()["commit"]
    assert found["format"] == 1
    # The same bytes each time, and another number gives another file.
    anew = figures.roc_curves(scores, SOURCE, "mine")._replace(runs=[run])
    again = figures.save(anew, tmp_path / f"again.{kind}")
    assert again.read_bytes() == path.read_bytes()
    other = figures.roc_curves(scores.assign(fake_score=scores["fake_score"] ** 2), "", "mine")
    plain = carried.read(figures.save(other, tmp_path / f"other.{kind}"))
    assert (plain["data"], plain["synthetic"], plain["runs"]) == ("", False, [])


def test_points_bars_intervals_and_names(scores, tmp_path):
    rng = np.random.default_rng(1)
    points, labels = rng.normal(size=(20, 2)), np.repeat(["real", "DF"], 10)
    plate = figures.tsne_panels({"MCX-API(RGB)": (points, labels)}, {}, SOURCE)
    (panel,) = carried.read(figures.save(plate, tmp_path / "tsne.png"))["panels"]
    drawn = {part["label"]: np.transpose([part["x"], part["y"]]) for part in panel["points"]}
    np.testing.assert_allclose(drawn["DF"], points[10:], rtol=1e-6)
    colors = {part["label"]: part["color"].upper() for part in panel["points"]}
    assert colors == {name: figures.COLORS[name] for name in ("real", "DF")}
    plate = figures.score_distributions(scores, SOURCE, bins=10)
    (panel,) = carried.read(figures.save(plate, tmp_path / "bars.png"))["panels"]
    real, fake = panel["bars"]
    fakes = scores.loc[scores["is_fake"], "fake_score"]
    counts, edges = np.histogram(fakes, 10, (0, 1))
    assert fake["label"] == "fake (60)"
    np.testing.assert_allclose(fake["height"], counts / 60, rtol=1e-6)
    np.testing.assert_allclose(fake["x"], edges[:-1], atol=1e-6)
    assert sum(real["height"]) == pytest.approx(1)
    table = pd.DataFrame({"label": ["MCX-API(RGB)", "MesoNet"], "test_set": "DF", "source": SOURCE})
    table = table.assign(auc_measured=[0.9, 0.7], auc_low=[0.8, np.nan], auc_high=[0.95, np.nan])
    table = table.assign(bosc_measured=80.0, bosc_low=70.0, bosc_high=85.0)
    (panel,) = carried.read(figures.save(figures.forest(table), tmp_path / "f.svg"))["panels"]
    assert panel["y_ticks"] == {"MCX-API(RGB)": 0, "MesoNet": 1}
    by_label = {line.get("label"): line for line in panel["lines"]}
    assert by_label["AUC"]["x"] == [0.9, 0.7]
    first, second = panel["segments"][0]["ends"]
    assert first[::2] == [0.8, 0.95]
    assert second == []  # no interval is none


def test_faces_and_maps_come_back_as_they_were_drawn(tmp_path):
    crops = np.random.default_rng(0).integers(0, 256, (3, 12, 10, 3)).astype(np.uint8)
    plate = figures.contact_sheet(crops, ["real", "DF", "DF"], SOURCE)
    panels = carried.read(figures.save(plate, tmp_path / "sheet.png"))["panels"]
    for panel, crop in zip(panels, crops, strict=True):
        (image,) = panel["images"]
        assert image["size"] == [10, 12]
        with Image.open(io.BytesIO(base64.b64decode(image["png"]))) as picture:
            np.testing.assert_array_equal(np.asarray(picture), crop)
    assert [panel["row_column"] for panel in panels] == [[0, 0], [0, 1], [0, 2]]
    assert [panel["texts"] for panel in panels] == [["real"], ["DF"], ["DF"]]


def test_a_notebooks_picture_carries_it_too_without_the_faces(tmp_path):
    crops = np.random.default_rng(0).integers(0, 256, (2, 12, 10, 3)).astype(np.uint8)
    shown = notebook.show(figures.contact_sheet(crops, ["real", "DF"], SOURCE))
    text, _ = shown._repr_svg_()
    (tmp_path / "cell.svg").write_text(text)
    found = carried.read(tmp_path / "cell.svg")
    assert found["synthetic"]
    assert [set(panel["images"][0]) for panel in found["panels"]] == [{"size", "sha256"}] * 2


def test_a_map_is_a_picture_and_a_small_matrix_is_data():
    with style():
        figure = new_figure(2, 1)
        small, large = figure.subplots(1, 2)
        small.imshow([[1, 2], [3, 4]])
        large.imshow(np.zeros((40, 30)))
    shown, found = (
        carried.note(Plate(figure, ""), pictures)["panels"] for pictures in (False, True)
    )
    assert [panel["images"] for panel in (shown[0], found[0])] == [
        [{"values": [[1, 2], [3, 4]]}]
    ] * 2
    digest = hashlib.sha256(bytes(40 * 30 * 8)).hexdigest()
    assert shown[1]["images"] == [{"size": [30, 40], "sha256": digest}]
    assert np.shape(found[1]["images"][0]["values"]) == (40, 30)


def broken_figures(folder):
    """File -> the words of the complaint."""
    Image.new("RGB", (4, 4)).save(folder / "foreign.png")
    for name, text in (
        ("words", "hello"),
        ("other", '{"program": "x", "format": 1}'),
        ("later", '{"program": "mcx", "format": 2}'),
    ):
        info = PngImagePlugin.PngInfo()
        info.add_text("mcx", text)
        Image.new("RGB", (4, 4)).save(folder / f"{name}.png", pnginfo=info)
    (folder / "cut.png").write_bytes((folder / "words.png").read_bytes()[:60])
    (folder / "text.png").write_text("no picture")
    (folder / "foreign.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    (folder / "cut.svg").write_text("<svg")
    (folder / "x.jpg").write_bytes(b"")
    nothing, unreadable = "carries no data of this program", "cannot be read as"
    return {
        **dict.fromkeys(("foreign.png", "words.png", "other.png", "foreign.svg"), nothing),
        **dict.fromkeys(("cut.png", "text.png"), f"{unreadable} a PNG"),
        **{"cut.svg": f"{unreadable} an SVG", "later.png": "format 2, and this program reads up"},
        **{"x.jpg": r"those end in \.png or \.svg"},
    }


def test_foreign_and_broken_files_are_named_with_a_remedy(tmp_path):
    for name, words in broken_figures(tmp_path).items():
        with pytest.raises(ValueError, match=words) as told:
            carried.read(tmp_path / name)
        assert name in str(told.value)
    with pytest.raises(FileNotFoundError, match=r"no figure .*nothing\.png"):
        carried.read(tmp_path / "nothing.png")


def test_the_command_prints_both(scores, tmp_path, monkeypatch, capsys):
    path = figures.save(figures.roc_curves(scores, SOURCE), tmp_path / "roc.png")
    done = CliRunner().invoke(app, ["figures", "--from", str(path)])
    assert done.exit_code == 0
    assert json.loads(done.stdout) == carried.read(path)
    # A line a key, a line a panel: readable without another program.
    assert len(done.stdout.splitlines()) == 7 + 5
    (tmp_path / "foreign.png").write_bytes(b"")
    monkeypatch.setattr("sys.argv", ["mcx", "figures", "--from", str(tmp_path / "foreign.png")])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith("mcx: foreign.png cannot be read as a PNG")
    assert len(said.splitlines()) == 1

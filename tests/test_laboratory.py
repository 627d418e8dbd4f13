"""The laboratory: its floor against independent computations, its store, and what it says."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import ndimage
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_info
from typer.testing import CliRunner

from mcxlib import cli, figures
from mcxlib.experiments import cam_findings, findings, probe, trace_cells, trace_nets
from mcxlib.experiments import traces as study
from mcxlib.experiments.each import each
from mcxlib.settings.matrix import COLORSPACES
from mcxlib.synthetic.traces import TRACES, alter, faces

GRID = trace_cells.Grid("small", (5,), (0,), 4, 3, ("rgb", "rgb+ycbcr"))


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (3, 40, 40, 3)).astype(np.uint8)


def test_filters_are_those_of_another_library(images):
    features, _ = probe.measure(images)
    y, x = (np.mgrid[:40, :40] + 0.5) / 40
    inside = ((x - 0.5) / 0.3) ** 2 + ((y - 0.5) / 0.4) ** 2 <= 1
    red = images[1, ..., 0] / 255
    blur = [ndimage.gaussian_filter(red, s, mode="mirror", truncate=4) for s in (1, 2, 4)]
    kernels = [[[-1, 1]], [[-1], [1]], [[0.5, -1, 0.5]], [[0.5], [-1], [0.5]]]
    answers = [ndimage.correlate(red, np.array(k), mode="mirror") for k in kernels]
    both = np.outer([1, -2, 1], [1, -2, 1]) / -4
    answers += [ndimage.correlate(red, both, mode="mirror"), blur[0] - blur[1], blur[1] - blur[2]]
    for region, where in enumerate((inside, ~inside)):
        assert features.means[1, 0, region] == pytest.approx(red[where].mean(), rel=1e-5)
        expected = [np.sqrt((a[where] ** 2).mean()) for a in answers]
        np.testing.assert_allclose(features.strengths[1, 0, :, region], expected, rtol=0.02)
        np.testing.assert_allclose(features.strengths[1, 0, :5, region], expected[:5], rtol=1e-4)


def test_channels_of_a_linear_conversion_need_no_new_look(images):
    features, moments = probe.measure(images)
    np.testing.assert_allclose(
        probe.converted(moments, np.eye(3)).strengths, features.strengths[:, :3], rtol=1e-4
    )
    # YCbCr is linear up to its offset: its matrix by what it makes of faint pure colours.
    pure = np.zeros((4, 8, 8, 3), np.uint8)
    for k in range(3):
        pure[k, ..., k] = 51
    values = probe.planes(pure, "ycbcr")[:, 0, 0]
    matrix = 5 * (values[:3] - values[3]).T.astype(float)
    found, expected = probe.converted(moments, matrix), features.of(probe.channels_of("ycbcr"))
    np.testing.assert_allclose(found.strengths, expected.strengths, rtol=1e-3)
    np.testing.assert_allclose(found.means, expected.means - values[3][:, None], atol=1e-4)


def test_pairs_are_differences_of_their_two_frames():
    values = probe.Features(
        np.arange(8.0).reshape(4, 1, 2) ** 2, np.arange(4.0).reshape(4, 1, 1, 1)
    )
    found = probe.apart(values)
    assert found.means.tolist() == [[[4, 8]], [[20, 24]]]
    assert found.strengths.ravel().tolist() == [1, 1]


def test_own_and_common_normalisation():
    """Two channels, one feature: deviations 1 and 3, together sqrt((1 + 9) / 2)."""
    columns = np.array([[[1.0], [10.0]], [[3.0], [16.0]]])
    own, common = (probe.Scale.fit(columns, value).apply(columns) for value in (True, False))
    np.testing.assert_allclose(own, [[-1, -1], [1, 1]])
    np.testing.assert_allclose(common, np.array([[-1, -3], [1, 3]]) / np.sqrt(5))


def test_a_conversion_that_is_needed_is_learnt():
    """Channels that differ between the classes in nothing but the detail of red less green."""
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 2 == 0
    shared = rng.uniform(1, 4, (200, 7, 2, 1, 1)) * np.ones((3, 3))
    direction = np.array([1, -1, 0]) / np.sqrt(2)
    apart = (0.02 + 0.01 * labels)[:, None, None, None, None] * np.outer(direction, direction)
    moments = probe.Moments(rng.normal(size=(200, 2, 3)), shared + apart)
    first, last = (probe.Moments(*(v[s] for v in moments)) for s in (slice(100), slice(100, None)))
    plain = probe.fit(probe.converted(first, np.eye(3)), labels[:100])
    before = roc_auc_score(labels[100:], plain(probe.converted(last, np.eye(3))))
    matrix = probe.learnt_matrix(first, labels[:100])
    np.testing.assert_allclose(np.linalg.norm(matrix, axis=1), 1, rtol=1e-6)
    learnt = probe.fit(probe.converted(first, matrix), labels[:100])
    after = roc_auc_score(labels[100:], learnt(probe.converted(last, matrix)))
    assert before < 0.7
    assert after > 0.9


@pytest.mark.parametrize("name", ["luma", "flicker"])
def test_a_cell_is_what_scikit_learn_finds(name):
    rows = pd.DataFrame(trace_cells.measured(name, 0, GRID)).set_index(["colorspace", "variant"])
    assert len(rows) == 5  # two sets, two normalisations, and the learnt conversion
    trace = TRACES[name]
    found = faces(0, range(7), 2)
    strength = trace.strengths[4]
    rng = np.random.default_rng([0, 5, *map(ord, name)])
    pictures = [
        f.image if trace.pairs and k % 2 == 0 else alter(f, trace, strength, rng)
        for k, f in enumerate(found)
    ]
    blocks = []
    for shown in ([f.image for f in found], pictures):
        f = probe.measure(np.stack(shown))[0].of(probe.channels_of("rgb+ycbcr"))
        table = np.concatenate([f.means.reshape(14, -1), f.strengths.reshape(14, -1)], axis=1)
        blocks.append(np.abs(table[1::2] - table[::2]) if trace.pairs else table)
    half = 4 if trace.pairs else 8
    train, test = np.vstack([b[:half] for b in blocks]), np.vstack([b[half:] for b in blocks])
    labels = [np.repeat([0, 1], len(part) // 2) for part in (train, test)]
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=1000))
    expected = roc_auc_score(labels[1], model.fit(train, labels[0]).decision_function(test))
    assert rows.loc[("rgb+ycbcr", "own"), "auc"] == pytest.approx(expected)


@pytest.fixture
def two(home, monkeypatch):
    """A laboratory of two traces on a small grid; counts what is measured."""
    monkeypatch.setattr(study, "TRACES", {"luma": TRACES["luma"], "seam": TRACES["seam"]})
    monkeypatch.setitem(study.GRIDS, "small", GRID)
    calls = []

    def measured(name, seed, grid):
        calls.append(name)
        if calls == ["luma", "seam"]:
            raise KeyboardInterrupt
        row = {"trace": name, "seed": seed, "level": 5, "colorspace": "rgb", "variant": "own"}
        return [row | {"strength": 1.0, "auc": 0.5 + 0.1 * len(calls), "compressed_auc": 0.5}]

    monkeypatch.setattr(study, "measured", measured)
    return calls


def test_a_stopped_run_goes_on_where_it_was(two, home, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"3 of 3 parts .* mcx traces --preset demo"):
        study.results("demo", GRID)
    with pytest.raises(KeyboardInterrupt):
        study.make("demo", GRID, told=lambda _: None)
    with pytest.raises(FileNotFoundError, match="2 of 3 parts"):
        study.results("demo", GRID)
    table = study.make("demo", GRID, told=lambda _: None)
    assert two == ["luma", "seam", "seam", "control"]
    assert table["auc"].tolist() == pytest.approx([0.6, 0.8, 0.9])
    assert study.largest("demo") is GRID
    # All current: nothing is measured. Other code, or another grid: everything.
    study.make("demo", GRID, told=lambda _: None)
    assert len(two) == 4
    path = study.store("demo", GRID)
    stored = json.loads(path.read_text())
    assert stored["format"] == study.FORMAT
    path.write_text(json.dumps(stored | {"made_from": "other code"}))
    study.make("demo", GRID, told=lambda _: None)
    assert len(two) == 7
    assert [p.name for p in path.parent.iterdir() if p.suffix == ".json"] == ["small.json"]


def test_the_command_names_what_is_wrong_and_writes_its_note(two, home):
    two.append("begun")
    note = home / "note.json"
    done = CliRunner().invoke(cli.app, ["traces", "--done", str(note)])
    assert done.exit_code == 0, done.output
    assert "seed 0: seam" in done.output
    assert json.loads(note.read_text())["results"]
    for words, said in (
        (["--grid", "large"], "unknown grid 'large'; valid: tiny, small, full"),
        (["--preset", "x"], "unknown preset 'x'; valid: test, demo, paper"),
    ):
        with pytest.raises(ValueError, match=said):
            CliRunner().invoke(cli.app, ["traces", *words], catch_exceptions=False)


def table(change=None, seeds=(0, 1)):
    """AUC 0.7 of everything; ``change``: (trace, set, variant) -> another value."""
    rows = [
        {"trace": name, "seed": seed, "level": level, "strength": 1.0, "colorspace": spec}
        | {"variant": variant, "compressed_auc": 0.5}
        | {"auc": (change or {}).get((name, spec, variant), 0.7) + (0.1 if seed else -0.1)}
        for name in TRACES
        for seed in seeds
        for level in (2, 4)
        for spec in (*COLORSPACES, trace_cells.LEARNT)
        for variant in (("own",) if spec == trace_cells.LEARNT else ("own", "common"))
    ]
    rows += [
        {"trace": "control", "seed": seed, "level": 0, "strength": 30, "colorspace": spec}
        | {"variant": variant, "compressed_auc": np.nan}
        | {"auc": (change or {}).get(("control", spec, variant), value)}
        for seed in seeds
        for spec in COLORSPACES
        for variant, value in (("label", 0.9), ("lot", 0.5))
    ]
    return pd.DataFrame(rows)


EQUAL = ["holds (", "does not hold", "does not hold", "holds (", "holds (", "does not hold"]
EQUAL += ["holds (", "holds (", "holds ("]


def test_outcomes_where_everything_is_equal():
    said = [findings.outcome(h, table()) for h in findings.HYPOTHESES]
    assert [text[: len(begin)] for text, begin in zip(said, EQUAL, strict=True)] == EQUAL
    assert "chroma (YCbCr +0.000)" in said[1]


@pytest.mark.parametrize(
    ("number", "change", "said"),
    [
        (0, {("seam", "hsv", "own"): 0.75}, "holds for 3 of 4 .* not for seam .HSV .0.050."),
        (1, {("chroma", "ycbcr", "own"): 0.8}, "holds for 1 of 4 .*; for chroma .YCbCr .0.100."),
        (2, {("lab-b", "lab", "own"): 0.71}, "holds for 1 of 2 .*; for lab-b .CIELab 0.710"),
        (3, {("noise", "lab", "own"): 0.74}, "holds for 3 of 4 .*; not for noise .CIELab .0.040."),
        (4, {("mouth", "rgb+lab", "own"): 0.76}, "holds for 12 of 13 .*; not for mouth"),
        (5, {("lab-a", "ycbcr", "common"): 0.69}, "holds for 1 of 4 .*; for lab-a"),
        (6, {("luma", "ycbcr", "own"): 0.74}, "holds for 12 of 13 .*; not for luma .-0.040."),
        (7, {("control", "hsv", "lot"): 0.56}, "holds for 8 of 9 .* not for HSV .0.560 by lot"),
    ],
)
def test_outcomes_follow_the_numbers(number, change, said):

    assert re.match(said, findings.outcome(findings.HYPOTHESES[number], table(change)))


def test_reaction_to_compression_and_what_was_seen():
    rows = table({("noise", "lab", "own"): 0.9, ("noise", trace_cells.LEARNT, "own"): 0.95})
    rows.loc[rows["trace"] == "mouth", "compressed_auc"] = 0.35
    text = findings.outcome(findings.HYPOTHESES[8], rows)
    assert text.startswith("holds for 8 of 9")
    assert "not for mouth (0.350)" in text
    first, second, third = findings.seen(rows)
    assert "matters most for noise: CIELab has a mean AUC of 0.900, RGB 0.700" in first
    assert "for 0 of 13 traces" in second
    assert "for 1 of 13 traces and below the best of them by more than that for 0" in third


def test_the_notebook_begins_with_the_hypotheses_word_for_word():
    book = json.loads((Path(__file__).parents[1] / "notebooks/10_traces.ipynb").read_text("utf-8"))
    opening = "".join(book["cells"][1]["source"])
    stated = [*(h.words for h in findings.HYPOTHESES), cam_findings.HYPOTHESIS]
    for number, words in enumerate(stated, 1):
        assert f"\n{number}. {words}" in opening


@pytest.fixture
def nets(home, monkeypatch):
    monkeypatch.setattr(trace_nets, "TRAIN", 3)
    monkeypatch.setattr(trace_nets, "TEST", 2)
    monkeypatch.setattr(trace_nets, "_FACES", 3)
    trace_nets._people.cache_clear()
    yield trace_nets
    trace_nets._people.cache_clear()


def test_a_network_sees_both_versions_of_each_face_and_is_the_same_again(nets):
    both = nets._both(nets._people(0), "luma", 0).numpy()
    assert both.shape == (6, 10, 3, 96, 96)
    faces_of = faces(0, range(5), 2)
    for k, face in enumerate(faces_of):
        np.testing.assert_allclose(both[0, k].transpose(1, 2, 0) * 255, face.image, atol=1e-4)
        for altered in both[1:, k]:
            changed = (altered != both[0, k]).any(0)
            np.testing.assert_array_equal(changed & ~(face.alphas["face"] > 0), False)
            assert changed.any()
    # A shift of brightness grows with its strength.
    change = np.abs(both[1:] - both[0]).mean((1, 2, 3, 4))
    assert (np.diff(change) > 0).all()
    found = nets.trained("luma", "rgb", 0, steps=2)
    assert len(found) == 5
    assert all(0 <= value <= 1 for value in found)
    assert nets.trained("luma", "rgb+ycbcr", 0, steps=2) == nets.trained(
        "luma", "rgb+ycbcr", 0, steps=2
    )


def test_networks_are_trained_once_and_said(nets, monkeypatch):
    trained = []
    lead = {("noise", "lab"): 0.3, ("noise", "rgb+lab"): 0.4, ("seam", "hsv"): 0.1}

    def train(name, spec, seed):
        trained.append((name, spec, seed))
        if len(trained) == 12:
            raise KeyboardInterrupt
        middle = 0.5 + lead.get((name, spec), 0) + 0.02 * seed
        return [middle - 0.02, middle, middle, middle, middle + 0.02]

    monkeypatch.setattr(nets, "trained", train)
    monkeypatch.setattr(nets, "NAMES", ("seam", "noise"))
    floor = pd.DataFrame(0.5, index=["seam", "noise", "flicker"], columns=list(COLORSPACES))
    floor.loc["seam", "hsv"] = floor.loc["noise", "ycbcr"] = 0.9
    assert "`make full` does that" in nets.words("demo", floor)
    with pytest.raises(KeyboardInterrupt):
        nets.make("demo", (0, 2), told=lambda _: None)
    assert len(nets.results("demo")) == 5 * 9  # a trace and seed in nine sets, and no half ones
    table = nets.make("demo", (0, 2), told=lambda _: None)
    assert len(table) == 2 * 2 * 9 * 5
    noise = table[(table["trace"] == "noise") & (table["level"] == 5)]
    assert set(noise["strength"]) == {trace_nets.TRACES["noise"].strengths[4]}
    assert len(trained) == 12 + 3 * 9
    assert list(table["trace"].unique()) == ["seam", "noise"]
    heat = nets.heat(table)
    assert heat.columns.tolist() == list(COLORSPACES)
    assert heat.loc["noise", "rgb+lab"] == pytest.approx(0.92)  # seeds 0 and 2: 0.9 and 0.94
    said = nets.words("demo", floor)
    assert "2 seeds, AUC on 2 people, mean over 2 traces and 5 strengths" in said
    assert "the floor's for 1 of 2 traces" in said
    assert "CIELab's for noise (0.820, RGB 0.520)" in said
    assert "by more than 0.03 for 1 of 2 traces" in said
    nets.make("demo", (0, 2), told=lambda _: None)
    assert len(trained) == 12 + 3 * 9


def test_the_networks_are_a_second_panel_beside_the_floor():
    floor = pd.DataFrame(0.6, index=["seam", "noise", "flicker"], columns=["rgb", "hsv", "lab"])
    floor.loc["noise", "lab"] = 0.9
    alone = figures.heat(floor, {"lab": "CIELab"})
    assert len(alone.figure.axes) == 2  # with the colour bar
    network = floor.drop(index="flicker").rename(columns={"hsv": "rgb+lab"})
    network.loc["seam", "rgb+lab"] = 0.81
    both = figures.heat(floor, {"lab": "CIELab"}, network=network)
    first, second, _ = both.figure.axes
    assert [text.get_text() for text in second.texts][1] == "0.81"
    assert [label.get_text() for label in second.get_yticklabels()] == ["seam", "noise"]
    assert first.get_title() == "the common floor"
    assert "noise best in CIELab (0.90), RGB 0.60" in both.alt
    assert "seam best in rgb+lab (0.81)" in both.alt
    assert figures.heat(floor, {}, network=network.iloc[:0]).alt == figures.heat(floor, {}).alt


def threads(_):
    """The most threads of torch and of any BLAS that is loaded."""
    blas = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    assert blas
    return max(torch.get_num_threads(), *blas)


def test_a_process_of_several_has_one_thread_and_the_main_one_keeps_its_own(monkeypatch):
    """Whatever a scheduler that gives the command two cores says in the environment."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "2")
    own = threads(0)
    assert dict(each(threads, [(0,), (1,)], 2)) == {(0,): 1, (1,): 1}
    assert threads(0) == own


def test_tasks_in_processes_are_those_in_a_row():
    tasks = [(4, 2), (9, 3), (0, 5)]
    alone = dict(each(divmod, tasks, 1))
    assert alone == {task: divmod(*task) for task in tasks}
    assert dict(each(divmod, tasks, 2)) == alone
    assert dict(each(pow, tasks, 2, 7)) == {(a, b): pow(a, b, 7) for a, b in tasks}
    with pytest.raises(ZeroDivisionError):
        list(each(divmod, [(1, 1), (1, 0)], 2))

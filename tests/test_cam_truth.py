"""Maps against the truth, on cases worked by hand."""

import hashlib

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from torch import nn

from mcxlib import CLASSES, explain, pipeline, schemas
from mcxlib.config import load
from mcxlib.detectors.base import Detector, DetectorSettings
from mcxlib.experiments import cam_findings, cam_truth
from mcxlib.explain.truth import areas, pointing
from mcxlib.synthetic import DemoSpec
from mcxlib.synthetic.clip import plan_clip, render_frame
from mcxlib.synthetic.manipulate import MANIPULATIONS
from mcxlib.synthetic.plan import RECIPES, STYLES, plan
from mcxlib.synthetic.truth import altered_frames


class Corner(Detector):
    """p(fake) is the red of the first pixel."""

    name = "corner"

    def __init__(self):
        super().__init__(DetectorSettings(), CLASSES)
        self.weight = nn.Parameter(torch.zeros(1))

    def features(self, images):
        return images[:, :, 0, 0]

    def forward(self, images):
        return images[:, :1, 0, 0]

    def fake_score(self, logits):
        return logits[:, 0]


class Small(Detector):
    """One convolution, an average, a linear layer."""

    name = "small"

    def __init__(self):
        super().__init__(DetectorSettings(), CLASSES)
        self.conv = nn.Conv2d(3, 6, 5, stride=4)
        self.classifier = nn.Linear(6, 5)

    def features(self, images):
        return self.conv(images).relu().mean((2, 3))

    def forward(self, images):
        return self.classifier(self.features(images))

    def cam_layer(self):
        return self.conv


def test_pointing_by_hand():
    maps = np.zeros((5, 2, 3))
    region = np.zeros((5, 2, 3), bool)
    region[:, 0, :2] = True
    maps[0, 0, 1] = 1  # inside
    maps[1, 1, 2] = 1  # outside
    maps[2, 0, 0] = maps[2, 1, 0] = 0.5  # two highest, one inside
    maps[3] = 0.2  # flat: a third of the pixels is inside
    np.testing.assert_array_equal(pointing(maps, region), [1, 0, 0.5, 1 / 3, np.nan])
    with pytest.raises(ValueError, match="does not fit"):
        pointing(maps, region[0])


def test_areas_by_hand():
    """Red 0.8 in the first of four pixels and 0 elsewhere: the mean is 0.2."""
    image = torch.zeros(1, 3, 2, 2)
    image[0, 0, 0, 0] = 0.8
    images = image.repeat(2, 1, 1, 1)
    maps = np.array([[[4.0, 3], [2, 1]], [[1, 2], [3, 4]]])
    found = areas(Corner(), images, maps, steps=4, batch_size=3)
    # The first map blanks that pixel first: 0.8, 0.2, 0.2, 0.2, 0.2; the second last.
    first = (0.8 / 2 + 0.2 + 0.2 + 0.2 + 0.2 / 2) / 4
    last = (0.8 / 2 + 0.8 + 0.8 + 0.8 + 0.2 / 2) / 4
    np.testing.assert_allclose(found.deletion, [first, last], rtol=1e-6)
    # Given back first: 0.2, 0.8, 0.8, 0.8, 0.8; given back last: 0.2, 0.2, 0.2, 0.2, 0.8.
    back = (0.2 / 2 + 0.8 + 0.8 + 0.8 + 0.8 / 2) / 4
    late = (0.2 / 2 + 0.2 + 0.2 + 0.2 + 0.8 / 2) / 4
    np.testing.assert_allclose(found.insertion, [back, late], rtol=1e-6)
    with pytest.raises(ValueError, match="do not fit"):
        areas(Corner(), images, maps[:1])
    with pytest.raises(ValueError, match="at least 1"):
        areas(Corner(), images, maps, steps=0)


@pytest.mark.parametrize("name", ["FS", "NT"])
def test_a_fake_differs_from_its_source_inside_the_altered_pixels_only(name):
    spec = DemoSpec.small()
    job = plan(spec)[0][0]
    output = next(o for o in job.outputs if o.manipulation == name)
    size = (spec.frames, spec.width, spec.height)
    target, donor = (
        plan_clip(person, clip, *size, STYLES[job.style])
        for person, clip in ((job.person, job.clip), (output.donor_person, output.donor_clip))
    )
    frames = [render_frame(target, k) for k in range(spec.frames)]
    rng = np.random.default_rng(0)
    made = MANIPULATIONS[name](target, frames, donor, RECIPES[job.style], rng)
    found = altered_frames(output.path, [0, 7], spec)
    assert found.shape == (2, spec.height, spec.width)
    for mask, index in zip(found, (0, 7), strict=True):
        differs = (made[index] != frames[index]).any(-1)
        assert not differs[~mask].any()
        assert differs[mask].mean() > 0.8
    with pytest.raises(ValueError, match="no rendered fake is called"):
        altered_frames(job.outputs[0].path, [0], spec)


def test_numbers_of_one_network_are_those_of_each_map():
    torch.manual_seed(0)
    model = Small()
    rng = np.random.default_rng(0)
    altered = np.zeros((4, 64, 64), bool)
    altered[:2, 10:30, 10:40] = True
    altered[2:, 40:, :] = True
    images, names = rng.random((4, 3, 64, 64), np.float32), ["DF", "FS"] * 2
    sample = cam_truth.Fakes(images, altered, names, list("abcd"))
    table = cam_truth.measured({"A": model}, sample)
    assert len(table) == 4 * len(cam_truth.METHODS)
    maps = explain.activation_maps(model, torch.from_numpy(sample.images), "LayerCAM", "fake")
    rows = table[table["method"] == "LayerCAM"].reset_index(drop=True)
    for k in range(4):
        total = maps[k].sum()
        assert rows.loc[k, "share"] == pytest.approx(maps[k][altered[k]].sum() / total, rel=1e-5)
        others = [maps[j][altered[k]].sum() / maps[j].sum() for j in range(4) if j != k]
        assert rows.loc[k, "share_of_others"] == pytest.approx(np.mean(others), rel=1e-5)
        peak = np.unravel_index(maps[k].argmax(), (64, 64))
        assert rows.loc[k, "pointing"] == altered[k][peak]
    assert rows["area"].tolist() == pytest.approx([600 / 4096] * 2 + [24 / 64] * 2)
    stretched, common = cam_truth.two_scales(model, sample.images)
    np.testing.assert_array_equal(stretched, maps)
    assert common.max() == pytest.approx(1)
    raw = explain.raw_maps(model, torch.from_numpy(sample.images), "LayerCAM", "fake")
    strongest = np.maximum(raw, 0).max((1, 2))
    assert common.max((1, 2)).argmax() == strongest.argmax()


def test_maps_without_evidence_are_counted_and_left_out():
    rows = [
        {"network": network, "method": method, "manipulation": "DF", "evidence": evidence}
        | {"area": 0.3, "share": share if evidence else np.nan, "share_of_others": 0.35}
        | {"cells": 64 if network == "A" else 4, "video_id": video}
        for network, share in (("A", 0.5), ("B", 0.4))
        for method in ("Grad-CAM", "LayerCAM")
        for video, evidence in (("a", True), ("b", True), ("c", False))
    ]
    table = pd.DataFrame(rows)
    found = cam_findings.summary(table)
    assert found["crops"].tolist() == [3] * 4
    assert found["without"].tolist() == [1] * 4
    assert found.loc[("A", "LayerCAM"), "share"] == 0.5
    came = cam_findings.outcome(table)
    assert came.startswith("holds: on average over the manipulations 4 of 4")
    assert "0 of 4 (network, method, manipulation) are not" in came
    assert "A is by 0.150 and B by 0.050" in came
    assert "64 and 4 cells" in came
    # Two videos alike: others may be anything, but for the bound of two in two.
    assert "for 0 the intervals" in came
    like = 0.05**0.5
    assert found.loc[("A", "LayerCAM"), "above_flat_low"] == pytest.approx(0.2 * like - (1 - like))
    table["share"] = table["share"].where(table["network"] == "B", 0.32)
    assert cam_findings.outcome(table).startswith("does not hold as a whole: on average")
    assert "but not more in A (0.320 on average) than in B (0.400)" in cam_findings.outcome(table)


def test_how_far_maps_lie_above_chance_has_students_interval_over_videos():
    rng = np.random.default_rng(0)
    videos = ["a", "a", "b", "c", "d", "e"]
    table = pd.concat(
        pd.DataFrame(
            {
                "network": network,
                "method": method,
                "manipulation": ["DF", "FS"] * 3,
                "video_id": videos,
                "cells": 9,
                "evidence": True,
                "area": 0.3,
                "share": base + 0.1 * rng.random(6),
                "share_of_others": 0.35 + 0.1 * rng.random(6),
                **dict.fromkeys(("pointing", "pointing_of_others"), np.nan),
                **dict.fromkeys(("deletion", "deletion_of_others"), 0.8),
                **dict.fromkeys(("insertion", "insertion_of_others"), 0.9),
            }
        )
        for network, base in (("A", 0.6), ("B", 0.3))
        for method in ("Grad-CAM", "LayerCAM")
    )
    table.loc[table["video_id"] == "e", ["share", "evidence"]] = [np.nan, False]
    found = cam_findings.summary(table)
    excess = table["share"] - table["share_of_others"]
    for key, part in excess.groupby([table["network"], table["method"]]):
        means = part.to_numpy()[:5]
        expected = stats.ttest_1samp([means[:2].mean(), *means[2:]], 0).confidence_interval()
        row = found.loc[key, ["above_others_low", "above_others_high"]]
        assert tuple(row) == pytest.approx(tuple(expected))
    shown = cam_findings.shown(table).set_index(["network", "method"])
    row, text = found.loc[("A", "LayerCAM")], shown.loc[("A", "LayerCAM")]
    assert text["inside / others'"] == f"{row['share']:.2f} / {row['share_of_others']:.2f}"
    ends = f"({row['above_others_low']:+.2f} to {row['above_others_high']:+.2f})"
    assert text["above others'"] == f"{row['above_others']:+.2f} {ends}"
    assert text[["maps", "pointing / others'"]].tolist() == ["5 of 6", "– / –"]
    assert "LayerCAM:" in cam_findings.report(table)
    came = cam_findings.outcome(table)
    assert "2 of 4 methods and networks are above both" in came
    assert "for 2 the intervals of 95 % over videos lie above both" in came
    # The networks on the same crops, mean over both methods.
    wide = excess.to_numpy().reshape(2, 2, 6).mean(axis=1)
    gap = (wide[0] - wide[1])[:5]
    expected = stats.ttest_1samp([gap[:2].mean(), *gap[2:]], 0).confidence_interval()
    assert f"{expected.low:+.3f} to {expected.high:+.3f})" in came


def test_of_other_videos_nothing_is_known():
    with pytest.raises(ValueError, match="rendered videos only; these are distributed"):
        cam_truth.fakes(load("demo", videos="distributed"))


def test_maps_are_measured_once_and_anew_of_other_weights_or_rows(home, monkeypatch):
    """What is measured is made up here: only when, of what, and what is read again is looked at."""
    runs = {"MCX-API(RGB)": load("test"), "API-Net": load("test", detector="api-net")}
    folders = [pipeline.run_folder(run) for run in runs.values()]
    for number, folder in enumerate(folders):
        folder.weights.parent.mkdir(parents=True)
        folder.weights.write_bytes(bytes([number]))
    assert cam_truth.stored(runs) is None
    calls = []
    rows = pd.DataFrame({"video_id": ["a"], "frame_index": [0]})
    monkeypatch.setattr(cam_truth.pipeline, "ensure_run", lambda run: run, raising=False)
    monkeypatch.setattr(cam_truth.pipeline, "ensure_rows", lambda *_: rows, raising=False)
    monkeypatch.setattr(cam_truth, "fingerprint", lambda table: table["video_id"].iloc[0])
    monkeypatch.setattr(cam_truth, "_networks", lambda found: dict.fromkeys(found))
    monkeypatch.setattr(cam_truth, "fakes", lambda config: None)
    truth = pd.DataFrame({"network": ["API-Net"], "video_id": ["a"], "share": [0.25]})
    monkeypatch.setattr(cam_truth, "measured", lambda *_: calls.append("measured") or truth)
    jpegs = pd.DataFrame({"network": ["API-Net"], "auc": [0.6]})
    monkeypatch.setattr(cam_truth, "reaction", lambda *_: jpegs)
    for found in (cam_truth.make(runs), cam_truth.make(runs), cam_truth.stored(runs)):
        pd.testing.assert_frame_equal(found.truth, truth)
        pd.testing.assert_frame_equal(found.reaction, jpegs)
    assert calls == ["measured"]
    assert found.note["weights"]["API-Net"] == hashlib.sha256(b"\1").hexdigest()
    folders[1].weights.write_bytes(b"other")
    assert cam_truth.stored(runs) is None
    cam_truth.make(runs)
    rows["video_id"] = "b"
    cam_truth.make(runs)
    cam_truth.make(runs)
    assert len(calls) == 3
    # Cut off between the two files, they are not of one measurement.
    first, last = cam_truth.files(runs["API-Net"])
    schemas.write_noted(last, truth, found.note)
    assert cam_truth.stored(runs) is None
    for file in (first, last):
        schemas.write_noted(file, truth, found.note | {"format": 3})
    with pytest.raises(ValueError, match="is of format 3, and this program reads up to 2; update"):
        cam_truth.stored(runs)

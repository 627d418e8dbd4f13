"""Scores of one person in full and in half precision, in small groups, several frames abreast."""

import threading
import weakref

import numpy as np
import pytest
import torch
from fuzz import WEIGHTS
from judged import network

from mcxlib import weights
from mcxlib.answer import scores, verdict
from mcxlib.answer.abreast import abreast
from mcxlib.answer.schema import Interval
from mcxlib.data.faces.finder import FaceFinder
from mcxlib.engine.score import outputs
from mcxlib.synthetic import render_person
from mcxlib.weights import Card

SCALE = verdict.scale(Card(detector="d", label="l", classes=("real", "fake"), config={}))
SECONDS = [i / 4 for i in range(10)]


@pytest.fixture(scope="module")
def crops():
    """Ten faces of five people, (10, 72, 72, 3)."""
    frames = np.concatenate([render_person((seed,), 160, 120, 2) for seed in range(5)])
    return np.ascontiguousarray(frames[:, 20:92, 44:116])


def values(loaded, crops, precision):
    return scores.score(loaded, scores.Items(crops, SECONDS), SCALE, precision).values


@pytest.mark.parametrize("detector", ["trained", "mesonet"])
def test_half_precision_differs_by_less_than_is_said(detector, crops):
    loaded = weights.load(WEIGHTS) if detector == "trained" else network(detector)
    full, half = (values(loaded, crops, precision) for precision in ("fp32", "bf16"))
    assert full.shape == half.shape
    off = np.abs(full - half).max()
    assert 0 < off < scores.MARGIN  # 0: it was not half precision


def test_full_precision_is_the_networks_own_in_groups_of_any_size(crops):
    loaded = weights.load(WEIGHTS)
    size = loaded.config.train.input_size
    edge = (crops.shape[1] - size) // 2
    inner = crops[:, edge : edge + size, edge : edge + size]
    images = torch.from_numpy(np.ascontiguousarray(inner)).permute(0, 3, 1, 2)
    with torch.inference_mode():  # in float64, all ten at once
        logits = weights.load(WEIGHTS).model.double()(images.double() / 255)
        expected = loaded.model.fake_score(logits.float()).numpy()
    np.testing.assert_allclose(values(loaded, crops, "fp32")[:, 0], expected, atol=1e-5)
    for group in (1, 3, 16):
        found = outputs(loaded.model, images, torch.device("cpu"), "32-true", group)
        np.testing.assert_allclose(found[:, 0], expected, atol=1e-5)


def test_auto_is_half_only_where_native_and_the_verdict_cannot_change(crops, monkeypatch):
    loaded = weights.load(WEIGHTS)

    def auto(scale):
        found = scores.score(loaded, scores.Items(crops, SECONDS), scale, "auto")
        return found.precision, found.values

    full, half = (values(loaded, crops, precision) for precision in ("fp32", "bf16"))
    ends = verdict.interval(half[:, 0].tolist(), SECONDS)
    far, near = (SCALE._replace(threshold=t) for t in (ends.high + 0.2, ends.high + 0.01))
    monkeypatch.setattr(scores, "native_bf16", lambda: False)
    assert auto(far)[0] == "fp32"
    monkeypatch.setattr(scores, "native_bf16", lambda: True)
    precision, found = auto(far)
    assert precision == "bf16"
    np.testing.assert_array_equal(found, half)
    precision, found = auto(near)
    assert precision == "fp32"
    np.testing.assert_array_equal(found, full)


@pytest.mark.parametrize(
    ("low", "high", "steady"),
    # Threshold 0.5, strongest level 0.8, margin 0.05.
    [
        (0.2, 0.44, True),
        (0.2, 0.46, False),  # no sign found, but the threshold could lie within
        (0.3, 0.6, True),
        (0.3, 0.54, False),
        (0.46, 0.7, False),  # uncertain, could be suspicious
        (0.56, 0.9, True),
        (0.76, 0.9, False),
        (0.86, 0.9, True),
        (0.0, 1.0, True),  # a single picture
    ],
)
def test_a_verdict_that_could_be_another_by_hand(low, high, steady):
    scale = SCALE._replace(threshold=0.5, strong_level=0.8)
    score = Interval(value=(low + high) / 2, low=low, high=high, how="by hand")
    assert verdict.steady(score, scale, 0.05) == steady


def test_an_interval_moves_no_further_than_the_scores():
    rng = np.random.default_rng(0)
    for n in (4, 9, 40):
        first = rng.uniform(size=n)
        second = first + rng.uniform(-0.05, 0.05, n)
        a, b = (verdict.interval(list(s), [i / 3 for i in range(n)]) for s in (first, second))
        assert max(abs(a.low - b.low), abs(a.high - b.high)) <= 0.05


# -- abreast --------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_results_come_in_order_and_errors_where_they_are_asked_for(threads):
    def root(x):
        if x < 0:
            raise ValueError(f"{x} has no root")
        return x**0.5

    done = list(abreast(root, [4, -1, 9, 16], threads))
    assert [item for item, _ in done] == [4, -1, 9, 16]
    assert [done[i][1].result() for i in (0, 2, 3)] == [2, 3, 4]
    with pytest.raises(ValueError, match="-1 has no root"):
        done[1][1].result()


def test_two_are_at_work_at_a_time_and_few_are_held():
    both, alive, most = threading.Barrier(2, timeout=60), [], []

    def items():
        for _ in range(6):
            item = np.zeros(3)
            alive.append(weakref.ref(item))
            most.append(sum(ref() is not None for ref in alive))
            yield item
            del item

    def wait(_):
        both.wait()  # one alone would wait in vain
        return torch.get_num_threads()

    for _, done in abreast(wait, items(), 2):
        assert done.result() == 1
    assert max(most) <= 4


def test_faces_found_abreast_are_those_found_one_by_one():
    frames = [*render_person((3,), 240, 180, 2), *render_person((4,), 240, 180, 2)]
    finder = FaceFinder(0.9, "fast", "all", smallest=0.04)
    assert finder.independent
    one_by_one = [finder(frame) for frame in frames]
    assert all(one_by_one)
    assert [done.result() for _, done in abreast(finder, frames, 2)] == one_by_one


@pytest.mark.parametrize(
    ("detection", "faces", "free"),
    [("exact", "largest", True), ("fast", "largest", False), ("tracked", "all", False)],
)
def test_where_the_order_of_frames_matters(detection, faces, free):
    assert FaceFinder(0.9, detection, faces).independent == free

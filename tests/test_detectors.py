"""What every detector has to do, checked for each one that there is."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.optim import SGD

from mcxlib import CLASSES, detectors, paper
from mcxlib.catalogue import catalogue
from mcxlib.config import load
from mcxlib.detectors.base import Detector
from mcxlib.detectors.clips import ClipDetector, clip_of

NAMES = list(detectors.modules())
PRINTED = set(pd.concat([paper.table1(), paper.table2(), paper.table3()])["key"])
SIZE = 64


def small(name: str, seed: int = 0, classes: tuple[str, ...] = CLASSES, **more):
    """The detector as the preset for tests builds it."""
    config = load("test", detector=name, **more)
    torch.manual_seed(seed)
    return detectors.build(name, classes, **config.model.model_dump())


def batch(name: str, seed: int = 0, size: int = SIZE) -> tuple[torch.Tensor, torch.Tensor]:
    """Three classes of four images, or clips; a class is one bright corner more or less, or every
    second frame brighter."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(3).repeat_interleave(4)
    frames = clip_of(detectors.find(name), load("test", detector=name).model).frames
    if frames > 1:
        clips = torch.rand(12, frames, 3, size, size, generator=generator) * 0.4
        for clip, label in zip(clips, labels.tolist(), strict=True):
            clip[label % 2 :: 2] += 0.5 * (label > 0)
        return clips, labels
    images = torch.rand(12, 3, size, size, generator=generator) * 0.4
    for image, label in zip(images, labels.tolist(), strict=True):
        image[:, : size // 2, size // 2 * (label > 1) :][:, :, : size // 2] += 0.5 * (label > 0)
    return images.contiguous(memory_format=torch.channels_last), labels


def steps(model, count: int) -> list[float]:
    """Losses of ``count`` steps of SGD on one batch, dropout drawn from the step's number."""
    images, labels = batch(model.name)
    optimizer = SGD([p for group in model.groups() for p in group], 0.01, momentum=0.9)
    model.train()
    losses = []
    for step in range(count):
        torch.manual_seed(step)
        model.before_step(step / count)
        loss = model.losses(images, labels)["total"]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        model.after_step()
        losses.append(float(loss))
    return losses


@cache
def listed():
    """The catalogue, made once: it builds every detector at its published size."""
    return catalogue()


@pytest.mark.parametrize("name", NAMES)
class TestEveryDetector:
    def test_shapes_and_a_batch_of_one(self, name):
        model = small(name).eval()
        images, _ = batch(name)
        with torch.no_grad():
            logits = model(images)
            alone = model(images[:1])
        assert logits.shape[0] == 12
        assert alone.shape == (1, logits.shape[1])
        torch.testing.assert_close(alone[0], logits[0], atol=1e-4, rtol=1e-4)

    def test_evaluation_gives_the_same_twice_and_keeps_no_state(self, name):
        model = small(name).eval()
        images, _ = batch(name)
        before = {k: v.clone() for k, v in model.state_dict().items()}
        with torch.no_grad():
            assert torch.equal(model(images), model(images))
        assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())

    def test_scores_are_probabilities_of_fake(self, name):
        model = small(name).eval()
        with torch.no_grad():
            logits = model(batch(name)[0])
        log_p = model.log_probabilities(logits)
        assert log_p.shape == (12, 2)
        np.testing.assert_allclose(log_p.double().exp().sum(1), 1, atol=1e-5)
        score = model.fake_score(logits)
        assert score.dtype == torch.float64
        np.testing.assert_allclose(score, log_p[:, 1].double().exp(), atol=1e-6)
        probabilities = model.class_probabilities(logits)
        if probabilities is not None:
            assert probabilities.shape == (12, len(CLASSES))
            np.testing.assert_allclose(1 - probabilities[:, 0].double(), score, atol=1e-12)
        assert model.score_kind

    def test_training_lowers_the_loss_and_the_score_turns_the_right_way(self, name):
        model = small(name)
        losses = steps(model, 60)
        assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
        images, labels = batch(name)
        # With the batch's own statistics: 60 steps are too few for BatchNorm's running ones.
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        with torch.no_grad():
            score = model.fake_score(model.train()(images))
        assert score[labels > 0].mean() > score[labels == 0].mean() + 0.05

    def test_named_losses(self, name):
        model = small(name)
        losses = model.losses(*batch(name))
        assert {value.shape for value in losses.values()} == {torch.Size([])}
        assert losses["total"].requires_grad
        assert len(losses) > 1, "the parts of a loss, or its own name"

    def test_twenty_steps_are_the_same_after_a_resume(self, name):
        """State and optimiser through a file in the middle: bit for bit."""
        whole = small(name)
        expected = steps(whole, 20)
        images, labels = batch(name)
        first = small(name)
        optimizer = SGD([p for g in first.groups() for p in g], 0.01, momentum=0.9)

        def go(model, optimizer, numbers):
            model.train()
            found = []
            for step in numbers:
                torch.manual_seed(step)
                model.before_step(step / 20)
                loss = model.losses(images, labels)["total"]
                loss.backward()
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
                model.after_step()
                found.append(float(loss))
            return found

        found = go(first, optimizer, range(9))
        file = io.BytesIO()
        torch.save({"model": first.state_dict(), "optimizer": optimizer.state_dict()}, file)
        file.seek(0)
        state = torch.load(file, weights_only=True)
        second = small(name, seed=1)
        second.load_state_dict(state["model"])
        other = SGD([p for g in second.groups() for p in g], 0.01, momentum=0.9)
        other.load_state_dict(state["optimizer"])
        assert found + go(second, other, range(9, 20)) == expected
        after = second.state_dict()
        assert all(torch.equal(v, after[k]) for k, v in whole.state_dict().items())

    def test_memory_order_does_not_matter(self, name):
        model = small(name).eval()
        images, _ = batch(name)
        with torch.no_grad():
            inner = model(images)
            plain = model.to(memory_format=torch.contiguous_format)(images.contiguous())
        torch.testing.assert_close(inner, plain, atol=1e-4, rtol=1e-3)

    def test_half_precision_is_finite_and_close(self, name):
        model = small(name).eval()
        images, labels = batch(name)
        with torch.no_grad():
            exact = model.fake_score(model(images))
            with torch.autocast("cpu", dtype=torch.bfloat16):
                half = model.fake_score(model(images).float())
        assert half.isfinite().all()
        torch.testing.assert_close(half, exact, atol=0.03, rtol=0)
        model.train()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = model.losses(images, labels)["total"]
        loss.backward()
        assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)

    @pytest.mark.parametrize(
        ("images", "message"),
        [
            (torch.rand(3, SIZE, SIZE), r"\(B, 3, H, W\)"),
            (torch.rand(2, 4, SIZE, SIZE), r"\(B, 3, H, W\)"),
            (torch.ones(2, 3, SIZE, SIZE, dtype=torch.uint8), "divide 8-bit images by 255"),
            (torch.full((2, 3, SIZE, SIZE), 200.0), "divide 8-bit images by 255"),
        ],
    )
    def test_wrong_images_are_refused_by_name(self, name, images, message):
        if issubclass(detectors.find(name), ClipDetector):
            images = images[:, None].expand(-1, 8, *images.shape[1:])
            message = message.replace("(B, 3", "(B, 8, 3")
        with pytest.raises(ValueError, match=f"{name}.*{message}"):
            small(name).eval()(images)

    def test_published_parameters(self, name):
        kind = detectors.find(name)
        if kind.published is None:
            assert {e["name"]: e for e in listed()}[name]["published_parameters"] is None
            return
        model = detectors.build(name, **kind.published.settings)
        assert sum(p.numel() for p in model.parameters()) == kind.published.parameters

    def test_a_map_or_a_clear_word_that_there_is_none(self, name):
        model = small(name).eval()
        if type(model).cam_layer is Detector.cam_layer:
            with pytest.raises(ValueError, match=f"{name} has no feature map"):
                model.cam_layer()
            return
        layer = model.cam_layer()
        seen = []
        layer.register_forward_hook(lambda *a: seen.append(a[-1].shape))
        with torch.no_grad():
            model(batch(name)[0])
        assert len(seen) == 1
        assert len(seen[0]) == 4
        assert min(seen[0][2:]) > 1

    def test_freezing_holds_the_slow_part(self, name):
        model = small(name)
        if model.slow_part() is None:
            assert len(model.groups()) == 1
            return
        model.freeze(True)
        before = {k: v.clone() for k, v in model.slow_part().state_dict().items()}
        steps(model, 2)
        assert all(torch.equal(v, before[k]) for k, v in model.slow_part().state_dict().items())
        model.freeze(False)
        steps(model, 1)
        assert not all(torch.equal(v, before[k]) for k, v in model.slow_part().state_dict().items())

    def test_groups_hold_each_parameter_once(self, name):
        model = small(name)
        ids = [id(p) for group in model.groups() for p in group]
        assert len(ids) == len(set(ids))
        assert set(ids) == {id(p) for p in model.parameters()}

    def test_two_classes_are_enough(self, name):
        model = small(name, classes=("real", "fake"))
        images, labels = batch(name)
        assert model.losses(images, labels.clamp(max=1))["total"].isfinite()
        with torch.no_grad():
            assert model.eval().fake_score(model(images)).shape == (12,)
        with pytest.raises(ValueError, match="'real'"):
            small(name, classes=("fake", "real"))

    def test_its_row_is_one_of_the_papers(self, name):
        entry = next(e for e in listed() if e["name"] == name)
        assert entry["tables"] == sorted(set(entry["tables"]))
        label = detectors.find(name).label(load("paper", detector=name).model)
        if entry["tables"]:
            assert label in entry["paper_rows"], "the default settings are a row of the paper"
        else:
            assert label not in PRINTED, "no row of the paper is taken for another network's"


def test_unknown_detectors_name_the_nearest():
    with pytest.raises(ValueError, match="unknown detector 'mesonett'; did you mean 'mesonet'"):
        detectors.find("mesonett")


def test_catalogue_counts():
    """API-Net's ResNet-101 has 42,500,160 weights before its head; MCX-API's head by hand."""
    entries = {e["name"]: e for e in listed()}
    head = 2 * 2048 * 512 + 512 + 512 * 2048 + 2048 + 2048 * 5 + 5
    assert entries["api-net"]["parameters"] == 42_500_160 + head
    assert entries["mcx-api"]["parameters"] == 20_806_952 + head
    assert (entries["xception"]["parameters"], entries["xception"]["outputs"]) == (20_811_050, 2)
    assert (entries["mesonet"]["parameters"], entries["mesonet"]["outputs"]) == (28_615, 1)
    assert entries["mesonet"]["input_size"] == 448, "cut as for all rows, and scaled to 256 inside"
    assert entries["mcx-api"]["input_size"] == 448
    assert len(entries["mcx-api"]["paper_rows"]) == 8
    assert (entries["ftcn"]["outputs"], entries["ftcn"]["frames_per_item"]) == (1, 32)
    assert (entries["lipforensics"]["outputs"], entries["lipforensics"]["frames_per_item"]) == (
        1,
        25,
    )

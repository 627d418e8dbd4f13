"""SupCon: the loss against a double loop, the views, and what each stage may and may not change."""

from __future__ import annotations

import colorsys
import copy
import math
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from torch import nn
from torch.optim import SGD

from mcxlib import CLASSES, detectors
from mcxlib.detectors.supcon import crop_and_flip, recolour, supcon_loss

SLIM = {"backbone": "slim_xception", "view_side": 32}


def unit(n, views, width, seed=0):
    rows = np.random.default_rng(seed).normal(size=(n, views, width))
    return rows / np.linalg.norm(rows, axis=2, keepdims=True)


def double_loop(embeddings, labels, temperature):
    """Mean over anchors of -1/|P| sum over P of log(exp(s_ap) / sum over all others exp(s_aj))."""
    n, views, width = embeddings.shape
    rows, classes = embeddings.reshape(-1, width), np.repeat(labels, views)
    found = []
    for a in range(n * views):
        others = [j for j in range(n * views) if j != a]
        below = sum(math.exp(rows[a] @ rows[j] / temperature) for j in others)
        positives = [j for j in others if classes[j] == classes[a]]
        if positives:
            logs = [math.log(math.exp(rows[a] @ rows[p] / temperature) / below) for p in positives]
            found.append(-sum(logs) / len(positives))
    return sum(found) / len(found)


class TestLoss:
    @pytest.mark.parametrize("temperature", [0.07, 0.5])
    @pytest.mark.parametrize("views", [1, 2, 3])
    def test_double_loop(self, views, temperature):
        labels = np.array([0, 1, 1, 2, 0, 2, 1])
        rows = unit(7, views, 16)
        found = supcon_loss(torch.tensor(rows), torch.tensor(labels), temperature).item()
        assert found == pytest.approx(double_loop(rows, labels, temperature), rel=1e-12)

    def test_by_hand(self):
        """Two classes, two equal views each, at right angles: e of e + 2 at temperature 1."""
        rows = torch.eye(2)[:, None].expand(2, 2, 2)
        expected = math.log((math.e + 2) / math.e)
        assert supcon_loss(rows, torch.tensor([0, 1]), 1.0).item() == pytest.approx(expected)

    def test_one_view_of_a_class_alone_is_left_out(self):
        """Dividing by its number of positives, 0, would make the whole loss NaN."""
        labels = np.array([0, 0, 1])
        rows = unit(3, 1, 8)
        leaf = torch.tensor(rows, requires_grad=True)
        loss = supcon_loss(leaf, torch.tensor(labels))
        assert loss.item() == pytest.approx(double_loop(rows, labels, 0.07), rel=1e-12)
        loss.backward()
        assert leaf.grad.isfinite().all()
        assert supcon_loss(torch.tensor(rows), torch.arange(3)).item() == 0

    def test_half_precision_rows_are_compared_in_float32(self):
        rows, labels = unit(6, 2, 16), np.arange(6) % 3
        half = torch.tensor(rows).bfloat16()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = supcon_loss(half, torch.tensor(labels))
        assert loss.dtype == torch.float32
        expected = double_loop(half.double().numpy(), labels, 0.07)
        assert loss.item() == pytest.approx(expected, rel=1e-5)


class TestViews:
    def test_boxes_of_a_fifth_to_the_whole_area_and_every_second_one_flipped(self):
        """Red says where a pixel was from left to right, green from top to bottom."""
        side = 64
        line = torch.arange(side) / side
        image = torch.stack([line.expand(side, side), line[:, None].expand(side, side)])
        change = crop_and_flip([side, side], 0.2)
        torch.manual_seed(0)
        areas, flipped = [], []
        for _ in range(400):
            x, y = change(image)
            width = (x[:, -9] - x[:, 8]).mean().item() / (side - 17) * side
            height = (y[-9] - y[8]).mean().item() / (side - 17) * side
            areas.append(abs(width) * height)
            flipped.append(width < 0)
        assert min(areas) > 0.17, "whole pixels: a little below a fifth"
        assert max(areas) > 0.95
        assert np.mean(areas) == pytest.approx(0.6, abs=0.06), "uniform between 0.2 and 1"
        assert np.mean(flipped) == pytest.approx(0.5, abs=0.1)

    def test_colours_change_in_the_reference_s_shares(self):
        image = torch.tensor([0.7, 0.3, 0.4])[:, None, None].expand(3, 8, 8)
        torch.manual_seed(0)
        change = recolour()
        seen = torch.stack([change(image)[:, 0, 0] for _ in range(1000)])
        grey = (seen.amax(1) - seen.amin(1)) < 1e-4
        same = (seen - image[:, 0, 0]).abs().amax(1) < 1e-6
        assert grey.double().mean().item() == pytest.approx(0.2, abs=0.04)
        assert same.double().mean().item() == pytest.approx(0.2 * 0.8, abs=0.04)

    def test_colours_change_as_far_as_in_the_reference(self):
        """Grey halves: brightness moves their mean, contrast their difference over it. A dark
        colour's hue, by Python's own conversion, is moved by the hue alone."""
        halves = torch.tensor([0.3, 0.5]).repeat(3, 4, 4)
        colour = (0.35, 0.15, 0.2)
        flat = torch.tensor(colour)[:, None, None].expand(3, 4, 4)
        torch.manual_seed(0)
        change = recolour()
        seen = [change(halves)[0, 0] for _ in range(600)]
        brightness = [x.mean().item() / 0.4 for x in seen]
        contrast = [(x[1] - x[0]).item() / (2 * x.mean().item()) / 0.25 for x in seen]
        turned = [colorsys.rgb_to_hsv(*change(flat)[:, 0, 0].tolist()) for _ in range(600)]
        turns = [h - colorsys.rgb_to_hsv(*colour)[0] for h, s, _ in turned if s > 1e-3]
        turns = [(t + 0.5) % 1 - 0.5 for t in turns]
        for found, low, high in ((brightness, 0.6, 1.4), (contrast, 0.6, 1.4), (turns, -0.1, 0.1)):
            edge = 0.05 * (high - low)
            assert low - 0.01 < min(found) < low + edge
            assert high - edge < max(found) < high + 0.01

    def test_two_of_each_drawn_from_the_global_generator(self):
        model = detectors.build("supcon", **SLIM)
        images = torch.rand(3, 3, 40, 48)
        torch.manual_seed(5)
        first = model.views(images)
        torch.manual_seed(5)
        assert torch.equal(model.views(images), first)
        assert not torch.equal(model.views(images), first)
        assert first.shape == (6, 3, 32, 32)
        assert first.min() >= 0
        assert first.max() <= 1
        assert not torch.allclose(first[:3], first[3:]), "the two views of an image differ"
        own = detectors.build("supcon", backbone="slim_xception").views(images)
        assert own.shape == (6, 3, 40, 48)
        same = model.views(images[:1].expand(3, -1, -1, -1))
        assert len(torch.unique(same.flatten(1), dim=0)) == 6, "each image has its own"

    def test_views_of_an_image_belong_together(self):
        """The rows of the loss: view v of image i carries the label of image i."""
        model = detectors.build("supcon", **SLIM)
        model.views = lambda images: torch.cat([images, images.flip(3)])
        images, labels = torch.rand(5, 3, 32, 32), torch.tensor([0, 1, 2, 1, 0])
        model.eval()
        with torch.no_grad():
            rows = [model.embed(x).double().numpy() for x in (images, images.flip(3))]
            found = model.losses(images, labels)["total"].item()
        np.testing.assert_allclose(np.linalg.norm(rows[0], axis=1), 1, atol=1e-6)
        expected = double_loop(np.stack(rows, axis=1), labels.numpy(), 0.07)
        assert found == pytest.approx(expected, rel=1e-4)


def test_network_and_its_size():
    """timm's Xception on the same weights at mean and deviation 0.5, the layers behind by NumPy."""
    torch.manual_seed(0)
    model = detectors.build("supcon")
    count = sum(p.numel() for p in model.parameters())
    projection = 2048 * 2048 + 2048 + 2048 * 128 + 128
    assert count == 20_806_952 + projection + 2048 * 5 + 5
    nn.init.normal_(model.classifier.weight)
    reference = timm.create_model("legacy_xception", num_classes=0)
    reference.load_state_dict(model.backbone.state_dict())
    images = torch.rand(2, 3, 96, 96)
    with torch.no_grad():
        found = model.eval()(images)
        embedded = model.embed(images)
        inner = reference.eval()((images - 0.5) / 0.5).numpy()
    assert inner.min() >= 0, "pooled after the last ReLU"
    state = {k: v.numpy() for k, v in model.state_dict().items()}
    expected = inner @ state["classifier.weight"].T + state["classifier.bias"]
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
    hidden = np.maximum(inner @ state["projection.0.weight"].T + state["projection.0.bias"], 0)
    rows = hidden @ state["projection.2.weight"].T + state["projection.2.bias"]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(embedded, rows, atol=1e-4)


def run(model, progress, count=2):
    """Steps at one progress, with momentum and decay that would move whatever has a gradient."""
    optimizer = SGD(model.parameters(), 0.05, momentum=0.9, weight_decay=0.1)
    for step in range(count):
        torch.manual_seed(step)
        model.train()
        model.before_step(progress)
        losses = model.losses(torch.rand(6, 3, 32, 32), torch.arange(6) % 3)
        losses["total"].backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return losses


def changed(model, before):
    now = model.state_dict()
    return {name.split(".")[0] for name in now if not torch.equal(now[name], before[name])}


class TestStages:
    def test_what_each_changes(self):
        torch.manual_seed(0)
        model = detectors.build("supcon", **SLIM, contrast_share=0.25)
        before = copy.deepcopy(model.state_dict())
        losses = run(model, 0.24)
        assert changed(model, before) == {"backbone", "projection"}
        assert losses["cross_entropy"] == 0
        assert losses["contrastive"] == losses["total"] > 0
        with torch.no_grad():
            score = model.eval().fake_score(model(torch.rand(4, 3, 32, 32)))
        np.testing.assert_allclose(score, 1 - 1 / len(CLASSES))

        before = copy.deepcopy(model.state_dict())
        losses = run(model, 0.25)
        assert changed(model, before) == {"classifier", "stage"}, "not even running statistics"
        assert losses["contrastive"] == 0
        assert losses["cross_entropy"] == losses["total"] > 0

    def test_an_optimiser_with_momentum_does_not_go_on_moving_the_encoder(self):
        torch.manual_seed(0)
        model = detectors.build("supcon", **SLIM, contrast_share=0.5)
        optimizer = SGD(model.parameters(), 0.05, momentum=0.9, weight_decay=0.1)
        seen = []
        for progress in (0.0, 0.4, 0.5, 0.9):
            model.train()
            model.before_step(progress)
            images = torch.rand(6, 3, 32, 32)
            model.losses(images, torch.arange(6) % 3)["total"].backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            seen.append(copy.deepcopy(model.backbone.state_dict()))
        assert any(not torch.equal(seen[0][k], seen[1][k]) for k in seen[0])
        assert all(torch.equal(seen[1][k], seen[3][k]) for k in seen[0])

    def test_the_head_sees_features_of_eval_mode(self):
        model = detectors.build("supcon", **SLIM)
        images, labels = torch.rand(6, 3, 32, 32), torch.arange(6) % 3
        nn.init.normal_(model.classifier.weight)
        model.before_step(0.95)
        model.train()
        found = model.losses(images, labels)["total"].item()
        with torch.no_grad():
            logits = model.eval()(images).double().numpy()
        log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        expected = -log_p[np.arange(6), labels.numpy()].mean()
        assert found == pytest.approx(expected, rel=1e-5)

    def test_stored_weights_know_their_stage(self):
        model = detectors.build("supcon", **SLIM)
        model.before_step(0.95)
        other = detectors.build("supcon", **SLIM)
        other.load_state_dict(model.state_dict())
        assert not other.train().backbone.training
        losses = other.losses(torch.rand(6, 3, 32, 32), torch.arange(6) % 3)
        assert losses["cross_entropy"] > 0
        assert losses["contrastive"] == 0
        other.before_step(0.0)
        assert other.backbone.training
        assert {p.requires_grad for p in other.backbone.parameters()} == {True}

    def test_freezing_and_stages_do_not_undo_each_other(self):
        model = detectors.build("supcon", **SLIM)
        model.before_step(0.95)
        model.freeze(True)
        model.freeze(False)
        model.train()
        assert not model.backbone.training
        assert not any(p.requires_grad for p in model.backbone.parameters())

    def test_maps_of_the_second_stage_have_gradients(self):
        """Only the training of the head goes without them."""
        model = detectors.build("supcon", **SLIM)
        model.before_step(0.95)
        nn.init.normal_(model.classifier.weight)
        images = torch.rand(1, 3, 32, 32, requires_grad=True)
        model.eval()(images)[0, 0].backward()
        assert images.grad.abs().sum() > 0


TWO = """
    import os, sys
    import torch
    import torch.distributed as dist
    from mcxlib import detectors

    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    torch.manual_seed(0)
    model = detectors.build("supcon", backbone="slim_xception").train()
    model.before_step(0.95)
    images, labels = torch.load(sys.argv[1])
    own = slice(6 * rank, 6 * rank + 6)
    model.losses(images[own], labels[own])["total"].backward()
    torch.save(model.classifier.weight.grad, sys.argv[2] + str(rank))
    dist.destroy_process_group()
"""


def test_two_processes_give_the_head_one_gradient_of_all_images(tmp_path):
    """Without any averaging: DDP, made in the first stage, does not know the head."""
    script, batch = tmp_path / "two.py", tmp_path / "batch.pt"
    script.write_text(textwrap.dedent(TWO), encoding="utf-8")
    torch.manual_seed(1)
    images, labels = torch.rand(12, 3, 32, 32), torch.arange(12) % 5
    torch.save((images, labels), batch)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*launch, str(script), str(batch), str(tmp_path / "found")],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = (torch.load(tmp_path / f"found{rank}") for rank in (0, 1))
    assert torch.equal(first, second)
    torch.manual_seed(0)
    model = detectors.build("supcon", backbone="slim_xception").eval()
    with torch.no_grad():
        found = model.features(images).double().numpy()
    # Of a head at zero every probability is 1/5: the gradient of the mean by hand.
    error = np.full((12, 5), 0.2) - np.eye(5)[labels.numpy()]
    np.testing.assert_allclose(first, error.T @ found / 12, rtol=1e-3, atol=1e-6)

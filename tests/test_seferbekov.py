"""Seferbekov: scaling against OpenCV, the two halves of the loss, changed images, video scores."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.layers import DropPath

from mcxlib import detectors
from mcxlib.detectors import augment
from mcxlib.detectors.seferbekov_views import TRAINING, black_out, changed, to_square
from mcxlib.evaluate.videos import confident

SLIM = {"backbone": "slim_efficientnet", "side": 0, "drop_path": 0.0}
CV2 = {"area": cv2.INTER_AREA, "bicubic": cv2.INTER_CUBIC, "bilinear": cv2.INTER_LINEAR}


class TestScaling:
    @pytest.mark.parametrize("resizing", TRAINING)
    @pytest.mark.parametrize("size", [(75, 50), (31, 90), (20, 13), (9, 33), (64, 64), (38, 38)])
    def test_by_opencv(self, size, resizing):
        """Longer side 38, the other truncated, black to both sides."""
        image = np.random.default_rng(0).random((*size, 3), dtype=np.float32)
        height, width = (int(n * 38 / max(size)) for n in size)
        flag = CV2[resizing[0] if max(size) > 38 else resizing[1]]
        scaled = (
            cv2.resize(image, (width, height), interpolation=flag) if max(size) != 38 else image
        )
        expected = np.zeros((38, 38, 3))
        top, left = (38 - height) // 2, (38 - width) // 2
        expected[top : top + height, left : left + width] = scaled.clip(0, 1)
        tensor = torch.tensor(image).permute(2, 0, 1)
        found = to_square(tensor, 38, resizing)
        np.testing.assert_allclose(found.permute(1, 2, 0), expected, atol=2e-3)
        torch.testing.assert_close(to_square(tensor[None], 38, resizing)[0], found)

    def test_no_side_leaves_images_alone(self):
        images = torch.rand(2, 3, 20, 30)
        assert to_square(images, 0) is images

    def test_a_wide_face_is_not_stretched(self):
        """Scored as its black-bordered square is."""
        torch.manual_seed(0)
        model = detectors.build("seferbekov", **SLIM | {"side": 64}).eval()
        square = torch.zeros(1, 3, 64, 64)
        square[:, :, 12:52] = torch.rand(1, 3, 40, 64)
        with torch.no_grad():
            expected = model(square)
            torch.testing.assert_close(model(square[:, :, 12:52]), expected)
            assert not torch.allclose(model(torch.rand(1, 3, 40, 64)), expected)


class TestLoss:
    def test_two_halves_by_numpy(self):
        """Seven fakes and two real faces weigh the same; targets 0.01 and 0.99."""
        torch.manual_seed(0)
        model = detectors.build("seferbekov", **SLIM).eval()
        images, labels = torch.rand(9, 3, 40, 40), torch.tensor([1, 2, 0, 3, 4, 1, 0, 2, 2])
        with torch.no_grad():
            losses = {k: v.item() for k, v in model.losses(images, labels).items()}
            p = 1 / (1 + np.exp(-model(images)[:, 0].double().numpy()))
        fakes = [-0.99 * np.log(x) - 0.01 * np.log(1 - x) for x in p[labels > 0]]
        real = [-0.01 * np.log(x) - 0.99 * np.log(1 - x) for x in p[labels == 0]]
        assert losses["fake"] == pytest.approx(np.mean(fakes), rel=1e-5)
        assert losses["real"] == pytest.approx(np.mean(real), rel=1e-5)
        assert losses["total"] == pytest.approx((np.mean(fakes) + np.mean(real)) / 2, rel=1e-5)

    @pytest.mark.parametrize(("label", "absent"), [(0, "fake"), (3, "real")])
    def test_an_absent_class_adds_nothing(self, label, absent):
        model = detectors.build("seferbekov", **SLIM).train()
        losses = model.losses(torch.rand(4, 3, 32, 32), torch.full((4,), label))
        assert losses[absent] == 0
        present = losses["real" if absent == "fake" else "fake"]
        assert losses["total"].item() == pytest.approx(present.item() / 2)
        losses["total"].backward()
        assert all(p.grad.isfinite().all() for p in model.parameters())

    def test_images_are_changed_in_training_only(self):
        model = detectors.build("seferbekov", **SLIM).eval()
        images, labels = torch.rand(6, 3, 32, 32), torch.arange(6) % 3
        with torch.no_grad():
            assert model.losses(images, labels)["total"] == model.losses(images, labels)["total"]
        model.train()
        torch.manual_seed(0)
        first = model.losses(images, labels)["total"]
        assert model.losses(images, labels)["total"] != first
        torch.manual_seed(0)
        assert model.losses(images, labels)["total"] == first


class TestChanges:
    def test_each_black_part_is_a_half_that_leaves_some_of_above_and_below(self):
        image = torch.ones(3, 8, 10)
        torch.manual_seed(0)
        seen = {
            tuple(
                black_out(image)[0]
                .unflatten(1, (2, 5))
                .unflatten(0, (2, 4))
                .amin((1, 3))
                .int()
                .flatten()
                .tolist()
            )
            for _ in range(60)
        }
        assert seen == {(0, 1, 0, 1), (1, 0, 1, 0), (0, 1, 1, 0), (1, 0, 0, 1)}
        odd = torch.stack([black_out(torch.ones(1, 5, 7)) for _ in range(40)]).sum((1, 2, 3))
        assert set(odd.tolist()) == {15, 20, 17, 18}

    def test_they_stay_in_range_have_the_size_and_come_from_the_seed(self):
        images = torch.rand(30, 3, 40, 30)
        kept = images.clone()
        torch.manual_seed(3)
        found = changed(images, 48, 0.1)
        assert found.shape == (30, 3, 48, 48)
        assert found.min() >= 0
        assert found.max() <= 1
        torch.manual_seed(3)
        assert torch.equal(changed(images, 48, 0.1), found)
        assert not torch.equal(changed(images, 48, 0.1), found)
        assert torch.equal(images, kept)
        assert changed(images, 0, 0.1).shape == images.shape

    def test_how_often(self):
        """Of a plain face of one colour: grey in one of five, unless noise or a colour's change
        did it; black parts as often as asked for."""
        face = torch.tensor([0.8, 0.4, 0.3])[:, None, None].expand(400, 3, 16, 16)
        torch.manual_seed(0)
        middle = changed(face, 0, 0.0)[:, :, 6:10, 6:10].mean((2, 3))
        grey = (middle.amax(1) - middle.amin(1)) < 0.01
        assert grey.double().mean().item() == pytest.approx(0.2, abs=0.06)
        assert (middle.amax(1) > 0.3).all()
        torch.manual_seed(0)
        black = changed(face, 0, 0.5)[:, :, 3:13, 3:13].amax(1) < 0.1
        # Away from the edges, which moves leave black too.
        assert (black.double().mean((1, 2)) > 0.3).double().mean().item() == pytest.approx(
            0.5, abs=0.08
        )

    def test_jpeg_by_pillow(self):
        """Its encoder at quality 60, in the same order of colours."""
        noise = np.random.default_rng(0).random((40, 48, 3))
        pixels = (cv2.GaussianBlur(noise, (0, 0), 2) * 255).astype(np.uint8)
        pixels[..., 0] //= 2
        image = torch.tensor(pixels).permute(2, 0, 1) / 255
        found = augment.Jpeg(60, 60)(image).permute(1, 2, 0).numpy() * 255
        code = io.BytesIO()
        Image.fromarray(pixels).save(code, "jpeg", quality=60)
        expected = np.asarray(Image.open(code), dtype=float)
        error = np.abs(found - expected).mean()
        assert error < 1
        assert np.abs(expected - pixels).mean() > 2 * error, "quality 60 is seen"

    def test_lighting_moves_along_the_colours_own_directions(self):
        """Colours on one line: shifts stay on it, and have a tenth of the variance as deviation."""
        line = torch.tensor([1.0, 2, 2]) / 3
        amount = torch.linspace(-0.3, 0.3, 64).view(8, 8)
        image = 0.5 + line[:, None, None] * amount
        torch.manual_seed(0)
        shifts = torch.stack(
            [(augment.Lighting(0.1)(image) - image).mean((1, 2)) for _ in range(500)]
        )
        along = shifts @ line
        torch.testing.assert_close(shifts, along[:, None] * line, atol=1e-5, rtol=0)
        assert along.std().item() == pytest.approx(0.1 * amount.var().item(), rel=0.12)


def test_network_is_timm_s_and_the_last_layer_a_product():
    """timm's B0 in place of B7, on the same weights and ImageNet's mean and deviation."""
    torch.manual_seed(0)
    model = detectors.build("seferbekov", backbone="tf_efficientnet_b0", side=96).eval()
    reference = timm.create_model("tf_efficientnet_b0", num_classes=0)
    reference.load_state_dict(model.backbone.state_dict())
    images = torch.rand(2, 3, 96, 96)
    mean, std = (
        torch.tensor(x).view(3, 1, 1) for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    with torch.no_grad():
        inner = reference.eval()((images - mean) / std).double().numpy()
        found = model(images)[:, 0].numpy()
    weight, bias = (x.detach().double().numpy() for x in model.output.parameters())
    np.testing.assert_allclose(found, inner @ weight[0] + bias, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(
        model.fake_score(torch.tensor(found)[:, None]), 1 / (1 + np.exp(-found)), rtol=1e-5
    )


def test_drop_path_rises_to_the_last_block():
    model = detectors.build("seferbekov", backbone="tf_efficientnet_b0", drop_path=0.2)
    reference = timm.create_model("tf_efficientnet_b0", drop_path_rate=0.2)
    rates = [
        {n: m.drop_prob for n, m in net.named_modules() if isinstance(m, DropPath) and m.drop_prob}
        for net in (model.backbone, reference)
    ]
    assert rates[0].keys() == rates[1].keys()
    assert rates[0] == pytest.approx(rates[1])
    assert max(rates[0].values()) == pytest.approx(0.2 * 15 / 16)


class TestConfident:
    """Seferbekov's video strategy, on lists made by hand."""

    @pytest.mark.parametrize(
        ("scores", "expected"),
        [
            # 13 of 30 are more than 30 / 2.5 = 12; 12 are not more, and 11 are not either.
            ([0.9] * 13 + [0.5] * 17, 0.9),
            ([0.9] * 12 + [0.5] * 18, 0.66),
            ([0.9] * 11 + [0.5] * 19, 0.9 * 11 / 30 + 0.5 * 19 / 30),
            # 29 / 2.5 is 11.6: 12 are enough. 32 / 2.5 is 12.8: 13 are, 12 are not.
            ([0.9] * 12 + [0.3] * 17, 0.9),
            ([0.9] * 13 + [0.3] * 19, 0.9),
            ([0.9] * 12 + [0.3] * 20, (10.8 + 6) / 32),
            # 12 of 20, and 11 of 20: more than 8, but not more than 11.
            ([0.85, 0.95] * 6 + [0.0] * 8, 0.9),
            ([0.9] * 11 + [0.0] * 9, 9.9 / 20),
            # 28 of 30 are more than nine in ten, 27 are not.
            ([0.1] * 28 + [0.79] * 2, 0.1),
            ([0.1] * 27 + [0.7] * 3, 0.16),
            # Two faces in each of 32 frames: 26 of 64 are more than 25.6, and 25 are not.
            ([0.9] * 26 + [0.1] * 38, 0.9),
            ([0.9] * 25 + [0.1] * 39, (22.5 + 3.9) / 64),
            # The limits themselves do not count.
            ([0.8] * 20, 0.8),
            ([0.2] * 19 + [1.0], 0.24),
            ([0.7], 0.7),
            ([0.05], 0.05),
        ],
    )
    def test_by_hand(self, scores, expected):
        assert confident(np.array(scores)) == pytest.approx(expected, rel=1e-12)
        assert confident(np.array(scores[::-1])) == pytest.approx(expected, rel=1e-12)

    def test_half_precision_scores_are_averaged_in_64_bits(self):
        scores = np.full(5000, 0.9, dtype=np.float16)
        assert confident(scores) == pytest.approx(float(scores[0]), rel=1e-9)

    @pytest.mark.parametrize(
        ("scores", "message"),
        [([], r"at least 1.*no face was found"), ([[0.5]], r"\(1, 1\)"), ([0.1, np.nan], "NaN")],
    )
    def test_no_answer_is_no_half(self, scores, message):
        with pytest.raises(ValueError, match=message):
            confident(np.array(scores))

"""EfficientNet against NumPy in 64 bits, block by block, and what ports of it get wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from scipy.special import expit
from torch import nn

from mcxlib import CLASSES, detectors
from mcxlib.config import load

IMAGENET = np.float64(np.float32([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]))[..., None, None]
B4 = (2, 4, 4, 6, 6, 8, 2)
"""Blocks a stage: 1, 2, 2, 3, 3, 4, 1 of B0 times 1.8, rounded up."""
STRIDES = (1, 2, 2, 2, 1, 2, 1)


def convolve(x, weight, stride=1):
    """TensorFlow's 'same': outputs are the size over the stride, rounded up, and of an odd number
    of zeros the right and the lower side get one more."""
    side = weight.shape[2]
    pads = [max((-(-n // stride) - 1) * stride + side - n, 0) for n in x.shape[1:]]
    x = np.pad(x, [(0, 0), *((p // 2, p - p // 2) for p in pads)])
    windows = sliding_window_view(x, (side, side), (1, 2))[:, ::stride, ::stride]
    if weight.shape[1] == 1 < len(x):
        return np.einsum("chwij,cij->chw", windows, weight[:, 0])
    return np.einsum("chwij,ocij->ohw", windows, weight, optimize=True)


def swish(x):
    return x * expit(x)


class Reference:
    """Reads weights by name; knows the architecture from the publications alone."""

    def __init__(self, model):
        self.state = {k: v.double().numpy() for k, v in model.backbone.state_dict().items()}

    def normalise(self, x, name):
        mean, var, weight, bias = (
            self.state[f"{name}.{k}"][:, None, None]
            for k in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / np.sqrt(var + 1e-3) * weight + bias

    def squeeze(self, x, at):
        s = self.state
        found = s[f"{at}.conv_reduce.weight"][:, :, 0, 0] @ x.mean((1, 2))
        found = swish(found + s[f"{at}.conv_reduce.bias"])
        found = s[f"{at}.conv_expand.weight"][:, :, 0, 0] @ found + s[f"{at}.conv_expand.bias"]
        return x * expit(found)[:, None, None]

    def block(self, x, at, stride, expand):
        entry, s = x, self.state
        if expand:
            x = swish(self.normalise(convolve(x, s[f"{at}.conv_pw.weight"]), f"{at}.bn1"))
        own, last, norms = ("bn2", "conv_pwl", "bn3") if expand else ("bn1", "conv_pw", "bn2")
        x = convolve(x, s[f"{at}.conv_dw.weight"], stride)
        x = self.squeeze(swish(self.normalise(x, f"{at}.{own}")), f"{at}.se")
        x = self.normalise(convolve(x, s[f"{at}.{last}.weight"]), f"{at}.{norms}")
        return x + entry if x.shape == entry.shape and stride == 1 else x

    def __call__(self, image, counts, strides):
        x = (image - IMAGENET[0]) / IMAGENET[1]
        x = swish(self.normalise(convolve(x, self.state["conv_stem.weight"], 2), "bn1"))
        for stage, (count, stride) in enumerate(zip(counts, strides, strict=True)):
            for number in range(count):
                x = self.block(x, f"blocks.{stage}.{number}", 1 if number else stride, stage > 0)
        x = swish(self.normalise(convolve(x, self.state["conv_head.weight"]), "bn2"))
        return x.mean((1, 2))


def alive(model):
    """Statistics of normalisations as after a training, of a kind that keeps values in bounds."""
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.uniform_(-0.2, 0.2)
            elif name.endswith("running_var"):
                buffer.uniform_(0.2, 0.6)
    return model.eval().double()


@pytest.fixture(scope="module")
def b4():
    torch.manual_seed(0)
    return detectors.build("efficientnet-b4", side=0)


def test_forward_by_hand(b4):
    """Even and odd sizes: the first zeros of a stride of 2 stand right and below only."""
    torch.manual_seed(1)
    slim = detectors.build("efficientnet-b4", side=0, backbone="slim_efficientnet")
    rng = np.random.default_rng(1)
    for model, counts, strides, sizes in (
        (slim, (1, 1, 2, 1), (1, 2, 2, 1), ((64, 64), (37, 50))),
        (b4, B4, STRIDES, ((64, 64), (45, 70))),
    ):
        reference = Reference(alive(model))
        for size in sizes:
            image = rng.random((3, *size))
            with torch.no_grad():
                found = model.features(torch.tensor(image)[None])[0].numpy()
            expected = reference(image, counts, strides)
            assert np.ptp(expected) > 1e-3
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9 * expected.max())
    b4.float()


def test_counts_and_widths(b4):
    backbone = b4.backbone
    assert sum(p.numel() for p in backbone.parameters()) == 17_548_616
    assert b4.classifier.in_features == 1792
    assert [stage[-1].feature_info("")["num_chs"] for stage in backbone.blocks] == [
        *(24, 32, 56, 112, 160, 272, 448)
    ]
    assert [len(stage) for stage in backbone.blocks] == list(B4)


def test_normalisation_is_tensorflows(b4):
    """timm's own momentum is 0.1, with the epsilon of the original."""
    norms = [m for m in b4.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == 96
    assert {(m.eps, m.momentum) for m in norms} == {(1e-3, 0.01)}


def test_later_blocks_are_left_out_more_often(b4):
    blocks = [block for stage in b4.backbone.blocks for block in stage]
    rates = [getattr(block.drop_path, "drop_prob", 0.0) for block in blocks]
    np.testing.assert_allclose(rates, [0.2 * i / 32 for i in range(32)])
    # In training a block that is left out gives what went in; in expectation nothing changes.
    block = blocks[-1].train()
    block.drop_path.drop_prob = 0.75
    x = torch.rand(64, 448, 4, 4)
    torch.manual_seed(0)
    with torch.no_grad():
        change = (block(x) - x).abs().amax((1, 2, 3))
    assert 4 <= (change > 0).sum() <= 32
    block.drop_path.drop_prob = 0.2 * 31 / 32
    assert not any(
        isinstance(getattr(b, "drop_path", None), type(block.drop_path))
        for s in detectors.build(
            "efficientnet-b4", backbone="slim_efficientnet", drop_path=0.0
        ).backbone.blocks
        for b in s
    )


def test_weights_of_adversarial_propagation_want_another_mean():
    for name, mean in ((".ap_in1k", 0.5), (".ns_jft_in1k", 0.485)):
        model = detectors.build("efficientnet-b4", backbone=f"tf_efficientnet_b0{name}")
        assert model.mean.flatten()[0].item() == pytest.approx(mean)


def test_faces_are_scaled_and_left_as_they_were():
    model = detectors.build("efficientnet-b4", backbone="slim_efficientnet", side=96).eval()
    seen = []
    model.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    flat = torch.tensor([0.2, 0.5, 0.8])[None, :, None, None].expand(1, 3, 448, 448).contiguous()
    own = torch.rand(2, 3, 96, 96).contiguous(memory_format=torch.channels_last)
    before = own.clone()
    with torch.no_grad():
        model(flat)
        model(own)
    assert torch.equal(own, before), "normalised in place"
    expected = ((np.array([0.2, 0.5, 0.8])[:, None, None] - IMAGENET[0]) / IMAGENET[1])[:, 0, 0]
    assert seen[0].shape == (1, 3, 96, 96)
    np.testing.assert_allclose(seen[0][0, :, 40, 40], expected, atol=1e-5)


def test_two_outputs_tell_real_from_fake():
    model = detectors.build("efficientnet-b4", backbone="slim_efficientnet", outputs="binary")
    assert model.classifier.out_features == 2
    logits = torch.tensor([[1.0, -0.5], [-2.0, 0.25]])
    np.testing.assert_allclose(model.fake_score(logits), expit([-1.5, 2.25]), atol=1e-7)
    assert model.class_probabilities(logits) is None
    images, labels = torch.rand(4, 3, 32, 32), torch.tensor([0, 4, 2, 1])
    model.eval()
    with torch.no_grad():
        score = model.fake_score(model(images)).numpy()
        loss = model.losses(images, labels)["total"].item()
    likelihood = np.where(labels.numpy() > 0, score, 1 - score)
    assert loss == pytest.approx(-np.log(likelihood).mean(), rel=1e-5)
    assert detectors.build("efficientnet-b4", CLASSES).classifier.out_features == 5


def test_the_map_is_the_last_activation():
    model = detectors.build("efficientnet-b4", backbone="slim_efficientnet", side=0).eval()
    seen = []
    model.cam_layer().register_forward_hook(lambda *a: seen.append(a[-1]))
    with torch.no_grad():
        found = model.features(torch.rand(2, 3, 64, 64))
    assert seen[0].shape == (2, 256, 8, 8)
    torch.testing.assert_close(seen[0].mean((2, 3)), found)


def test_other_networks_are_refused():
    with pytest.raises(ValueError, match=r"'resnet18' is no EfficientNet; valid: slim_eff"):
        detectors.build("efficientnet-b4", backbone="resnet18")
    with pytest.raises(ValueError, match="no published weights"):
        detectors.build("efficientnet-b4", backbone="slim_efficientnet", pretrained=True)


def test_settings_of_the_paper():
    config = load("paper", detector="efficientnet-b4")
    assert (config.train.optimizer, config.train.lr, config.model.side) == ("adam", 2e-4, 380)
    assert config.label == "EfficientNet-B4"

"""BatchNorm multiplied into convolutions: the same outputs from fewer modules."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mcxlib import detectors, weights
from mcxlib.config import load
from mcxlib.detectors.clips import clip_of
from mcxlib.engine.folding import folded


def detector(**settings):
    """With statistics, factors and shifts as training leaves them, in float64."""
    torch.manual_seed(0)
    model = weights.build(load("test", **settings)).double().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2)
            if module.affine:
                nn.init.uniform_(module.weight, 0.5, 2)
                nn.init.uniform_(module.bias, -0.5, 0.5)
    return model


def norms(model):
    return sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())


@pytest.mark.parametrize("name", list(detectors.modules()))
def test_every_detector_says_the_same(name):
    model = detector(detector=name)
    frames = clip_of(type(model), model.settings).frames
    shape = (2, *([frames] if frames > 1 else []), 3, 64, 64)
    images = torch.rand(shape, dtype=torch.float64)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    expected = model(images)
    quick = folded(model)
    torch.testing.assert_close(quick(images), expected, rtol=1e-9, atol=1e-9)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize(
    "backbone", ["legacy_xception", "slim_xception", "tf_efficientnet_b0", "resnet18"]
)
def test_backbones_keep_no_batchnorm(backbone):
    model = detector(detector="xception", backbone=backbone)
    names = [name for name, _ in model.named_modules()]
    assert norms(model) > 10
    quick = folded(model)
    assert norms(quick) == 0
    assert set(names) <= {name for name, _ in quick.named_modules()}
    images = torch.rand(2, 3, 64, 64, dtype=torch.float64)
    torch.testing.assert_close(quick(images), model(images), rtol=1e-9, atol=1e-9)


class Shared(nn.Module):
    """Its first convolution's output is used beside the BatchNorm, its second is called twice."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
        self.norm, self.other = nn.BatchNorm2d(3), nn.BatchNorm2d(3)

    def forward(self, x):
        x = self.one(x)
        x = x + self.norm(x)
        return self.other(self.two(self.two(x)))


class Choosing(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, x):
        return self.norm(self.conv(x)) if x.sum() > 0 else x


@pytest.mark.parametrize("network", [Shared, Choosing])
def test_what_cannot_be_folded_is_left(network):
    model = detector(detector="xception")
    model.backbone = network()
    assert folded(model) is model

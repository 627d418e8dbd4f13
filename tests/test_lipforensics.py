"""LipForensics: each part by plain formulas in float64, and the square of the mouth."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from mcxlib import detectors
from mcxlib.config import load
from mcxlib.data.faces.align import TEMPLATE
from mcxlib.detectors.lipforensics import GREY, MEAN, STD, LipForensics, LipNet, _Branches


def stirred(module: nn.Module) -> nn.Module:
    """In float64, with statistics and slopes that are not those of a fresh network."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.5, 1.5)
        if isinstance(part, nn.PReLU):
            nn.init.uniform_(part.weight, 0.1, 0.4)
    return module.double().eval()


def normalised(x, norm):
    shape = (1, -1, *[1] * (x.ndim - 2))
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    return (x - norm.running_mean.view(shape)) * scale.view(shape) + norm.bias.view(shape)


def bent(x, part):
    return torch.where(x >= 0, x, x * part.weight.view(1, -1, *[1] * (x.ndim - 2)))


@torch.no_grad()
def test_first_layer_is_a_convolution_in_three_dimensions():
    """64 kernels of 5 x 7 x 7, steps of 1, 2, 2, zeros around: by torch's own conv3d."""
    torch.manual_seed(0)
    network = stirred(LipNet(6, 2))
    clips = torch.randn(2, 7, 40, 40, dtype=torch.float64)
    weight = network.stem.weight[:, None]
    stem = functional.conv3d(clips[:, None], weight, stride=(1, 2, 2), padding=(2, 3, 3))
    x = bent(normalised(stem, network.normalise), network.bend)
    x = functional.max_pool3d(x, (1, 3, 3), (1, 2, 2), (0, 1, 1))
    frames = []
    for t in range(7):
        planes = x[:, :, t]
        for block in network.stages:
            out = functional.conv2d(planes, block.first.weight, None, block.first.stride, 1)
            out = bent(normalised(out, block.first_normalise), block.first_bend)
            out = normalised(
                functional.conv2d(out, block.second.weight, padding=1), block.second_normalise
            )
            if isinstance(block.shortcut, nn.Sequential):
                one, norm = block.shortcut
                planes = normalised(functional.conv2d(planes, one.weight, None, one.stride), norm)
            planes = bent(out + planes, block.second_bend)
        frames.append(planes.mean((2, 3)))
    torch.testing.assert_close(network(clips), torch.stack(frames, 1))


@torch.no_grad()
def test_temporal_branches_by_numpy():
    """Kernels of 3, 5 and 7 frames, each second (dilation 2), zeros before and after."""
    torch.manual_seed(0)
    part = stirred(_Branches(4, 2, 2, 0.2))
    moments = torch.randn(2, 4, 9, dtype=torch.float64)

    def side_by_side(x, branches):
        outs = []
        for conv, norm, bend in branches:
            w, b = conv.weight.numpy(), conv.bias.numpy()
            kernel = w.shape[2]
            room = kernel // 2 * 2
            padded = np.pad(x, ((0, 0), (0, 0), (room, room)))
            out = np.zeros((x.shape[0], w.shape[0], x.shape[2]))
            for t in range(x.shape[2]):
                seen = padded[:, :, t : t + 2 * kernel : 2][:, :, :kernel]
                out[:, :, t] = np.einsum("nck,ock->no", seen, w) + b
            outs.append(bent(normalised(torch.tensor(out), norm), bend).numpy())
        return np.concatenate(outs, 1)

    x = side_by_side(moments.numpy(), part.first)
    x = side_by_side(x, part.second)
    w, b = part.shortcut.weight[..., 0].numpy(), part.shortcut.bias.numpy()
    x = x + np.einsum("oc,nct->not", w, moments.numpy()) + b[None, :, None]
    torch.testing.assert_close(part(moments), bent(torch.tensor(x), part.bend))


def test_every_layer_has_a_shortcut_with_weights():
    """Without those of the last three, 1,771,776 of the published 35,990,785 are missing."""
    with torch.device("meta"):
        model = LipForensics(LipForensics.Settings(), ("real", "fake"))
    assert [tuple(part.shortcut.weight.shape) for part in model.temporal] == [
        (768, 512, 1), (768, 768, 1), (768, 768, 1), (768, 768, 1),
    ]  # fmt: skip
    assert 3 * (768 * 768 + 768) == 1_771_776
    assert [part.first[0][0].dilation[0] for part in model.temporal] == [1, 2, 4, 8]


class TestMouths:
    def model(self, **more) -> LipForensics:
        return detectors.build("lipforensics", backbone="slim_lip", clip_frames=3, **more).eval()

    def test_grey_scaled_and_normalised_by_opencv(self):
        """A crop whose square has the size that is shown needs no scaling: by hand."""
        model = self.model(mouth=34, shown=30)
        clips = torch.rand(1, 3, 3, 100, 100)
        top = round(0.716 * 100 - 17) + 2
        left = round(0.501 * 100 - 17) + 2
        images = clips[0, :, :, top : top + 30, left : left + 30].permute(0, 2, 3, 1).numpy()
        expected = [(cv2.cvtColor(im, cv2.COLOR_RGB2GRAY) - MEAN) / STD for im in images]
        np.testing.assert_allclose(model.mouths(clips)[0], expected, atol=1e-5)
        assert sum(GREY) == pytest.approx(1)

    def test_the_corners_of_a_mouth_lie_in_its_middle(self):
        """White squares where the template has the mouth's corners, in crops of two sizes."""
        for side in (96, 288):
            clips = torch.zeros(1, 3, 3, side, side)
            for x, y in TEMPLATE[3:] * side - 0.5:
                half = side // 96
                rows = slice(round(y) - half, round(y) + half + 1)
                clips[..., rows, round(x) - half : round(x) + half + 1] = 1
            mouths = self.model(mouth=96, shown=88).mouths(clips)[0, 0] * STD + MEAN
            y, x = np.mgrid[:88, :88]
            weight = mouths.numpy() / mouths.numpy().sum()
            assert abs((weight * y).sum() - 43.5) < 2.5
            assert abs((weight * x).sum() - 43.5) < 2.5
            spread = np.sqrt((weight * (x - 43.5) ** 2).sum())
            assert 15 < spread < 35, "half the distance of the corners"

    def test_in_training_a_clip_moves_as_a_whole(self):
        model = self.model(mouth=36, shown=24).train()
        clips = torch.rand(1, 1, 3, 96, 96).expand(4, 3, 3, 96, 96)
        torch.manual_seed(0)
        mouths = model.mouths(clips)
        for clip in mouths:
            assert torch.equal(clip[0], clip[1])
            assert torch.equal(clip[0], clip[2])
        assert not torch.equal(mouths[0], mouths[1])

    def test_more_shown_than_there_is_is_refused(self):
        with pytest.raises(ValueError, match="shown 90 is more than the mouth's 80"):
            self.model(mouth=80, shown=90)


@torch.no_grad()
def test_time_matters_and_the_rest_of_the_face_does_not():
    torch.manual_seed(0)
    settings = load("test", detector="lipforensics").model.model_dump()
    model = stirred(detectors.build("lipforensics", **settings))
    clips = torch.rand(1, 8, 3, 72, 72, dtype=torch.float64)
    other = clips.clone()
    other[..., :30, :] = 0
    assert torch.equal(model(other), model(clips))
    other[..., 50:54, 34:38] = 0
    assert not torch.allclose(model(other), model(clips), atol=1e-9)
    assert not torch.allclose(model(clips.flip(1)), model(clips), atol=1e-9)

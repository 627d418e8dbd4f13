"""FTCN: the temporal network and the transformer by plain formulas in float64, and what it cannot
see."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from mcxlib import detectors
from mcxlib.config import load
from mcxlib.detectors.ftcn import FTCN, MomentTransformer, Temporal, TemporalNet


def slim(seed: int = 0) -> FTCN:
    torch.manual_seed(seed)
    model = detectors.build("ftcn", **load("test", detector="ftcn").model.model_dump())
    for module in model.modules():  # statistics that are not those of a fresh network
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return model.double().eval()


def convolved(part: Temporal, planes: torch.Tensor) -> torch.Tensor:
    """The same as a convolution in three dimensions, and BatchNorm by its formula."""
    weight = part.weight[..., None]
    assert weight.shape[3:] == (1, 1)
    out = functional.conv3d(planes, weight, padding=(weight.shape[2] // 2, 0, 0))
    norm = part.normalise
    shape = (1, -1, 1, 1, 1)
    out = (out - norm.running_mean.view(shape)) / (norm.running_var + norm.eps).sqrt().view(shape)
    return out * norm.weight.view(shape) + norm.bias.view(shape)


def pooled(planes: torch.Tensor) -> torch.Tensor:
    return functional.max_pool3d(planes, (1, 2, 2))


def by_formula(network: TemporalNet, planes: torch.Tensor) -> torch.Tensor:
    planes = functional.relu(pooled(convolved(network.stem, planes)))
    planes = functional.max_pool3d(planes, (1, 3, 3), (1, 2, 2), (0, 1, 1))
    for number, stage in enumerate(network.stages):
        for place, block in enumerate(stage):
            out = functional.relu(convolved(block.first, planes))
            out = convolved(block.second, out)
            kept = convolved(block.shortcut, planes) if block.shortcut is not None else planes
            if number and not place:
                out, kept = pooled(out), pooled(kept)
            planes = functional.relu(convolved(block.third, functional.relu(out)) + kept)
        if not number:
            planes = functional.max_pool3d(planes, (2, 1, 1))
    return planes


@torch.no_grad()
def test_network_by_convolutions_in_three_dimensions():
    model = slim()
    clips = torch.rand(2, 3, 8, 48, 48, dtype=torch.float64)
    torch.testing.assert_close(model.backbone(clips), by_formula(model.backbone, clips))


@torch.no_grad()
def test_transformer_by_numpy():
    torch.manual_seed(1)
    part = MomentTransformer(12, 4, 2, 5, 7, 0.1).double().eval()
    moments = torch.randn(3, 4, 12, dtype=torch.float64)
    w = {name: value.numpy() for name, value in part.state_dict().items()}

    def normal(x, name):
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
        return scaled * w[f"{name}.weight"] + w[f"{name}.bias"]

    def gelu(x):
        return x / 2 * (1 + torch.erf(torch.tensor(x / np.sqrt(2))).numpy())

    for clip, found in zip(moments.numpy(), part(moments).numpy(), strict=True):
        tokens = np.concatenate([w["token"][0], clip]) + w["positions"][0]
        qkv = normal(tokens, "before_attention") @ w["to_qkv.weight"].T
        heads = []
        for head in range(2):
            queries, keys, values = (qkv[:, 10 * i + 5 * head :][:, :5] for i in range(3))
            scores = np.exp(queries @ keys.T / np.sqrt(5))
            heads.append(scores / scores.sum(1, keepdims=True) @ values)
        mixed = np.concatenate(heads, 1) @ w["from_heads.weight"].T + w["from_heads.bias"]
        tokens = tokens + mixed
        hidden = normal(tokens, "perceptron.0") @ w["perceptron.1.weight"].T
        hidden = gelu(hidden + w["perceptron.1.bias"])
        tokens = tokens + hidden @ w["perceptron.4.weight"].T + w["perceptron.4.bias"]
        np.testing.assert_allclose(found, normal(tokens, "last")[0], atol=1e-12)


class TestWhatItSees:
    def test_no_kernel_and_no_step_in_space(self):
        for size in ("slim_temporal", "temporal_r50"):
            with torch.device("meta"):
                model = FTCN(FTCN.Settings(backbone=size), ("real", "fake"))
            parts = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
            assert {type(part) for part in parts} == {Temporal}
            assert {(part.kernel_size[1], part.stride) for part in parts} == {(1, (1, 1))}

    @torch.no_grad()
    def test_pixels_may_change_places_within_a_square(self):
        model = slim()
        clips = torch.rand(1, 8, 3, 32, 32, dtype=torch.float64)
        squares = clips.unfold(3, 2, 2).unfold(4, 2, 2).flatten(5)
        mixed = squares[..., [3, 1, 0, 2]].unflatten(5, (2, 2))
        mixed = mixed.permute(0, 1, 2, 3, 5, 4, 6).reshape(clips.shape)
        assert not torch.equal(mixed, clips)
        torch.testing.assert_close(model(mixed), model(clips))

    @torch.no_grad()
    def test_time_turned_round_is_another_clip(self):
        model = slim()
        clips = torch.rand(1, 8, 3, 32, 32, dtype=torch.float64)
        assert not torch.allclose(model(clips.flip(1)), model(clips), atol=1e-6)

    def test_the_published_clip(self):
        """32 frames of 224 px: 16 moments of 14 x 14 places and 1,024 channels."""
        with torch.device("meta"):
            model = FTCN(FTCN.Settings(), ("real", "fake")).eval()
            assert model.backbone(torch.empty(1, 3, 32, 224, 224)).shape == (1, 1024, 16, 14, 14)
        counts = [len(stage) for stage in model.backbone.stages]
        assert counts == [3, 4, 6]
        frames = [[b.first.kernel_size[0] for b in stage] for stage in model.backbone.stages]
        assert frames == [[3, 3, 3], [3, 1, 3, 1], [3, 1, 3, 1, 3, 1]]
        assert model.transformer.positions.shape == (1, 17, 1024)
        assert model.transformer.to_qkv.out_features == 3 * 16 * 64


def test_weights_of_the_temporal_network_by_hand():
    """Kernels of I3D's ResNet-50 up to its fourth stage, with every spatial one 1."""
    stem = 5 * 3 * 64 + 2 * 64
    expected, inputs = stem, 64
    for number, kernels in enumerate([[3] * 3, [3, 1] * 2, [3, 1] * 3]):
        inner, outputs = 64 * 2**number, 256 * 2**number
        for place, frames in enumerate(kernels):
            expected += frames * inputs * inner + inner**2 + inner * outputs
            expected += 2 * (2 * inner + outputs)
            expected += 0 if place else inputs * outputs + 2 * outputs
            inputs = outputs
    with torch.device("meta"):
        found = TemporalNet(64, (3, 4, 6))
    assert sum(p.numel() for p in found.parameters()) == expected


def test_another_size_is_refused():
    with pytest.raises(ValueError, match="backbone"):
        load("demo", detector="ftcn", backbone="r101")

"""M2TR against NumPy in 64 bits, module by module, and the mistakes its ports make."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import correlate2d
from scipy.special import expit, softmax
from torch import nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from mcxlib import detectors
from mcxlib.detectors import efficientnets
from mcxlib.detectors.m2tr_parts import (
    FrequencyFilter,
    Fusion,
    MaskDecoder,
    PatchAttention,
    mask_loss,
    patch_attention,
)

SLIM = {"backbone": "plain_efficientnet", "side": 64, "depth": 2, "drop_path": 0.0}


def slim(**settings):
    torch.manual_seed(0)
    return detectors.build("m2tr", **SLIM | settings)


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def attend(query, key, value):
    """Rows of query, key and value; one softmax over everything."""
    return softmax(query @ key.T / np.sqrt(query.shape[1]), axis=1) @ value


def by_patches(query, key, value, patches):
    """One image's (C, H, W), patch for patch by slices."""
    _, height, width = query.shape
    tall, wide = height // patches, width // patches
    corners = [(r * tall, c * wide) for r in range(patches) for c in range(patches)]

    def tokens(planes):
        return np.stack([planes[:, r : r + tall, c : c + wide].ravel() for r, c in corners])

    found = np.zeros_like(value)
    for row, (r, c) in zip(attend(*map(tokens, (query, key, value))), corners, strict=True):
        found[:, r : r + tall, c : c + wide] = row.reshape(-1, tall, wide)
    return found


@pytest.mark.parametrize("patches", [1, 2, 4, 8])
def test_patch_attention_by_hand_and_by_torch(patches):
    rng = np.random.default_rng(patches)
    query, key, value = rng.normal(size=(3, 2, 3, 16, 24))
    found = patch_attention(*map(torch.tensor, (query, key, value)), patches)
    for image in range(2):
        expected = by_patches(query[image], key[image], value[image], patches)
        np.testing.assert_allclose(found[image], expected, atol=1e-12)
    size = (16 // patches, 24 // patches)
    tokens = [
        functional.unfold(torch.tensor(t), size, stride=size).transpose(1, 2)
        for t in (query, key, value)
    ]
    again = functional.scaled_dot_product_attention(*tokens).transpose(1, 2)
    torch.testing.assert_close(found, functional.fold(again, (16, 24), size, stride=size))


def test_one_patch_gives_the_values_back():
    """The softmax of a single token is 1, whatever query and key are."""
    query, key, value = torch.randn(3, 2, 4, 8, 8)
    torch.testing.assert_close(patch_attention(query, key, value, 1), value)


def test_each_head_has_a_quarter_of_the_channels_and_a_size_of_its_own():
    """Behind a join of ones and zeros, what a head adds is that head's attention alone."""
    torch.manual_seed(0)
    module = PatchAttention(8).eval().double()
    for parameter in module.feed_forward[-2].parameters():
        nn.init.zeros_(parameter)  # the feed-forward part adds nothing
    nn.init.dirac_(module.join[0].weight)
    nn.init.zeros_(module.join[0].bias)
    maps = torch.randn(1, 8, 16, 16, dtype=torch.float64)
    with torch.no_grad():
        added = (module(maps) - maps)[0].numpy()
        query, key, value = (
            part(maps)[0].numpy() for part in (module.query, module.key, module.value)
        )
    for head, patches in enumerate((1, 2, 4, 8)):
        own = slice(2 * head, 2 * head + 2)
        expected = by_patches(query[own], key[own], value[own], patches) / np.sqrt(1 + 1e-5)
        expected = np.where(expected > 0, expected, 0.2 * expected)
        np.testing.assert_allclose(added[own], expected, atol=1e-12)


def test_a_filter_of_ones_is_the_identity():
    module = FrequencyFilter(3, 12).double()
    with torch.no_grad():
        module.weight[0], module.weight[1] = 1, 0
        maps = torch.randn(2, 3, 12, 12, dtype=torch.float64)
        torch.testing.assert_close(module.filtered(maps), maps)


def test_filter_by_hand():
    """With NumPy's full transform: the half that is stored stands for its mirror image too."""
    torch.manual_seed(0)
    module = FrequencyFilter(2, 8).double()
    maps = torch.randn(3, 2, 8, 8, dtype=torch.float64)
    with torch.no_grad():
        found = module.filtered(maps).numpy()
    half = module.weight[0].detach().numpy() + 1j * module.weight[1].detach().numpy()
    # Columns 0 and 4 are their own mirror: only the even part of what they hold can count.
    full = np.zeros((2, 8, 8), complex)
    full[:, :, :5] = half
    rows = -np.arange(8) % 8
    for column in (0, 4):
        full[:, :, column] = (half[:, :, column] + half[:, rows, column].conj()) / 2
    for column in (1, 2, 3):
        full[:, :, 8 - column] = half[:, rows, column].conj()
    expected = np.fft.ifft2(np.fft.fft2(maps.numpy()) * full)
    np.testing.assert_allclose(expected.imag, 0, atol=1e-12)
    np.testing.assert_allclose(found, expected.real, atol=1e-12)


def test_filter_is_exact_in_half_precision_and_its_start_is_small():
    torch.manual_seed(0)
    module = FrequencyFilter(32, 80)
    assert module.weight.std().item() == pytest.approx(0.02, rel=0.01)
    maps = torch.randn(1, 32, 80, 80).bfloat16()
    with torch.no_grad():
        found = module.filtered(maps)
        assert found.dtype == torch.bfloat16
        torch.testing.assert_close(found, module.filtered(maps.float()).bfloat16())


class Largest(TorchDispatchMode):
    """Notes the size of the largest tensor that any operation gives."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        for item in tree_iter(found):
            if isinstance(item, torch.Tensor):
                self.numbers = max(self.numbers, item.numel())
        return found


def test_fusion_in_blocks_is_the_fusion_in_one_go():
    torch.manual_seed(0)
    module = Fusion(8).eval().double()
    image, frequency = torch.randn(2, 2, 8, 24, 40, dtype=torch.float64)
    with Largest() as largest:
        found = module(image, frequency)
        found.square().sum().backward()
    assert 0 < largest.numbers < 960 * 960, "no matrix of all pairs of the 960 positions"
    with torch.no_grad():
        query, key, value = (
            planes.flatten(2).transpose(1, 2).numpy()
            for planes in (module.query(image), module.key(frequency), module.value(frequency))
        )
        for index in range(2):
            together = torch.tensor(attend(query[index], key[index], value[index]))
            expected = image[index] + module.join(together.T.reshape(1, 8, 24, 40))[0]
            torch.testing.assert_close(found[index].detach(), expected)


def test_gradients_of_the_fusion_are_those_of_one_go():
    torch.manual_seed(0)
    module = Fusion(4).eval().double()
    image, frequency = torch.randn(2, 1, 4, 6, 6, dtype=torch.float64)
    module(image, frequency).square().sum().backward()
    found = {name: p.grad.clone() for name, p in module.named_parameters()}
    module.zero_grad()
    query, key, value = (
        planes[0].flatten(1)
        for planes in (module.query(image), module.key(frequency), module.value(frequency))
    )
    weight = torch.softmax(query.T @ key / 2, dim=1)  # 2: the root of four channels
    (image + module.join((value @ weight.T).view(1, 4, 6, 6))).square().sum().backward()
    for name, parameter in module.named_parameters():
        torch.testing.assert_close(parameter.grad, found[name])


def test_counts_of_the_parts():
    """The reference's: 17,552,202 with a classifier that is never called, and four rounds."""
    model = detectors.build("m2tr")
    assert count(model.backbone) == 17_552_202 - (1792 * 2 + 2)
    assert [count(part) for part in model.rounds[0]] == [31_104, 228_544, 4_288]
    assert count(model.rounds) == 1_055_744
    assert count(model.classifier) == 3_586
    assert count(model) == 18_611_532 - 3_586
    sizes = []
    for part in (model.backbone.blocks[1], model.rounds[0][0], model.cam_layer()):
        part.register_forward_hook(lambda *a: sizes.append(tuple(a[-1].shape)))
    with torch.no_grad():
        model.eval()(torch.rand(1, 3, 448, 448))
    assert sizes == [(1, 32, 80, 80), (1, 32, 80, 80), (1, 1792, 10, 10)]


def test_the_backbone_is_opened_after_stage_two_and_closed_again():
    """Rounds that add nothing leave the plain EfficientNet; each part of a round is read."""
    model = slim().eval().double()
    images = torch.rand(2, 3, 64, 64, dtype=torch.float64)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    normalised = torch.tensor((images.numpy() - mean[:, None, None]) / std[:, None, None])
    with torch.no_grad():
        for attention, frequency, fusion in model.rounds:
            for last in (attention.join[1], attention.feed_forward[-2], fusion.join[1]):
                nn.init.zeros_(last.weight)
            nn.init.zeros_(frequency.feed_forward[-2].weight)
        plain = model.features(images)
        torch.testing.assert_close(plain, model.backbone(normalised), rtol=1e-5, atol=1e-6)
        for part in (model.rounds[1][0].join[1], model.rounds[0][2].join[1]):
            before = model.features(images)
            nn.init.ones_(part.weight)
            assert (model.features(images) - before).abs().max() > 1e-6
        before = model.features(images)
        nn.init.ones_(model.rounds[0][1].feed_forward[-2].bias)
        assert (model.features(images) - before).abs().max() > 1e-6


def test_focal_loss_by_hand():
    """Two outputs with a target each; gamma 0 is plain binary cross-entropy."""
    images, labels = torch.rand(4, 3, 64, 64), torch.tensor([0, 1, 2, 0])
    targets = np.array([[1, 0], [0, 1], [0, 1], [1, 0]])
    for gamma in (2.0, 0.0):
        model = slim(gamma=gamma).eval()
        with torch.no_grad():
            p = expit(model(images).double().numpy())
        of_target = np.where(targets == 1, p, 1 - p)
        expected = (-((1 - of_target) ** gamma) * np.log(of_target)).mean()
        assert model.losses(images, labels)["total"].item() == pytest.approx(expected, rel=1e-4)


def test_score_ranks_as_the_references_test_does():
    """That takes a softmax of the two sigmoids and its second number."""
    torch.manual_seed(0)
    logits = torch.randn(500, 2) * 3
    model = slim()
    score = model.fake_score(logits).numpy()
    probabilities = expit(logits.double().numpy())
    reference = softmax(probabilities, axis=1)[:, 1]
    assert (np.diff(reference[np.argsort(score)]) > -1e-6).all()
    np.testing.assert_array_equal(score > 0.5, probabilities[:, 1] > probabilities[:, 0])
    np.testing.assert_allclose(
        score, (probabilities[:, 1] + 1 - probabilities[:, 0]) / 2, atol=1e-6
    )
    sure = torch.tensor([[-200.0, 200.0], [200.0, -200.0]])
    assert model.log_probabilities(sure).isfinite().all()


def test_the_same_logits_in_training_and_evaluation_mode():
    """The reference applies its sigmoids in evaluation mode only."""
    model = slim(dropout=0.0)
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        expected = model.eval()(images)
        for module in model.modules():
            module.training = not isinstance(module, nn.BatchNorm2d)
        torch.testing.assert_close(model(images), expected)


def enlarged(planes):
    """(C, h, w) to twice the size, straight lines between the middles of the pixels."""
    for axis in (1, 2):
        size = planes.shape[axis]
        places = np.clip((np.arange(2 * size) + 0.5) / 2 - 0.5, 0, size - 1)
        below = np.minimum(places.astype(int), size - 2)
        share = (places - below).reshape([-1 if a == axis else 1 for a in range(3)])
        planes = planes.take(below, axis) * (1 - share) + planes.take(below + 1, axis) * share
    return planes


def test_decoder_by_hand():
    torch.manual_seed(0)
    module = MaskDecoder(4).double()
    state = {k: v.numpy() for k, v in module.state_dict().items()}

    def convolve(planes, name):
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        return np.stack(
            [
                sum(correlate2d(p, k, "same") for p, k in zip(planes, kernels, strict=True)) + b
                for kernels, b in zip(weight, bias, strict=True)
            ]
        )

    maps = torch.randn(2, 4, 5, 6, dtype=torch.float64)
    with torch.no_grad():
        found = module(maps)
    assert found.shape == (2, 1, 10, 12)
    for image in range(2):
        hidden = convolve(maps[image].numpy(), "look.0")
        hidden = enlarged(np.where(hidden > 0, hidden, 0.2 * hidden))
        np.testing.assert_allclose(found[image], convolve(hidden, "output"), atol=1e-12)


def test_loss_of_masks_by_hand():
    """Areas of 2 x 2 pixels averaged; the image of an unknown mask does not count."""
    rng = np.random.default_rng(0)
    logits, masks = rng.normal(size=(3, 1, 4, 4)) * 2, rng.random((3, 1, 8, 8))
    p, targets = expit(logits), masks.reshape(3, 1, 4, 2, 4, 2).mean((3, 5))
    entropy = -(targets * np.log(p) + (1 - targets) * np.log(1 - p)).mean((1, 2, 3))
    masks[1] = np.nan
    found = mask_loss(torch.tensor(logits), torch.tensor(masks))
    assert found.item() == pytest.approx(entropy[[0, 2]].mean(), rel=1e-5)
    masks[2, 0, 0, 0] = np.nan
    found = mask_loss(torch.tensor(logits), torch.tensor(masks))
    assert found.item() == pytest.approx(entropy[0], rel=1e-5)
    unknown = torch.tensor(logits, requires_grad=True)
    none = mask_loss(unknown, torch.full((3, 1, 8, 8), torch.nan))
    none.backward()
    assert none.item() == 0
    assert (unknown.grad == 0).all()


def test_total_with_masks_and_without():
    """In evaluation mode an image of unknown mask might as well not be there."""
    model = slim(weight_masks=0.5).eval()
    images, labels, masks = (
        torch.rand(4, 3, 64, 64),
        torch.tensor([0, 1, 2, 0]),
        torch.rand(4, 1, 64, 64),
    )
    focal = model.losses(images, labels)
    assert (focal["total"], focal["masks"]) == (focal["focal"], 0)
    masks[[1, 3]] = torch.nan
    found = model.losses(images, labels, masks)
    assert found["focal"] == focal["focal"]
    known = model.losses(images[::2], labels[::2], masks[::2])["masks"]
    torch.testing.assert_close(found["masks"], known)
    with torch.no_grad():
        p = model.masks(images)[::2].double().numpy()
    assert p.shape == (2, 1, 32, 32)
    targets = masks[::2].double().numpy().reshape(2, 1, 32, 2, 32, 2).mean((3, 5))
    expected = -(targets * np.log(p) + (1 - targets) * np.log(1 - p)).mean()
    assert found["masks"].item() == pytest.approx(expected, rel=1e-4)
    assert found["total"].item() == pytest.approx(found["focal"].item() + 0.5 * expected, rel=1e-4)


def test_no_weight_builds_no_decoder_and_masks_change_nothing():
    model = slim(weight_masks=0.0)
    assert count(slim(weight_masks=1.0)) - count(model) == count(MaskDecoder(12)) == 709
    images, labels = torch.rand(2, 3, 64, 64), torch.tensor([0, 1])
    model.eval()
    found, same = model.losses(images, labels), model.losses(images, labels, torch.rand(2, 1, 8, 8))
    assert found == same
    assert set(found) == {"total", "focal"}
    with pytest.raises(ValueError, match="set weight_masks above 0"):
        model.masks(images)


def test_every_weight_has_a_gradient_with_masks_and_without():
    """Processes that train together wait for each parameter's."""
    model = slim(weight_masks=1.0)
    images, labels = torch.rand(4, 3, 64, 64), torch.tensor([0, 1, 2, 0])
    model.losses(images, labels)["total"].backward()
    assert all(p.grad is not None for p in model.parameters())
    assert all((p.grad == 0).all() for p in model.decoder.parameters())
    model.losses(images, labels, torch.rand(4, 1, 64, 64))["total"].backward()
    assert all((p.grad != 0).any() for p in model.decoder.parameters())


def test_masks_are_learned_and_reach_what_lies_below():
    """A square of each image is brighter: forty steps of the masks' loss alone find it."""
    model = slim(weight_masks=1.0, dropout=0.0)
    generator = torch.Generator().manual_seed(0)
    images, masks = torch.rand(8, 3, 64, 64, generator=generator) * 0.5, torch.zeros(8, 1, 64, 64)
    for index, (row, column) in enumerate(torch.randint(0, 40, (8, 2), generator=generator)):
        masks[index, :, row : row + 24, column : column + 24] = 1
    images += 0.4 * masks
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    below = model.backbone.conv_stem.weight.detach().clone()
    for _ in range(40):
        optimizer.zero_grad()
        mask_loss(model.decoder(model._opened(images)), masks).backward()
        optimizer.step()
    with torch.no_grad():
        found = functional.interpolate(model.masks(images), scale_factor=2.0)
    assert found[masks == 1].mean() > 0.8
    assert found[masks == 0].mean() < 0.2
    assert not torch.equal(model.backbone.conv_stem.weight, below)


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        (torch.zeros(2, 64, 64), r"shape \(2, 1, h, w\), not torch.float32 of \(2, 64, 64\)"),
        (torch.zeros(3, 1, 64, 64), r"of \(3, 1, 64, 64\)"),
        (torch.zeros(2, 1, 64, 64, dtype=torch.uint8), "not torch.uint8"),
        (torch.full((2, 1, 64, 64), 255.0), "divide 8-bit masks by 255"),
        (torch.full((2, 1, 64, 64), -0.1), r"in \[0, 1\]"),
    ],
)
def test_wrong_masks_are_refused(masks, message):
    with pytest.raises(ValueError, match=f"m2tr: .*{message}"):
        slim(weight_masks=1.0).losses(torch.rand(2, 3, 64, 64), torch.tensor([0, 1]), masks)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"side": 300}, "must divide by 32"),
        ({"backbone": "resnet18"}, "'resnet18' is no EfficientNet"),
        ({"backbone": "plain_efficientnet", "pretrained": True}, "no published weights"),
    ],
)
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(ValueError, match=message):
        detectors.build("m2tr", **settings)


def test_stochastic_depth_rises_from_nothing():
    """Of 32 blocks, the ones that keep their shape; EfficientNet's 0.2 times index / 32."""
    backbone = efficientnets.create("tf_efficientnet_b4", drop_path=0.2)
    blocks = [block for stage in backbone.blocks for block in stage]
    rates = {i: b.drop_path.drop_prob for i, b in enumerate(blocks) if b.has_skip}
    assert len(blocks) == 32
    assert rates == {i: pytest.approx(0.2 * i / 32) for i in rates}
    assert set(range(32)) - set(rates) == {0, 2, 6, 10, 16, 22, 30}
    norms = {(m.eps, m.momentum) for m in backbone.modules() if isinstance(m, nn.BatchNorm2d)}
    assert norms == {(1e-3, 0.01)}

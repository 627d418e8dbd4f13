"""MaDD against NumPy and SciPy in 64 bits, part by part, and the mistakes its ports make."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.interpolate import RegularGridInterpolator
from scipy.ndimage import correlate1d
from scipy.signal import correlate2d
from scipy.special import expit, softmax
from torch import nn

from mcxlib import detectors
from mcxlib.detectors.madd_losses import blend, blurred_away, independence, moved_centres
from mcxlib.detectors.madd_parts import (
    AttentionMaps,
    TextureEnhancement,
    average,
    pool,
    standardised,
)

SLIM = {"backbone": "plain_efficientnet", "side": 0, "width": 16}
BLUR = {
    "scale": 0.5,
    "kernel": 11,
    "sigma": 7.0,
    "noise": 0.0,
    "threshold": (0.5, 0.5),
    "steepness": (4.0, 4.0),
}


def slim(**settings):
    torch.manual_seed(0)
    model = detectors.build("madd", **SLIM | settings)
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.uniform_(-0.2, 0.2)
            elif name.endswith("running_var"):
                buffer.uniform_(0.5, 2)
        model.classifier.reset_parameters()  # not zero, as it starts
    return model


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def numbers(module: nn.Module) -> dict[str, np.ndarray]:
    return {k: v.double().numpy() for k, v in module.state_dict().items()}


def convolve(x, weight, bias=None, groups=1):
    """'same' convolution of (C, H, W), group by group."""
    parts = np.split(x, groups)
    found = [
        sum(correlate2d(plane, k, "same") for plane, k in zip(part, kernel, strict=True))
        for part, kernels in zip(parts, np.split(weight, groups), strict=True)
        for kernel in kernels
    ]
    return np.stack(found) + (0 if bias is None else bias[:, None, None])


def normalise(x, state, name):
    mean, var, weight, bias = (
        state[f"{name}.{k}"][:, None, None]
        for k in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / np.sqrt(var + 1e-5) * weight + bias


def relu(x):
    return np.maximum(x, 0)


def hardswish(x):
    return x * np.clip(x + 3, 0, 6) / 6


def stretch(planes, size):
    """Bilinear, the corners' middles on the corners' middles."""
    rows, columns = (np.linspace(0, 1, n) for n in planes.shape[1:])
    grid = np.stack(np.meshgrid(*(np.linspace(0, 1, n) for n in size), indexing="ij"), axis=-1)
    return np.stack([RegularGridInterpolator((rows, columns), p)(grid) for p in planes])


def attention_by_hand(deep, state, name):
    x = relu(
        normalise(
            convolve(deep, state[f"{name}look.0.weight"], state[f"{name}look.0.bias"]),
            state,
            f"{name}look.1",
        )
    )
    x = normalise(convolve(x, state[f"{name}choose.0.weight"]), state, f"{name}choose.1")
    x = np.where(x > 0, x + 1, np.exp(x))
    rows, columns = (np.arange(n) * 24 // n for n in x.shape[1:])
    inside = [(places >= 2) & (places < 22) for places in (rows, columns)]
    return x * np.outer(*inside)


def texture_by_hand(shallow, attention, state, name):
    """Map for map: nothing of one map's group reaches another's."""
    maps, (height, width) = len(attention), attention.shape[1:]
    shallow = convolve(shallow, state[f"{name}look.weight"], state[f"{name}look.bias"])
    channels, tall, wide = shallow.shape
    coarse = np.zeros((channels, height, width))
    for row in range(height):
        for column in range(width):
            window = shallow[
                :,
                row * tall // height : -(-(row + 1) * tall // height),
                column * wide // width : -(-(column + 1) * wide // width),
            ]
            coarse[:, row, column] = window.mean((1, 2))
    rows, columns = np.arange(tall) * height // tall, np.arange(wide) * width // wide
    fine = shallow - coarse[:, rows][:, :, columns]
    weight = np.tanh(stretch(attention, (tall, wide)))
    results = []
    for index in range(maps):

        def group(values, index=index):
            return np.split(values, maps)[index]

        def conv(x, at, group=group):
            return convolve(x, group(state[f"{at}.weight"]), group(state[f"{at}.bias"]))

        def norm(x, at, group=group):
            own = {k: group(v) for k, v in state.items() if k.startswith(at) and v.ndim}
            return normalise(x, own, at)

        found = conv(fine * weight[index], f"{name}first")
        for depth in range(4):
            more = conv(relu(norm(found, f"{name}dense.{depth}.0")), f"{name}dense.{depth}.2")
            found = more if depth == 3 else np.concatenate([found, more])
        results.append(relu(norm(found, f"{name}last.0")))
    return np.stack(results), coarse


def length_one(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def randomised(module):
    with torch.no_grad():
        for name, value in module.state_dict().items():
            if name.endswith(("running_var", "weight")) and value.ndim == 1:
                value.uniform_(0.5, 2)
            elif value.ndim:
                value.normal_(0, 0.3)
    return module.eval().double()


def test_attention_by_hand():
    torch.manual_seed(0)
    module = randomised(AttentionMaps(6, 3))
    deep = torch.randn(2, 6, 9, 11, dtype=torch.float64)
    with torch.no_grad():
        found = module(deep)
    assert (found >= 0).all()
    for image in range(2):
        expected = attention_by_hand(deep[image].numpy(), numbers(module), "")
        np.testing.assert_allclose(found[image], expected, atol=1e-12)


@pytest.mark.parametrize(("side", "first", "last"), [(24, 2, 21), (19, 2, 17), (12, 1, 10)])
def test_attention_is_nothing_at_the_border(side, first, last):
    """Whatever the map says there; 24 is the grid of 380 px, 19 that of 299."""
    torch.manual_seed(0)
    with torch.no_grad():
        found = AttentionMaps(4, 2)(torch.randn(3, 4, side, side)).sum((0, 1))
    alive = torch.zeros(side, side, dtype=torch.bool)
    alive[first : last + 1, first : last + 1] = True
    assert (found[~alive] == 0).all()
    assert (found[alive] > 0).all()


@pytest.mark.parametrize("grid", [(4, 5), (3, 4)])
def test_texture_by_hand(grid):
    torch.manual_seed(0)
    module = randomised(TextureEnhancement(3, 2))
    shallow = torch.randn(2, 3, 12, 10, dtype=torch.float64)
    attention = torch.rand(2, 2, *grid, dtype=torch.float64) * 2
    with torch.no_grad():
        found, coarse = module(shallow, attention)
    assert found.shape == (2, 2, 3, 12, 10)
    for image in range(2):
        expected, averages = texture_by_hand(
            shallow[image].numpy(), attention[image].numpy(), numbers(module), ""
        )
        np.testing.assert_allclose(coarse[image], averages, atol=1e-12)
        np.testing.assert_allclose(found[image], expected, atol=1e-9)


def test_texture_sees_nothing_coarser_than_the_attention():
    """An image whose cells are flat has no texture: what comes out does not depend on it."""
    torch.manual_seed(0)
    module = randomised(TextureEnhancement(3, 2))
    nn.init.dirac_(module.look.weight)
    attention = torch.rand(1, 2, 4, 4, dtype=torch.float64)
    with torch.no_grad():
        one, other = (
            module(
                torch.randn(1, 3, 4, 4).double().repeat_interleave(3, 2).repeat_interleave(3, 3),
                attention,
            )[0]
            for _ in range(2)
        )
    torch.testing.assert_close(one, other)


def test_texture_sends_no_gradient_into_the_attention():
    """It weighs the textures, but learns where to look from the pooling alone."""
    torch.manual_seed(0)
    module = TextureEnhancement(3, 2).eval()
    attention, shallow = torch.rand(1, 2, 4, 4), torch.randn(1, 3, 8, 8, requires_grad=True)
    attention.requires_grad_()
    module(shallow, attention)[0].square().sum().backward()
    assert attention.grad is None
    assert shallow.grad.abs().sum() > 0


def test_pooling_by_hand():
    rng = np.random.default_rng(0)
    attention = rng.random((2, 3, 4, 5))
    shared, own = rng.normal(size=(2, 6, 7, 8)), rng.normal(size=(2, 3, 6, 7, 8))
    plain = average(torch.tensor(shared), torch.tensor(attention[:, 0]))
    for maps in (shared, own):
        found = pool(torch.tensor(maps), torch.tensor(attention))
        for image in range(2):
            weight = stretch(attention[image], (7, 8))
            of = maps[image] if maps.ndim == 5 else np.repeat(maps[image][None], 3, axis=0)
            sums = np.stack([(m * w).sum((1, 2)) for m, w in zip(of, weight, strict=True)])
            np.testing.assert_allclose(found[image], length_one(sums), atol=1e-12)
            expected = (shared[image] * weight[0]).sum((1, 2)) / weight[0].sum()
            np.testing.assert_allclose(plain[image], expected, rtol=1e-6)
    nowhere = average(torch.tensor(shared), torch.zeros(2, 4, 5, dtype=torch.float64))
    np.testing.assert_allclose(nowhere, shared.mean((2, 3)), atol=1e-12)


def test_forward_by_hand():
    """From the backbone's three maps to the logits, and the regions beside them."""
    model = slim().eval().double()
    seen = {}
    for name, layer in (
        ("first", model.backbone.conv_stem),
        ("shallow", model.backbone.blocks[1]),
        ("middle", model.backbone.blocks[4]),
        ("last", model.cam_layer()),
    ):
        layer.register_forward_hook(lambda _, i, o, name=name: seen.update({name: (i[0], o)}))
    images = torch.rand(2, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        logits, regions = model(images), model.describe(images)[2]
    torch.testing.assert_close(seen["first"][0], images * 2 - 1)  # the publication's .5 and .5
    state = numbers(model)
    for index in range(2):
        shallow, middle, last = (seen[k][1][index].numpy() for k in ("shallow", "middle", "last"))
        assert (shallow.shape[1], middle.shape[1], last.shape[1]) == (16, 8, 4)
        attention = attention_by_hand(middle, state, "attend.")
        texture, coarse = texture_by_hand(shallow, attention, state, "texture.")
        weight = stretch(attention, (16, 16))
        local = length_one((texture * weight[:, None]).sum((2, 3))).ravel()
        local = hardswish(state["local.0.weight"] @ local + state["local.0.bias"])
        local = hardswish(state["local.2.weight"] @ local + state["local.2.bias"])
        mass = stretch(attention.sum(0)[None], (4, 4))[0]
        overall = (last * mass).sum((1, 2)) / mass.sum()
        overall = hardswish(state["overall.weight"] @ overall + state["overall.bias"])
        both = np.concatenate([local, overall])
        hidden = hardswish(state["join.weight"] @ both + state["join.bias"])
        expected = state["classifier.weight"] @ hidden + state["classifier.bias"]
        np.testing.assert_allclose(logits[index], expected, rtol=1e-6, atol=1e-9)
        mean, deviation = coarse.mean((1, 2)), coarse.std((1, 2), ddof=1)
        cells = (coarse - mean[:, None, None]) / deviation[:, None, None]
        expected = length_one((cells[None] * attention[:, None]).sum((2, 3)))
        np.testing.assert_allclose(regions[index], expected, atol=1e-6)
    expected = softmax(logits.numpy(), axis=1)[:, 1]
    np.testing.assert_allclose(model.fake_score(logits), expected, atol=1e-6)


def test_counts_of_the_parts_and_both_sizes():
    """The reference's, its backbone with the classifier of the first stage; 380 and 299 px."""
    model = detectors.build("madd").eval()
    assert count(model.backbone) + count(model.first_classifier) == 17_552_202
    parts = [model.attend, model.texture, model.local, model.overall]
    assert [count(part) for part in parts] == [231_528, 352_672, 98_816, 459_008]
    assert count(model.join) + count(model.classifier) == 131_842
    assert count(model) == 18_826_068
    shapes = []
    model.attend.register_forward_hook(lambda *a: shapes.append(tuple(a[-1].shape)))
    model.backbone.blocks[1].register_forward_hook(lambda *a: shapes.append(tuple(a[-1].shape)))
    with torch.no_grad():
        model(torch.rand(1, 3, 448, 448))
        model.settings = model.settings.model_copy(update={"side": 0})
        model(torch.rand(1, 3, 299, 299))
    assert shapes == [(1, 32, 95, 95), (1, 4, 24, 24), (1, 32, 75, 75), (1, 4, 19, 19)]


def test_centres_move_by_the_real_faces():
    """Half of the batch is real: 0.1 times half of the way."""
    centres = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    regions = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[9.0, 9.0], [9.0, 9.0]]])
    found = moved_centres(centres, regions, torch.tensor([True, False]), 0.1)
    torch.testing.assert_close(found, torch.tensor([[0.05, 0.0], [0.95, 0.05]]))
    untouched = moved_centres(centres, regions, torch.tensor([False, False]), 0.1)
    torch.testing.assert_close(untouched, centres)


def test_independence_of_two_maps_by_hand():
    """Centres 0.5 apart; a real face 5 away (two maps, 3 and 4), fakes 0.3 and 1 away."""
    centres = torch.tensor([[0.0, 0.0], [0.3, 0.4]], requires_grad=True)
    regions = torch.tensor(
        [[[3.0, 0.0], [0.3, 4.4]], [[0.3, 0.0], [0.3, 0.4]], [[0.0, 1.0], [0.3, 0.4]]]
    )
    real = torch.tensor([True, False, False])
    inner, outer = independence(centres, regions, real, (0.2, 0.8, 0.8))
    assert inner.item() == pytest.approx((4.8 + 0.5 + 0) / 3)
    assert outer.item() == pytest.approx(0.3 / 2)
    outer.backward()
    # Half of the unit vector between the centres, pushing them apart.
    torch.testing.assert_close(centres.grad, torch.tensor([[0.3, 0.4], [-0.3, -0.4]]))


def test_centres_push_their_regions_apart():
    """Ports detach the centres, and the term between them then trains nothing."""
    torch.manual_seed(0)
    regions = torch.nn.functional.normalize(torch.rand(6, 2, 4), dim=2).requires_grad_()
    real = torch.tensor([True] * 3 + [False] * 3)
    before = torch.zeros(2, 4)

    def outer(values):
        return independence(
            moved_centres(before, values, real, 0.05), values, real, (0.2, 0.8, 0.8)
        )[1]

    outer(regions).backward()
    assert (regions.grad[:3].abs().sum((1, 2)) > 0).all()
    assert (regions.grad[3:] == 0).all(), "fakes are not in the centres"
    with torch.no_grad():
        assert outer(regions - 5 * regions.grad) < outer(regions)


def test_equal_centres_have_finite_gradients():
    """As at the start, when no face of the batch is real."""
    model = slim().train()
    loss = model.losses(torch.rand(3, 3, 64, 64), torch.tensor([1, 2, 2]))
    loss["total"].backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    assert loss["independence"].isfinite()
    assert (model.centres == 0).all()


def test_centres_are_kept_and_move_in_training_only():
    model = slim(drop_path=0.0)
    images, labels = torch.rand(4, 3, 64, 64), torch.tensor([0, 0, 1, 2])
    model.eval().losses(images, labels)
    assert (model.centres == 0).all()
    assert "centres" in model.state_dict()
    with torch.no_grad():
        for module in model.modules():
            module.training = not isinstance(module, nn.BatchNorm2d)
        regions = model.describe(images)[2]
    model.losses(images, labels)
    expected = 0.05 * regions[:2].sum(0).numpy() / 4
    np.testing.assert_allclose(model.centres, expected, atol=1e-6)


def test_rate_of_the_centres_falls_by_the_epochs_of_the_second_stage():
    """Fifty of them in five sevenths of the training."""
    images, labels = torch.rand(4, 3, 64, 64), torch.tensor([0, 0, 1, 2])
    model = slim(drop_path=0.0)
    for module in model.modules():
        module.training = not isinstance(module, nn.BatchNorm2d)
    with torch.no_grad():
        way = model.describe(images)[2][:2].sum(0) / 4
    for progress, epoch in ((2 / 7, 0), (2 / 7 + 0.0144, 1), (0.51, 15), (0.9999, 49)):
        model.centres.zero_()
        model.before_step(progress)
        with torch.no_grad():
            model.losses(images, labels)
        torch.testing.assert_close(model.centres, 0.05 * 0.9**epoch * way, atol=1e-8, rtol=1e-4)


def test_first_stage_trains_the_backbone_under_its_own_classifier():
    model = slim().eval()
    images, labels = torch.rand(4, 3, 64, 64), torch.tensor([0, 1, 2, 0])
    model.before_step(0.28)
    seen = []
    model.cam_layer().register_forward_hook(lambda *a: seen.append(a[-1]))
    found = model.losses(images, labels)
    state = numbers(model.first_classifier)
    logits = seen[0].detach().double().numpy().mean((2, 3)) @ state["weight"].T + state["bias"]
    expected = -np.log(softmax(logits, axis=1)[np.arange(4), [0, 1, 1, 0]]).mean()
    assert found["pretraining"].item() == pytest.approx(expected, rel=1e-5)
    assert found["total"].item() == pytest.approx(expected, rel=1e-5)
    others = {"cross_entropy", "independence", "augmented", "match"}
    assert {name: found[name].item() for name in others} == dict.fromkeys(others, 0)
    found["total"].backward()
    moved = {name.split(".")[0] for name, p in model.named_parameters() if (p.grad != 0).any()}
    assert moved == {"backbone", "first_classifier"}
    assert (model.train().centres == 0).all()
    model.before_step(2 / 7)
    model.zero_grad()
    found = model.losses(images, labels)
    found["total"].backward()
    assert set(found) == others | {"total", "pretraining"}
    assert found["pretraining"] == 0
    moved = {name.split(".")[0] for name, p in model.named_parameters() if (p.grad != 0).any()}
    assert moved == {name for name, _ in model.named_children()} - {"first_classifier"}
    assert all(p.grad is not None for p in model.parameters()), "others would wait for it"


def test_scores_come_from_the_same_head_in_both_stages():
    """It starts at zero where there is a first stage, and nowhere else."""
    model, images = slim().eval(), torch.rand(3, 3, 64, 64)
    found = []
    for progress in (0.0, 0.9):
        model.before_step(progress)
        with torch.no_grad():
            found.append(model(images))
    assert torch.equal(*found)
    fresh = detectors.build("madd", **SLIM).eval()
    assert (fresh(images) == 0).all()
    alone = detectors.build("madd", **SLIM, pretraining_share=0.0).eval()
    assert alone.fake_score(alone(images)).std() > 0
    assert count(fresh) - count(alone) == 192 * 2 + 2


def test_flat_images_have_finite_gradients():
    """The deviation of equal cells has none."""
    cells = torch.ones(1, 2, 3, 3, requires_grad=True)
    standardised(cells).square().sum().backward()
    assert (cells.grad == 0).all()
    model = slim().train()
    model.losses(torch.zeros(2, 3, 64, 64), torch.tensor([0, 1]))["total"].backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def blurred(image, sigma=7.0, radius=5):
    """(3, H, W) by SciPy: a Gaussian of 11 numbers, mirrored at the border."""
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    for axis in (1, 2):
        image = correlate1d(image, kernel, axis=axis, mode="mirror")
    return image


def test_augmentation_by_hand():
    torch.manual_seed(0)
    images = torch.rand(2, 3, 40, 48, dtype=torch.float64)
    attention = torch.rand(2, 1, 5, 6, dtype=torch.float64) * 3
    found, drawn = blurred_away(images, attention, **BLUR)
    assert drawn.tolist() == [0, 0]
    for index in range(2):
        image, own = images[index].numpy(), stretch(attention[index].numpy(), (40, 48))
        own = own / own.max()
        share = (expit(4 * (own - 0.5)) - expit(-2)) / (1 - expit(-2))
        away = stretch(blurred(stretch(image, (20, 24))), (40, 48))
        np.testing.assert_allclose(found[index], image * (1 - share) + away * share, atol=1e-6)


def test_augmentation_keeps_shape_and_range_and_what_nobody_looks_at():
    torch.manual_seed(0)
    images = torch.rand(3, 3, 33, 17)
    attention = torch.zeros(3, 2, 4, 4)
    attention[:, :, :, 3] = 1
    found, _ = blurred_away(images, attention, **BLUR | {"noise": 0.5})
    assert found.shape == images.shape
    assert found.min() >= 0
    assert found.max() <= 1
    torch.testing.assert_close(found[..., :11], images[..., :11])  # two thirds of the way: nothing
    assert (found[..., 16] - images[..., 16]).abs().mean() > 0.1
    same, _ = blurred_away(images, torch.zeros(3, 2, 4, 4), **BLUR)
    torch.testing.assert_close(same, images)


def test_blend_starts_at_nothing():
    attention = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    found = blend(attention, torch.tensor(0.5), torch.tensor(4.0))
    start = expit(-2.0)
    expected = [0, (0.5 - start) / (1 - start), (expit(2.0) - start) / (1 - start)]
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_a_heavier_map_is_drawn_oftener():
    """By the root of its mass plus one: 1, 2 and 3 for masses 0, 3 and 8."""
    torch.manual_seed(0)
    attention = torch.zeros(6000, 3, 1, 1)
    attention[:, 1], attention[:, 2] = 3.0, 8.0
    _, drawn = blurred_away(torch.rand(6000, 3, 4, 4), attention, **BLUR)
    # Four deviations of a share of 6000 are 0.026 at most.
    shares = torch.bincount(drawn, minlength=3) / 6000
    np.testing.assert_allclose(shares, [1 / 6, 1 / 3, 1 / 2], atol=0.026)


def test_total_is_the_weighted_sum_and_the_drawn_map_may_change(monkeypatch):
    model = slim().eval()
    images, labels = torch.rand(4, 3, 64, 64), torch.tensor([0, 1, 2, 0])
    other, drawn = torch.rand(4, 3, 64, 64), torch.tensor([0, 3, 1, 1])
    monkeypatch.setattr("mcxlib.detectors.madd.blurred_away", lambda *a, **k: (other, drawn))
    found = {k: v.item() for k, v in model.losses(images, labels).items()}
    with torch.no_grad():
        regions, again = (model.describe(x)[2].double().numpy() for x in (images, other))
        p, q = (softmax(model(x).double().numpy(), axis=1) for x in (images, other))
    distances = np.linalg.norm(again - regions, axis=2)
    distances[np.arange(4), drawn.numpy()] = 0
    assert found["match"] == pytest.approx(distances.mean(), rel=1e-4)
    targets = np.array([0, 1, 1, 0])
    rows = np.arange(4)
    assert found["cross_entropy"] == pytest.approx(-np.log(p[rows, targets]).mean(), rel=1e-4)
    assert found["augmented"] == pytest.approx(-np.log(q[rows, targets]).mean(), rel=1e-4)
    centres = 0.05 * regions[[0, 3]].sum(0) / 4
    distance = np.linalg.norm((regions - centres).reshape(4, -1), axis=1)
    inner = relu(np.where(targets == 0, distance - 0.2, 0.8 - distance)).mean()
    pairs = [(a, b) for a in range(4) for b in range(a + 1, 4)]
    outer = sum(relu(0.8 - np.linalg.norm(centres[a] - centres[b])) for a, b in pairs)
    assert found["independence"] == pytest.approx(inner + outer / 4, rel=1e-4)
    expected = (
        found["cross_entropy"]
        + 0.5 * found["independence"]
        + found["augmented"]
        + 0.1 * found["match"]
    )
    assert found["total"] == pytest.approx(expected, rel=1e-5)


def test_gradient_between_centres_is_divided_by_the_rate():
    """A step moves the centres by a twentieth of what it moves the regions by."""
    model = slim(weight_augmented=0.0, weight_match=0.0).eval().double()
    images, labels = torch.rand(4, 3, 64, 64).double(), torch.tensor([0, 1, 2, 0])
    model.losses(images, labels)["total"].backward()
    found = model.texture.look.weight.grad.clone()
    model.zero_grad()
    described, _, regions = model.describe(images)
    centres = 0.05 * regions[[0, 3]].sum(0) / 4
    distance = (regions - centres).square().sum((1, 2)).sqrt()
    loss = nn.functional.cross_entropy(model.classifier(described), torch.tensor([0, 1, 1, 0]))
    loss = loss + 0.5 * ((distance[[0, 3]] - 0.2).relu().sum()) / 4
    loss = loss + 0.5 * ((0.8 - distance[[1, 2]]).relu().sum()) / 4
    for one in range(4):
        for other in range(one):
            between = (centres[one] - centres[other]).square().sum().sqrt()
            loss = loss + 0.5 * (0.8 - between).relu() / 4 / 0.05
    loss.backward()
    expected = model.texture.look.weight.grad
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)


_OTHER_PROCESS = """
import sys
import torch
from mcxlib import detectors
model = detectors.build("madd", backbone="plain_efficientnet", side=0, width=16).eval()
model.load_state_dict(torch.load(sys.argv[1], weights_only=True))
images = torch.load(sys.argv[2], weights_only=True)
with torch.no_grad():
    torch.save(model.fake_score(model(images)), sys.argv[3])
"""


def test_a_saved_model_scores_the_same_in_another_process(tmp_path):
    """A port counts its calls outside the state: loaded for testing, another head answers."""
    model = slim().train()
    images = torch.rand(4, 3, 64, 64)
    for _ in range(3):
        model.losses(images, torch.tensor([0, 0, 1, 2]))
    files = [tmp_path / name for name in ("state", "images", "scores")]
    torch.save(model.state_dict(), files[0])
    torch.save(images, files[1])
    subprocess.run([sys.executable, "-c", _OTHER_PROCESS, *map(str, files)], check=True)
    with torch.no_grad():
        expected = model.eval().fake_score(model(images))
        again = model.fake_score(model(images))
    scores = torch.load(files[2], weights_only=True)
    torch.testing.assert_close(scores, expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(again, expected, atol=0, rtol=0)


def test_there_is_one_head():
    """Every weight is used by the score, but those of the first stage's classifier."""
    model = slim().eval()
    model(torch.rand(2, 3, 64, 64))[:, 1].sum().backward()
    unused = [name for name, p in model.named_parameters() if p.grad is None]
    assert unused == ["first_classifier.weight", "first_classifier.bias"]


def test_standardised_cells_by_hand():
    cells = np.random.default_rng(0).normal(3, 2, size=(2, 3, 4, 5))
    expected = (cells - cells.mean((2, 3), keepdims=True)) / cells.std(
        (2, 3), ddof=1, keepdims=True
    )
    np.testing.assert_allclose(standardised(torch.tensor(cells)), expected, atol=1e-7)


def test_a_gaussian_without_a_middle_is_refused():
    with pytest.raises(ValueError, match="must be odd"):
        detectors.build("madd", blur_kernel=10)

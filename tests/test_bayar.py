"""Bayar and Stamm's constraint by its published steps, and both networks against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import nn
from torch.optim import SGD, Adam

from mcxlib import detectors
from mcxlib.config import load
from mcxlib.detectors.constrained import ConstrainedConv2d

SLIM = {"network": "slim", "side": 0, "crop": 0}


def published(weight):
    """The steps of the publication, filter by filter, in 64 bits."""
    found = weight.astype(np.float64).copy()
    for outputs in found:
        for kernel in outputs:
            middle = len(kernel) // 2
            kernel *= 10_000
            kernel[middle, middle] = 0
            kernel /= kernel.sum()
            kernel[middle, middle] = -1
    return found


def off_centre(weight):
    """(filters, 24) of (O, I, 5, 5)."""
    return np.delete(weight.detach().double().numpy().reshape(-1, 25), 12, axis=1)


def centres(weight):
    return weight.detach().numpy().reshape(-1, 25)[:, 12]


class TestConstraint:
    @pytest.mark.parametrize("signs", [(0.0, 1.0), (-0.3, 1.0)])
    def test_as_published_for_each_input_and_output(self, signs):
        """Ports take the filters of several inputs in the wrong order, or norm them together."""
        torch.manual_seed(3)
        layer = ConstrainedConv2d(2, 3, 5)
        start = torch.empty(3, 2, 5, 5).uniform_(*signs)
        with torch.no_grad():
            layer.weight.copy_(start)
        layer.project()
        np.testing.assert_allclose(
            layer.weight.detach(), published(start.numpy()), rtol=1e-5, atol=1e-7
        )

    @pytest.mark.parametrize("size", [1e-30, 1.0, 1e6])
    def test_sums_of_zero_give_no_infinite_weight(self, size):
        layer = ConstrainedConv2d(1, 3, 5)
        crafted = torch.zeros(3, 1, 25)
        crafted[0, 0, :12], crafted[0, 0, 13:] = size, -size
        crafted[1, 0, 0], crafted[1, 0, 1] = size, -size * (1 - 1e-7)
        with torch.no_grad():
            layer.weight.copy_(crafted.view(3, 1, 5, 5))
        layer.project()
        np.testing.assert_array_equal(centres(layer.weight), -1)
        np.testing.assert_allclose(off_centre(layer.weight).sum(1), 1, atol=1e-6 * max(1, size))
        assert np.abs(off_centre(layer.weight)).max() <= 2 * max(1, size)
        # Of no weights at all, the closest filter with the sum is the mean of the neighbours.
        np.testing.assert_allclose(off_centre(layer.weight)[2], 1 / 24, rtol=1e-6)

    @pytest.mark.parametrize("optimizer", ["sgd", "adam"])
    def test_held_at_every_forward_and_after_every_step(self, optimizer):
        """With a rate and a decay that move the weights far away each time."""
        torch.manual_seed(0)
        model = detectors.build("bayar", **SLIM).train()
        kind = {"sgd": lambda p: SGD(p, 0.1, momentum=0.9, weight_decay=0.1)}
        step = kind.get(optimizer, lambda p: Adam(p, 0.05, weight_decay=0.1))(model.parameters())
        seen = []
        model.constrained.register_forward_pre_hook(lambda m, _: seen.append(m.weight.clone()))
        images, labels, moved = torch.rand(6, 3, 48, 48), torch.arange(6) % 3, []
        for number in range(4):
            if number == 2:  # as weights from elsewhere, that nothing has projected
                with torch.no_grad():
                    model.constrained.weight.add_(0.2)
            model.before_step(number / 4)
            model.losses(images, labels)["total"].backward()
            step.step()
            step.zero_grad(set_to_none=True)
            moved.append(np.abs(centres(model.constrained.weight) + 1).max())
            model.after_step()
            seen.append(model.constrained.weight.clone())
        assert min(moved) > 1e-3, "the step itself leaves the constraint"
        assert len(seen) == 8
        for weight in seen:
            np.testing.assert_array_equal(centres(weight), -1)
            np.testing.assert_allclose(off_centre(weight).sum(1), 1, atol=1e-6)

    def test_a_decay_of_the_weights_is_undone(self):
        layer = ConstrainedConv2d(1, 4, 5)
        before = layer.weight.detach().clone()
        with torch.no_grad():
            layer.weight.mul_(0.5)
        layer.project()
        torch.testing.assert_close(layer.weight.detach(), before, rtol=1e-6, atol=1e-8)

    def test_what_has_one_colour_has_no_error(self):
        layer = ConstrainedConv2d(1, 12, 5)
        with torch.no_grad():
            assert layer(torch.full((1, 1, 32, 32), 200.0)).abs().max() < 1e-3
            assert layer(255 * torch.rand(1, 1, 32, 32)).abs().max() > 20

    def test_autocast_leaves_it_in_32_bits(self):
        model = detectors.build("bayar", **SLIM).eval()
        seen = []
        for layer in (model.constrained, model.blocks[0][0]):
            layer.register_forward_hook(lambda *a: seen.append(a[-1]))
        images = torch.rand(2, 3, 64, 64)
        with torch.no_grad():
            model(images)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                model(images)
        exact, _, half, next_layer = seen
        assert (half.dtype, next_layer.dtype) == (torch.float32, torch.bfloat16)
        assert torch.equal(half, exact)


def convolve(x, weight, bias, stride=1, padding=0):
    x = np.pad(x, [(0, 0), (padding, padding), (padding, padding)])
    windows = sliding_window_view(x, weight.shape[2:], (1, 2))[:, ::stride, ::stride]
    return np.einsum("chwij,ocij->ohw", windows, weight, optimize=True) + bias[:, None, None]


def pool(x, how):
    """3 by 3 every 2, sizes rounded up: a window past the edge sees what there is."""
    sizes = [-(-(n - 3) // 2) + 1 for n in x.shape[1:]]
    return np.array(
        [
            [how(x[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3], axis=(1, 2)) for j in range(sizes[1])]
            for i in range(sizes[0])
        ]
    ).transpose(2, 0, 1)


def head(x, state, activation):
    x = x.ravel()
    for name in ("hidden.0", "hidden.2"):
        x = activation(state[f"{name}.weight"] @ x + state[f"{name}.bias"])
    return state["output.weight"] @ x + state["output.bias"]


def benchmark(green, state):
    x = convolve(green[None, 64:192, 64:192] * 255, state["constrained.weight"], np.zeros(12))
    for index, stride in ((0, 2), (1, 1)):
        weight, bias = (state[f"blocks.{index}.0.{k}"] for k in ("weight", "bias"))
        x = pool(np.maximum(convolve(x, weight, bias, stride), 0), np.max)
    assert x.shape == (48, 12, 12)
    return head(x, state, lambda y: np.maximum(y, 0))


def mislnet(green, state):
    x = convolve(green[None] * 255, state["constrained.weight"], np.zeros(3))
    sizes = []
    for index, (stride, padding) in enumerate(((2, 3), (1, 2), (1, 2), (1, 0))):
        name = f"blocks.{index}"
        x = convolve(x, state[f"{name}.0.weight"], state[f"{name}.0.bias"], stride, padding)
        mean, var, weight, bias = (
            state[f"{name}.1.{k}"][:, None, None]
            for k in ("running_mean", "running_var", "weight", "bias")
        )
        x = np.tanh((x - mean) / np.sqrt(var + 1e-5) * weight + bias)
        x = pool(x, np.mean if index == 3 else np.max)
        sizes.append(x.shape[1])
    assert sizes == [63, 31, 15, 7]
    return head(x, state, np.tanh)


@pytest.mark.parametrize(
    ("network", "crop", "reference"), [("benchmark", 128, benchmark), ("mislnet", 256, mislnet)]
)
def test_forward_by_hand(network, crop, reference):
    torch.manual_seed(0)
    model = detectors.build("bayar", network=network, crop=crop).eval()
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.uniform_(-0.2, 0.2)
            elif name.endswith("running_var"):
                buffer.uniform_(0.5, 200)
    state = {k: v.double().numpy() for k, v in model.state_dict().items()}
    image = np.random.default_rng(1).random((3, 256, 256))
    with torch.no_grad():
        found = model.double()(torch.tensor(image)[None])[0].numpy()
    np.testing.assert_allclose(found, reference(image[1], state), rtol=1e-8, atol=1e-10)


def test_counts():
    """2018: as in its prototype, whose first layer has three biases held at 0. 2016: by hand."""
    six = ("real", "a", "b", "c", "d", "e")
    model = detectors.build("bayar", six, network="mislnet", crop=256)
    assert sum(p.numel() for p in model.parameters()) + 3 == 1_575_444
    counts = (12 * 25, 64 * (12 * 49 + 1), 48 * (64 * 25 + 1))
    dense = (4096 * (48 * 12 * 12 + 1), 4096 * 4097, 2 * 4097)
    with torch.device("meta"):
        model = detectors.find("bayar")(load("paper", detector="bayar").model, ("real", "fake"))
    assert sum(p.numel() for p in model.parameters()) == sum(counts) + sum(dense)


class TestWhatIsSeen:
    def test_green_of_the_middle(self):
        model = detectors.build("bayar", network="slim").eval()
        seen = []
        model.constrained.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        images = torch.rand(1, 3, 256, 256)
        with torch.no_grad():
            model(images)
        expected = 255 * images.numpy()[0, 1, 64:192, 64:192]
        np.testing.assert_allclose(seen[0][0, 0], expected, rtol=1e-6)

    def test_scaled_before_it_is_cut(self):
        model = detectors.build("bayar", network="slim").eval()
        seen = []
        model.constrained.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        ramp = torch.linspace(0, 1, 448).expand(1, 3, 448, 448)
        with torch.no_grad():
            model(ramp.contiguous())
        assert seen[0].shape == (1, 1, 128, 128)
        # Pixel i of 256 lies at (i + 1/2) / 256 of the width.
        middle = (np.arange(64, 192) + 0.5) / 256
        expected = 255 * (middle * 448 - 0.5) / 447
        np.testing.assert_allclose(seen[0][0, 0, 50], expected, atol=0.1)

    def test_faces_that_are_too_small(self):
        model = detectors.build("bayar", network="slim", side=0)
        with pytest.raises(ValueError, match=r"bayar: no central 128 x 128 .* 64 x 100; set"):
            model(torch.rand(1, 3, 64, 100))


def test_settings_of_the_paper():
    config = load("paper", detector="bayar")
    assert (config.train.optimizer, config.train.lr, config.train.weight_decay) == ("adam", 1e-5, 0)
    assert (config.model.side, config.model.crop) == (256, 128)
    activations = {
        name: {type(m) for m in detectors.build("bayar", network=name).modules()}
        for name in ("slim", "mislnet")
    }
    assert nn.Tanh in activations["mislnet"]
    assert nn.Tanh not in activations["slim"]

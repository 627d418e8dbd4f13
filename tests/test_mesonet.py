"""MesoNet against NumPy in 64 bits, layer by layer, and the mistakes its ports make."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import correlate2d

from mcxlib import detectors


def convolve(x, weight, bias, dilation=1):
    """'same' convolution of (C, H, W) by plain correlation."""
    if dilation > 1:
        side = dilation * (weight.shape[2] - 1) + 1
        spread = np.zeros((*weight.shape[:2], side, side))
        spread[:, :, ::dilation, ::dilation] = weight
        weight = spread
    return np.stack(
        [
            sum(correlate2d(x[c], kernel[c], "same") for c in range(len(x))) + b
            for kernel, b in zip(weight, bias, strict=True)
        ]
    )


def normalise(x, state, name):
    mean, var, weight, bias = (
        state[f"{name}.{k}"][:, None, None]
        for k in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / np.sqrt(var + 1e-3) * weight + bias


def pool(x, n):
    c, h, w = x.shape
    return x.reshape(c, h // n, n, w // n, n).max((2, 4))


def relu(x):
    return np.maximum(x, 0)


def head(x, state):
    hidden = state["hidden.weight"] @ x.ravel() + state["hidden.bias"]
    hidden = np.where(hidden > 0, hidden, 0.1 * hidden)
    return state["output.weight"] @ hidden + state["output.bias"]


def last_blocks(x, state, first):
    for index, size in ((first, 2), (first + 1, 4)):
        name = f"blocks.{index}"
        x = relu(convolve(x, state[f"{name}.0.0.weight"], state[f"{name}.0.0.bias"]))
        x = pool(normalise(x, state, f"{name}.1"), size)
    return x


def meso4(x, state):
    for index in (0, 1):
        name = f"blocks.{index}"
        x = relu(convolve(x, state[f"{name}.0.0.weight"], state[f"{name}.0.0.bias"]))
        x = pool(normalise(x, state, f"{name}.1"), 2)
    return head(last_blocks(x, state, 2), state)


def mesoinception4(x, state):
    for index in (0, 1):
        name = f"blocks.{index}.branches"
        found = [relu(convolve(x, state[f"{name}.0.0.weight"], state[f"{name}.0.0.bias"]))]
        for branch in (1, 2, 3):
            at = f"{name}.{branch}"
            y = relu(convolve(x, state[f"{at}.0.0.weight"], state[f"{at}.0.0.bias"]))
            y = convolve(y, state[f"{at}.1.0.weight"], state[f"{at}.1.0.bias"], branch)
            found.append(relu(y))
        x = pool(normalise(np.concatenate(found), state, f"blocks.{index}.normalise"), 2)
    return head(last_blocks(x, state, 2), state)


@pytest.mark.parametrize(
    ("variant", "reference", "parameters"),
    [("meso4", meso4, 27_977), ("mesoinception4", mesoinception4, 28_615)],
)
def test_forward_by_hand_and_count(variant, reference, parameters):
    torch.manual_seed(0)
    model = detectors.build("mesonet", variant=variant).eval()
    assert sum(p.numel() for p in model.parameters()) == parameters
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.uniform_(-0.2, 0.2)
            elif name.endswith("running_var"):
                buffer.uniform_(0.5, 2)
    state = {k: v.double().numpy() for k, v in model.state_dict().items()}
    rng = np.random.default_rng(1)
    for image in (rng.random((3, 256, 256)), np.full((3, 256, 256), 0.3)):
        with torch.no_grad():
            found = model.double()(torch.tensor(image)[None])[0, 0].item()
        assert found == pytest.approx(reference(image, state).item(), rel=1e-9)


def test_meso4_with_statistics_has_the_published_total():
    model = detectors.build("mesonet", variant="meso4")
    buffers = [b for n, b in model.named_buffers() if "num_batches" not in n]
    assert sum(p.numel() for p in model.parameters()) + sum(map(torch.numel, buffers)) == 28_073


@pytest.mark.parametrize("variant", ["meso4", "mesoinception4"])
def test_each_layer_has_its_own_normalisation(variant):
    """Ports share one module between two layers, and with it the statistics of both."""
    model = detectors.build("mesonet", variant=variant)
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert len({id(m) for m in norms}) == len(norms) == 4
    assert {(m.eps, m.momentum) for m in norms} == {(1e-3, 0.01)}
    convolutions = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d)]
    assert all(m.bias is not None for m in convolutions)


def test_output_one_is_real_and_the_loss_is_squared_error():
    model = detectors.build("mesonet").eval()
    logit = torch.tensor([[2.0], [-3.0]])
    real = 1 / (1 + np.exp(-logit.double().numpy()[:, 0]))
    np.testing.assert_allclose(model.fake_score(logit), 1 - real, atol=1e-7)
    images, labels = torch.rand(4, 3, 64, 64), torch.tensor([0, 1, 2, 0])
    with torch.no_grad():
        p = 1 / (1 + np.exp(-model(images)[:, 0].double().numpy()))
    expected = ((p - np.array([1, 0, 0, 1])) ** 2).mean()
    assert model.losses(images, labels)["total"].item() == pytest.approx(expected, rel=1e-5)


def test_faces_are_scaled_to_the_published_size():
    """A face of one colour is the same at any size; and what the first layer sees has 256 px."""
    torch.manual_seed(0)
    model = detectors.build("mesonet").eval()
    flat = torch.rand(1, 3, 1, 1)
    with torch.no_grad():
        small = model(flat.expand(1, 3, 256, 256).contiguous())
        large = model(flat.expand(1, 3, 448, 448).contiguous())
        seen = []
        model.blocks.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape))
        model(torch.rand(1, 3, 448, 448))
        detectors.build("mesonet", side=0).eval()(torch.rand(1, 3, 64, 64))
    torch.testing.assert_close(small, large, atol=1e-5, rtol=1e-5)
    assert seen == [(1, 3, 256, 256)]

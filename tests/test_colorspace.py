"""colorspace: agreement with OpenCV's 8-bit conversions, specs, labels, dtypes, gradients."""

import cv2
import kornia.color
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mcxlib.method import colorspace
from mcxlib.settings.matrix import COLORSPACES

STEP = 1 / 255
CODES = {"hsv": cv2.COLOR_RGB2HSV, "lab": cv2.COLOR_RGB2Lab, "ycbcr": cv2.COLOR_RGB2YCrCb}


def colours() -> np.ndarray:
    """(N, 3) uint8: a dense grid with all extremes, every near-black colour, random colours."""
    grid = np.r_[0:256:7, 1, 2, 127, 128, 254, 255]
    dark = np.arange(24)
    cubes = [np.stack(np.meshgrid(g, g, g), -1).reshape(-1, 3) for g in (grid, dark)]
    random = np.random.default_rng(0).integers(0, 256, (50_000, 3))
    return np.concatenate([*cubes, random]).astype(np.uint8)


def as_images(rgb: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(rgb.astype(np.float32) / 255).T[None, :, None, :].contiguous()


def converted(rgb: np.ndarray, spec: str) -> np.ndarray:
    return colorspace.stack(as_images(rgb), spec)[0, :, 0].numpy().T.astype(np.float64)


def opencv(rgb: np.ndarray, name: str) -> np.ndarray:
    """(N, 3) in [0, 1]: OpenCV's 8-bit conversion, scaled as the package documents."""
    if name == "rgb":
        return rgb / 255
    values = cv2.cvtColor(rgb[None], CODES[name])[0].astype(np.float64)
    if name == "ycbcr":
        values = values[:, [0, 2, 1]]
    return values / (np.array([180, 255, 255]) if name == "hsv" else 255)


@pytest.mark.parametrize("name", colorspace.spaces())
def test_agrees_with_opencv_8_bit(name):
    rgb = colours()
    got, expected = converted(rgb, name), opencv(rgb, name)
    difference = np.abs(got - expected)
    if name == "hsv":
        circle = np.minimum(difference[:, 0], 1 - difference[:, 0])
        difference[:, 0] = np.where(expected[:, 1] > 0, circle, 0)
    assert difference.max() <= 1 * STEP
    assert got.min() >= 0
    assert got.max() <= 1


def test_hand_worked_colours():
    # red, yellow, green, cyan, blue, magenta, black, grey, white
    rgb = np.array(
        [
            [255, 0, 0],
            [255, 255, 0],
            [0, 255, 0],
            [0, 255, 255],
            [0, 0, 255],
            [255, 0, 255],
            [0, 0, 0],
            [51, 51, 51],
            [255, 255, 255],
        ],
        dtype=np.uint8,
    )
    hue, saturation, value = converted(rgb, "hsv").T
    np.testing.assert_allclose(hue, [0, 1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(saturation, [1, 1, 1, 1, 1, 1, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(value, [1, 1, 1, 1, 1, 1, 0, 0.2, 1], atol=1e-6)
    lightness, *chroma = converted(rgb, "lab").T
    np.testing.assert_allclose(lightness[[6, 8]], [0, 1], atol=1e-4)
    np.testing.assert_allclose(np.array(chroma)[:, 6:], 128 / 255, atol=1e-3)
    luma, cb, cr = converted(rgb, "ycbcr").T
    np.testing.assert_allclose(luma[[0, 2, 4, 8]], [0.299, 0.587, 0.114, 1], atol=1e-6)
    np.testing.assert_allclose(np.r_[cb[6:], cr[6:]], 128 / 255, atol=1e-6)
    assert cb[4] == pytest.approx(1, abs=1e-3)
    assert cr[0] == pytest.approx(1, abs=1e-3)


def test_agrees_with_kornia():
    image = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    hsv = kornia.color.rgb_to_hsv(image)
    hsv[:, 0] /= 2 * torch.pi
    torch.testing.assert_close(colorspace.stack(image, "hsv"), hsv, atol=1e-4, rtol=0)
    lab = kornia.color.rgb_to_lab(image)
    lab = torch.stack([lab[:, 0] / 100, (lab[:, 1] + 128) / 255, (lab[:, 2] + 128) / 255], 1)
    torch.testing.assert_close(colorspace.stack(image, "lab"), lab, atol=3 * STEP, rtol=0)
    ycbcr = kornia.color.rgb_to_ycbcr(image)
    torch.testing.assert_close(colorspace.stack(image, "ycbcr"), ycbcr, atol=STEP, rtol=0)


@pytest.mark.parametrize("spec", [*COLORSPACES, "ycbcr+rgb", "rgb+hsv+lab+ycbcr"])
def test_stacks_in_the_order_of_the_spec(spec):
    image = torch.rand(2, 3, 5, 4)
    parts = [colorspace.stack(image, name) for name in spec.split("+")]
    assert torch.equal(colorspace.stack(image, spec), torch.cat(parts, dim=1))
    assert colorspace.channels(spec) == 3 * len(parts)
    assert colorspace.parse(spec) == tuple(spec.split("+"))


def test_the_papers_nine_sets():
    assert len(set(COLORSPACES)) == 9
    labels = [colorspace.label(spec) for spec in COLORSPACES]
    assert labels == [
        "RGB",
        "HSV",
        "CIELab",
        "YCbCr",
        "RGB+HSV",
        "RGB+CIELab",
        "RGB+YCbCr",
        "RGB+HSV+CIELab",
        "RGB+CIELab+YCbCr",
    ]


@pytest.mark.parametrize("spec", ["purple", "cielab", "RGB", "rgb+", "", "rgb, hsv", "rgb+rgb"])
def test_unknown_or_repeated_spaces_list_the_valid_names(spec):
    with pytest.raises(ValueError, match="hsv, lab, rgb, ycbcr"):
        colorspace.parse(spec)
    with pytest.raises(ValueError, match="hsv, lab, rgb, ycbcr"):
        colorspace.stack(torch.rand(1, 3, 2, 2), spec)


@pytest.mark.parametrize("shape", [(3, 4, 4), (1, 4, 4, 3), (1, 1, 4, 4), (2, 4, 4, 4)])
def test_wrong_shapes_are_named(shape):
    with pytest.raises(ValueError, match=r"\(B, 3, H, W\)"):
        colorspace.stack(torch.rand(shape), "rgb")


def test_integers_are_refused():
    with pytest.raises(ValueError, match="divide 8-bit images by 255"):
        colorspace.stack(torch.zeros(1, 3, 2, 2, dtype=torch.uint8), "rgb")


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float64, 1e-6), (torch.float16, 1e-3), (torch.bfloat16, 5e-3)],
)
def test_other_dtypes(dtype, tolerance):
    image = (torch.rand(2, 3, 8, 8) * 255).round() / 255
    image = image.to(dtype)
    got = colorspace.stack(image, "rgb+hsv+ycbcr")
    assert got.dtype == dtype
    exact = colorspace.stack(image.float(), "rgb+hsv+ycbcr")
    torch.testing.assert_close(got.float(), exact, atol=tolerance, rtol=0)


def test_values_outside_the_range_are_clamped():
    image = torch.tensor([-0.5, 0.25, 1.5]).view(1, 3, 1, 1)
    inside = image.clamp(0, 1)
    spec = "rgb+hsv+lab+ycbcr"
    assert torch.equal(colorspace.stack(image, spec), colorspace.stack(inside, spec))


def test_images_do_not_influence_each_other_and_input_is_not_changed():
    # Larger than what the CPU path converts at once, so that its seams are crossed.
    image = torch.rand(5, 3, 200, 180)
    before = image.clone()
    whole = colorspace.stack(image, "rgb+hsv+lab+ycbcr")
    for i in range(5):
        alone = colorspace.stack(image[i : i + 1], "rgb+hsv+lab+ycbcr")
        torch.testing.assert_close(whole[i : i + 1], alone, atol=1e-6, rtol=0)
    whole.zero_()
    colorspace.stack(image, "rgb").zero_()
    assert torch.equal(image, before)


def test_gradients_are_right_for_smooth_spaces_and_finite_everywhere():
    spec = "rgb+hsv+lab+ycbcr"
    corners = torch.cartesian_prod(*[torch.tensor([0, 0.04045, 0.5, 1.0])] * 3)
    image = corners.T[None, :, None, :].clone().requires_grad_()
    planes = colorspace.stack(image, spec)
    assert torch.equal(planes.detach(), colorspace.stack(image.detach(), spec))
    planes.sum().backward()
    assert image.grad is not None
    assert image.grad.isfinite().all()
    generator = torch.Generator().manual_seed(0)
    smooth = torch.rand(1, 3, 2, 2, dtype=torch.float64, generator=generator) * 0.8 + 0.1
    smooth.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: colorspace.stack(x, "rgb+hsv+ycbcr"), smooth)


def test_an_empty_batch_gives_an_empty_stack():
    assert colorspace.stack(torch.rand(0, 3, 4, 4), "rgb+lab").shape == (0, 6, 4, 4)


@settings(deadline=None)
@given(st.lists(st.sampled_from(colorspace.spaces()), unique=True, min_size=1))
def test_every_set_without_repetition_is_valid(names):
    assert colorspace.parse("+".join(names)) == tuple(names)

"""The residual descriptor as a network against a histogram counted by NumPy."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.special import softmax

from mcxlib import detectors
from mcxlib.config import load
from mcxlib.detectors.cooccurrence import Descriptor, cooccurrence

RAW = {"side": 0, "crop": 0}


def photograph(seed=0, shape=(70, 58)):
    """Grey, 8 bits: soft shapes and a little noise, so that all levels occur."""
    rng = np.random.default_rng(seed)
    image = gaussian_filter(rng.normal(size=shape), 4) * 300 + 128 + rng.normal(0, 0.4, shape)
    return np.clip(np.rint(image), 0, 255).astype(int)


def residuals(image):
    """Third differences along rows."""
    return image[:, :-3] - 3 * image[:, 1:-2] + 3 * image[:, 2:-1] - image[:, 3:]


def counted(levels, truncation):
    """Histogram of four neighbours in a row, one by one."""
    base = 2 * truncation + 1
    counts = np.zeros(base**4)
    for row in levels + truncation:
        for four in zip(row, row[1:], row[2:], row[3:], strict=False):
            counts[np.polyval(four, base)] += 1
    return counts / counts.sum()


def expected(image, quantum=2, truncation=1):
    """(2, bins): along and across, of horizontal and vertical differences."""
    found = np.zeros((2, (2 * truncation + 1) ** 4))
    for turned in (image, image.T):
        # np.rint takes a half to the even number: of 1/2, to 0.
        levels = np.clip(np.rint(residuals(turned) / quantum), -truncation, truncation).astype(int)
        found[0] += counted(levels, truncation) / 2
        found[1] += counted(levels.T, truncation) / 2
    return found


def as_images(*grey):
    return torch.tensor(np.stack(grey)[:, None] / 255, dtype=torch.float32).repeat(1, 3, 1, 1)


def describe(*grey, **settings):
    model = detectors.build("cozzolino", **RAW, **settings).eval()
    with torch.no_grad():
        return model.describe(as_images(*grey)).double().numpy()


class TestHistogram:
    @pytest.mark.parametrize(("quantum", "truncation"), [(2, 1), (3, 2), (1, 1)])
    @pytest.mark.parametrize("softness", [0.0, 1e-4])
    def test_is_the_counted_one_as_the_choice_hardens(self, quantum, truncation, softness):
        images = photograph(0), photograph(1)
        found = describe(*images, quantum=quantum, truncation=truncation, softness=softness)
        for image, own in zip(images, found, strict=True):
            reference = expected(image, quantum, truncation)
            assert (reference > 0).mean() > 0.3, "many bins are used"
            np.testing.assert_allclose(own, reference, atol=2e-7)

    def test_a_softer_choice_is_further_away(self):
        image = photograph()
        reference = expected(image)
        away = [
            np.abs(describe(image, softness=s)[0] - reference).max() for s in (1e-3, 0.03, 0.3, 3)
        ]
        assert away == sorted(away)
        assert away[0] < 0.01 < away[-1]

    def test_soft_by_hand(self):
        """Shares from the squared distance to each level, products of four, mean; in 64 bits."""
        image = photograph(2, (12, 9)).astype(float)
        layer = Descriptor(2.0, 1, 0.25).double()
        # Half way between two levels, without the hair's breadth that settles ties.
        with torch.no_grad():
            layer.offsets += 0.01 * layer.slopes.abs()
            found = layer(torch.tensor(image)[None, None])[0].numpy()
        along, across = np.zeros((2, 3, 3, 3, 3))
        for turned in (image, image.T):
            r = residuals(turned)[..., None]
            # -(r - q k)^2 / 2q is k r - q k^2 / 2 and something that all levels share.
            shares = softmax(-((r - 2 * np.arange(-1, 2)) ** 2) / 4 / (2 * 0.25), axis=2)
            for total, p in ((along, shares), (across, shares.transpose(1, 0, 2))):
                height, width, _ = p.shape
                for y, x in product(range(height), range(width - 3)):
                    four = np.einsum("a,b,c,d->abcd", *p[y, x : x + 4])
                    total += four / (height * (width - 3)) / 2
        np.testing.assert_allclose(found[0], along.ravel(), atol=1e-7)
        np.testing.assert_allclose(found[1], across.ravel(), atol=1e-7)

    @pytest.mark.parametrize("softness", [0.0, 0.25, 5.0])
    def test_adds_up_to_one(self, softness):
        rng = np.random.default_rng(0)
        noise = rng.integers(0, 256, (2, 58, 70))
        found = describe(*noise, softness=softness, truncation=2)
        assert found.shape == (2, 2, 625)
        np.testing.assert_allclose(found.sum(2), 1, atol=1e-5)

    def test_of_one_colour_everything_is_in_the_middle_bin(self):
        found = describe(np.full((32, 32), 77), softness=0.0)[0]
        np.testing.assert_array_equal(np.flatnonzero(found[0]), [40])
        np.testing.assert_array_equal(found[:, 40], 1)


class TestSymmetry:
    """Of a residual's sign and direction; square images, in which both directions count alike."""

    image = photograph(3, (64, 64))

    @pytest.mark.parametrize("softness", [0.0, 0.25])
    @pytest.mark.parametrize(
        ("change", "bins"),
        [
            (lambda image: 255 - image, lambda h: h[:, ::-1, ::-1, ::-1, ::-1]),
            (
                lambda image: image[::-1, ::-1],
                lambda h: h[:, ::-1, ::-1, ::-1, ::-1].transpose(0, 4, 3, 2, 1),
            ),
            (lambda image: image.T, lambda h: h),
        ],
        ids=["negative", "turned by 180 degrees", "transposed"],
    )
    def test_bins_change_places(self, change, bins, softness):
        own, other = describe(self.image, change(self.image), softness=softness)
        moved = bins(own.reshape(2, 3, 3, 3, 3)).reshape(2, 81)
        np.testing.assert_allclose(other, moved, atol=2e-4 if softness else 2e-7)

    def test_a_mirror_changes_half_of_the_bins(self):
        """Horizontal differences change sign and order; vertical ones only their order across."""
        model = detectors.build("cozzolino", **RAW, softness=0.0).eval()
        grey = torch.tensor(np.stack([self.image, self.image[:, ::-1]]), dtype=torch.float32)
        with torch.no_grad():
            layer = model.descriptor
            shares = layer.assign(
                torch.nn.functional.conv2d(grey[:, None], layer.filters[0].view(1, 1, 1, 4))
            )
            along, across = cooccurrence(shares), cooccurrence(shares.transpose(2, 3))
        own, other = along.reshape(2, 3, 3, 3, 3)
        assert torch.equal(other, own.flip(0, 1, 2, 3).permute(3, 2, 1, 0))
        own, other = across.reshape(2, 3, 3, 3, 3)
        assert torch.equal(other, own.flip(0, 1, 2, 3))


class TestLearning:
    def test_gradients_are_those_of_finite_differences(self):
        layer = Descriptor(2.0, 1, 0.5).double()
        grey = torch.tensor(photograph(4, (10, 11)), dtype=torch.float64)[None, None]
        with torch.no_grad():
            # With filters that differ, nothing cancels.
            layer.filters += 0.1 * torch.randn(2, 4, generator=torch.Generator().manual_seed(0))

        def histograms(filters, slopes, offsets):
            values = {"filters": filters, "slopes": slopes, "offsets": offsets}
            return torch.func.functional_call(layer, values, (grey,))

        values = [p.detach().clone().requires_grad_() for p in layer.parameters()]
        assert torch.autograd.gradcheck(histograms, values)

    @pytest.mark.parametrize(
        ("relaxed", "softness", "learns"), [(True, 0.25, True), (False, 0.25, False), (True, 0, 0)]
    )
    def test_the_descriptor_learns_if_it_may(self, relaxed, softness, learns):
        model = detectors.build("cozzolino", **RAW, relaxed=relaxed, softness=softness).train()
        images = as_images(*(photograph(s) for s in range(6)))
        model.losses(images, torch.arange(6) % 3)["total"].backward()
        moved = [p.grad is not None and bool(p.grad.abs().sum() > 0) for p in model.parameters()]
        assert moved == [learns] * 3 + [True] * 2
        assert [p.requires_grad for p in model.descriptor.parameters()] == [learns] * 3
        assert model.descriptor.filters.tolist() == [[1, -3, 3, -1]] * 2

    def test_bins_are_standardised(self):
        model = detectors.build("cozzolino", **RAW).train()
        images = as_images(*(photograph(s) for s in range(8)))
        with torch.no_grad():
            found = model.features(images).double().numpy()
            bins = 81 * model.describe(images).double().numpy().reshape(8, 162)
        reference = (bins - bins.mean(0)) / np.sqrt(bins.var(0) + 1e-2)
        np.testing.assert_allclose(found, reference, atol=1e-4)
        assert sum(p.numel() for p in model.parameters()) == 8 + 3 + 3 + 5 * (162 + 1)


class TestWhatIsSeen:
    def test_grey_of_the_middle(self):
        model = detectors.build("cozzolino").eval()
        seen = []
        model.descriptor.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        images = torch.rand(1, 3, 256, 256)
        with torch.no_grad():
            model(images)
            model(torch.rand(1, 3, 448, 448))
        red, green, blue = 255 * images.double().numpy()[0, :, 64:192, 64:192]
        grey = 0.299 * red + 0.587 * green + 0.114 * blue
        np.testing.assert_allclose(seen[0][0, 0], grey, rtol=1e-5)
        assert seen[1].shape == (1, 1, 128, 128)

    def test_autocast_leaves_the_histogram_as_it_is(self):
        model = detectors.build("cozzolino", **RAW).eval()
        images = as_images(photograph())
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            half = model.describe(images)
        assert half.dtype == torch.float32
        with torch.no_grad():
            assert torch.equal(half, model.describe(images))

    def test_faces_that_are_too_small(self):
        with pytest.raises(ValueError, match=r"no four residuals side by side; .* 7 x 7"):
            detectors.build("cozzolino", **RAW)(torch.rand(2, 3, 6, 20))
        with pytest.raises(ValueError, match=r"cozzolino: no central 128 x 128"):
            detectors.build("cozzolino", side=0)(torch.rand(2, 3, 64, 64))


def test_settings_of_the_paper():
    config = load("paper", detector="cozzolino")
    assert config.label == "Cozzolino et al."
    assert (config.train.optimizer, config.train.lr, config.model.relaxed) == ("adam", 1e-5, True)


def test_no_share_is_too_small_to_be_a_normal_number():
    """Four of them multiply to nothing or to a normal number, and the histogram is that of 64 bits
    without any such limit."""
    residuals = torch.linspace(-300, 300, 24 * 25).view(1, 1, 24, 25)
    layer = Descriptor(2.0, 1, 0.25)
    shares = layer.assign(residuals).detach()
    kept = shares[shares > 0]
    assert len(kept) < shares.numel() / 2
    assert kept.min() ** 4 >= torch.finfo(torch.float32).tiny
    scores = residuals.double() * layer.slopes.double()[:, None, None]
    exact = ((scores + layer.offsets.double()[:, None, None]) / layer.width).softmax(1).detach()
    torch.testing.assert_close(shares.double(), exact, atol=1e-6, rtol=0)
    for dim in (2, 3):
        windows = exact[0].unfold(dim - 1, 4, 1).flatten(1, 2)
        expected = torch.einsum("ip,jp,kp,lp->ijkl", *windows.unbind(2)) / windows.shape[1]
        found = cooccurrence(shares, dim)[0].double()
        torch.testing.assert_close(found, expected.flatten(), atol=1e-6, rtol=0)

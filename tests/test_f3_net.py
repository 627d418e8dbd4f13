"""F3-Net against SciPy's cosine transform, loops over windows and rows, and published counts."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import torch
from scipy.fft import dctn, idctn
from scipy.special import expit, softmax
from torch import nn

from mcxlib import detectors
from mcxlib.detectors.dct import band, dct_matrix
from mcxlib.detectors.f3_net import FrequencyDecomposition, LocalStatistics, MixBlock

SLIM = {"backbone": "slim_xception", "side": 32}


def mask(size, keep):
    """1 where ``keep(i + j)``, cell by cell."""
    return np.array([[float(keep(i + j)) for j in range(size)] for i in range(size)])


@pytest.mark.parametrize("size", [10, 64, 299])
def test_the_matrix_is_the_orthonormal_transform(size):
    matrix = dct_matrix(size).numpy()
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(size), atol=1e-12)
    image = np.random.default_rng(0).normal(size=(size, size))
    np.testing.assert_allclose(matrix @ image @ matrix.T, dctn(image, norm="ortho"), atol=1e-11)


class TestDecomposition:
    @pytest.mark.parametrize("side", [64, 256, 299, 380])
    def test_bands_share_nothing_and_leave_nothing_out(self, side):
        fixed = FrequencyDecomposition(side, closed=False).bands.fixed
        assert torch.equal(fixed[:3].sum(0), torch.ones(side, side))
        assert torch.equal(fixed[3], torch.ones(side, side))
        low, middle = side / 2.82, side / 2
        np.testing.assert_array_equal(fixed[0], mask(side, lambda s: s < low))
        np.testing.assert_array_equal(fixed[1], mask(side, lambda s: low <= s < middle))
        shares = fixed.mean((1, 2)).tolist()
        assert shares == pytest.approx([1 / 16, 1 / 16, 7 / 8, 1], abs=0.006)

    @pytest.mark.parametrize(("side", "shared"), [(299, 257), (256, 220), (380, 326)])
    def test_the_ports_bands_share_diagonals(self, side, shared):
        fixed = FrequencyDecomposition(side, closed=True).bands.fixed
        assert fixed[:3].sum() - side * side == shared
        if side == 299:
            assert fixed[:3].mean((1, 2)).tolist() == pytest.approx(
                [0.0646, 0.0632, 0.875], abs=5e-4
            )

    def test_without_learned_weights_the_parts_add_up_to_the_image(self):
        front = FrequencyDecomposition(48, closed=False)
        nn.init.zeros_(front.bands.learned)
        images = torch.rand(2, 3, 48, 48) * 2 - 1
        with torch.no_grad():
            low, middle, high, whole = front(images).split(3, dim=1)
        torch.testing.assert_close(low + middle + high, images, atol=1e-5, rtol=0)
        torch.testing.assert_close(whole, images, atol=1e-5, rtol=0)
        assert low.std() > 0.01 < high.std()

    @pytest.mark.parametrize("closed", [False, True])
    def test_learned_bands_by_scipy(self, closed):
        """One weight a frequency and band, the same for all three channels."""
        torch.manual_seed(0)
        side = 40
        front = FrequencyDecomposition(side, closed)
        nn.init.normal_(front.bands.learned)
        images = np.random.default_rng(0).uniform(-1, 1, size=(2, 3, side, side))
        with torch.no_grad():
            found = front(torch.tensor(images).float()).numpy()
        learned = 2 * expit(front.bands.learned.detach().double().numpy()) - 1
        a, b = (14, 20) if closed else (side / 2.82, side / 2)
        last = (lambda s: s <= b) if closed else (lambda s: s < b)
        keep = [
            (lambda s: s <= a) if closed else (lambda s: s < a),
            lambda s: s >= a and last(s),
            lambda s: s >= b,
            lambda s: True,
        ]
        for i, image in enumerate(images):
            for k in range(4):
                for c in range(3):
                    part = dctn(image[c], norm="ortho") * (mask(side, keep[k]) + learned[k])
                    expected = idctn(part, norm="ortho")
                    np.testing.assert_allclose(found[i, 3 * k + c], expected, atol=2e-5)

    def test_learned_weights_start_small_and_are_kept(self):
        front = FrequencyDecomposition(299, closed=False)
        assert front.bands.learned.std().item() == pytest.approx(0.1, rel=0.02)
        assert front.state_dict().keys() == {"bands.learned"}, "constants are no weights"


def windows(grey):
    """All 10 x 10 windows at every second pixel of the image with a border of 4, by a loop."""
    padded = np.pad(grey, 4)
    rows = range(0, len(padded) - 9, 2)
    return np.array([[padded[i : i + 10, j : j + 10] for j in rows] for i in rows])


class TestStatistics:
    @pytest.mark.parametrize("port", [False, True])
    def test_windows_by_scipy(self, port):
        torch.manual_seed(0)
        front = LocalStatistics(port)
        nn.init.normal_(front.bands.learned)
        image = np.random.default_rng(0).random((3, 26, 26))
        with torch.no_grad():
            found = front(torch.tensor(image).float()[None])[0].numpy()
        grey = 0.299 * image[0] + 0.587 * image[1] + 0.114 * image[2]
        white = 245 if port else 255
        spectra = np.abs(dctn(windows(grey * white), axes=(2, 3), norm="ortho"))
        learned = 2 * expit(front.bands.learned.detach().double().numpy()) - 1
        counts = (10, 18, 36, 30, 12, 3) if port else (10, 18, 27, 30, 12, 3)
        assert found.shape == (6, 13, 13)
        for k in range(6):
            a, b = 20 * k / 6, 20 * (k + 1) / 6
            inside = mask(10, lambda s, a=a, b=b: a <= s <= b if port else a <= s < b)
            assert inside.sum() == counts[k]
            weights = inside + learned[k]
            if port:
                expected = (np.log10(spectra + 1e-15) * weights).sum((2, 3)) / counts[k]
            else:
                expected = np.log10(np.abs(spectra * weights).sum((2, 3)) / counts[k] + 1e-15)
            np.testing.assert_allclose(found[k], expected, atol=2e-3)

    def test_half_the_size_and_finite_on_black(self):
        front = LocalStatistics(port=False)
        with torch.no_grad():
            found = front(torch.zeros(1, 3, 299, 299))
        assert found.shape == (1, 6, 149, 149)
        assert torch.allclose(found, torch.full_like(found, -15.0))

    def test_bands_of_windows_share_nothing(self):
        fixed = LocalStatistics(port=False).bands.fixed
        assert torch.equal(fixed.sum(0), torch.ones(10, 10))

    def test_half_precision_images_and_autocast_do_not_round_the_spectrum(self):
        """In 8 bits of mantissa the finest bands would be the rounding of the coarsest."""
        model = detectors.build("f3-net", **SLIM).eval()
        images = torch.full((1, 3, 32, 32), 0.5) + torch.linspace(0, 0.25, 32)
        with torch.no_grad():
            exact = model._streams(images)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                found = model._streams(images)
        assert all(torch.equal(a, b) for a, b in zip(exact, found, strict=True))


class TestMixBlock:
    @pytest.mark.parametrize("training", [True, False])
    def test_at_first_the_maps_pass_unchanged(self, training):
        block = MixBlock(8).train(training)
        maps = [torch.randn(2, 8, 5, 5) for _ in range(2)]
        for before, after in zip(maps, block(maps), strict=True):
            torch.testing.assert_close(after, before, atol=1e-6, rtol=0)

    def test_by_hand(self):
        """Each channel alone: rows of both streams side by side; what is given is the other's."""
        torch.manual_seed(0)
        block = MixBlock(3).eval()
        for parameter in block.parameters():
            nn.init.normal_(parameter, std=0.5)
        maps = [torch.randn(2, 3, 4, 4) for _ in range(2)]
        with torch.no_grad():
            found = [m.numpy() for m in block(maps)]
        state = {k: v.double().numpy() for k, v in block.state_dict().items()}
        fad, lfs = (m.double().numpy() for m in maps)

        def project(kind, stream, x):
            weight, bias = state[f"{kind}.{stream}.weight"], state[f"{kind}.{stream}.bias"]
            return np.einsum("oc,bchw->bohw", weight[:, :, 0, 0], x) + bias[:, None, None]

        attention = np.empty_like(fad)
        for b in range(2):
            for c in range(3):
                energy = np.zeros((4, 4))
                for stream, x in enumerate((fad, lfs)):
                    query, key = (project(kind, stream, x)[b, c] for kind in ("queries", "keys"))
                    energy += query @ key.T
                attention[b, c] = softmax(energy, axis=1)
        gamma = 2 * expit(state["shares"]) - 1
        for stream, (own, other) in enumerate(((fad, lfs), (lfs, fad))):
            given = other * attention * gamma[1 - stream]
            name = f"scales.{stream}"
            scaled = (
                given * state[f"{name}.0.weight"][:, :, 0] + state[f"{name}.0.bias"][:, None, None]
            )
            scaled = scaled / np.sqrt(1 + 1e-5) * state[f"{name}.1.weight"][:, None, None]
            expected = own + scaled + state[f"{name}.1.bias"][:, None, None]
            np.testing.assert_allclose(found[stream], expected, atol=1e-5)

    def test_maps_that_do_not_match_are_refused(self):
        with pytest.raises(ValueError, match=r"f3-net.*\(4, 4\) and \(5, 5\).*another side"):
            MixBlock(2)([torch.rand(1, 2, 4, 4), torch.rand(1, 2, 5, 5)])
        with pytest.raises(ValueError, match="square"):
            MixBlock(2)([torch.rand(1, 2, 4, 5), torch.rand(1, 2, 4, 5)])


def count(**settings):
    return sum(p.numel() for p in detectors.build("f3-net", **settings).parameters())


class TestCounts:
    """Published ones hold two transforms and the fixed bands (no weights here), and a classifier
    of 2,049 in each Xception that nothing uses."""

    unused = 2048 + 1
    fixed: ClassVar = {"fad": 2 * 299**2 + 4 * 299**2, "lfs": 2 * 10**2 + 6 * 10**2 + 6}

    @pytest.mark.parametrize(
        ("streams", "published", "trainable"),
        [("fad", 21_707_652, 21_171_246), ("lfs", 20_813_320, None)],
    )
    def test_one_stream(self, streams, published, trainable):
        found = count(streams=streams)
        assert found + self.unused + self.fixed[streams] == published
        if trainable:
            assert found + self.unused == trainable

    def test_both_and_the_mix_blocks(self):
        both = count(mix=False)
        assert both + 2 * self.unused + sum(self.fixed.values()) == 42_520_971
        assert both + 2 * self.unused == 41_983_759
        # Queries and keys of both, two shares, a weight, a bias and a normalisation a channel.
        blocks = [4 * (c * c + c) + 2 + 2 * (2 * c + 2 * c) for c in (728, 1024)]
        assert blocks[0] == 2_128_674
        assert count() == both + sum(blocks)
        assert sum(p.numel() for p in MixBlock(728).parameters()) == 2_128_674


class TestNetwork:
    def test_both_streams_meet_with_maps_of_one_size(self):
        """At 299 px: 19 px after the seventh block, 10 after the twelfth, of 728 and 1024."""
        model = detectors.build("f3-net").eval()
        seen = []
        for block in model.mixes.values():
            block.register_forward_hook(
                lambda _, inputs, outputs: seen.extend(x.shape[1:] for x in (*inputs[0], *outputs))
            )
        with torch.no_grad():
            features = model.features(torch.rand(1, 3, 299, 299))
        assert seen == [(728, 19, 19)] * 4 + [(1024, 10, 10)] * 4
        assert features.shape == (1, 4096)
        assert list(model.mixes) == ["7", "12"]

    @pytest.mark.parametrize("side", [32, 48, 56, 64, 96, 256])
    def test_other_sides_match_too(self, side):
        for backbone in ("slim_xception", "legacy_xception")[: 1 if side < 256 else 2]:
            model = detectors.build("f3-net", backbone=backbone, side=side).eval()
            with torch.no_grad():
                assert model(torch.rand(1, 3, 40, 40)).shape == (1, 1)

    def test_streams_are_timm_s_xception_with_other_first_layers(self):
        """FAD's through timm's own forward pass; LFS's starts at stride 1."""
        torch.manual_seed(0)
        model = detectors.build("f3-net", mix=False, backbone="legacy_xception", side=96).eval()
        images = torch.rand(2, 3, 96, 96)
        with torch.no_grad():
            fad, lfs = model._streams(images)
            expected = [model.networks["fad"](fad), model.networks["lfs"](lfs)]
            torch.testing.assert_close(model.features(images), torch.cat(expected, 1))
        first = [
            next(m for m in n.modules() if isinstance(m, nn.Conv2d))
            for n in model.networks.values()
        ]
        assert [(m.in_channels, m.stride) for m in first] == [(12, (2, 2)), (6, (1, 1))]
        nn.init.zeros_(model.fronts["fad"].bands.learned)
        with torch.no_grad():
            whole = model._streams(images)[0][:, 9:]
        torch.testing.assert_close(whole, (images - 0.5) / 0.5, atol=1e-5, rtol=0)

    def test_untrained_mix_blocks_change_nothing(self):
        torch.manual_seed(0)
        mixed = detectors.build("f3-net", **SLIM).eval()
        plain = detectors.build("f3-net", **SLIM, mix=False).eval()
        missing = plain.load_state_dict(mixed.state_dict(), strict=False)
        assert not missing.missing_keys
        images = torch.rand(3, 3, 32, 32)
        with torch.no_grad():
            before = mixed(images)
            torch.testing.assert_close(before, plain(images))
            for block in mixed.mixes.values():
                nn.init.ones_(block.shares)
            assert not torch.allclose(mixed(images), before)

    def test_learned_bands_are_trained_and_so_are_the_shares(self):
        model = detectors.build("f3-net", **SLIM)
        model.losses(torch.rand(4, 3, 32, 32), torch.tensor([0, 1, 2, 0]))["total"].backward()
        for front in model.fronts.values():
            assert front.bands.learned.grad.abs().amax((1, 2)).min() > 0
        assert all(block.shares.grad.abs().min() > 0 for block in model.mixes.values())

    def test_one_output_is_fake_and_the_loss_is_binary(self):
        model = detectors.build("f3-net", **SLIM).eval()
        logit = torch.tensor([[2.0], [-3.0]])
        fake = 1 / (1 + np.exp(-logit.double().numpy()[:, 0]))
        np.testing.assert_allclose(model.fake_score(logit), fake, atol=1e-7)
        images, labels = torch.rand(4, 3, 32, 32), torch.tensor([0, 1, 2, 0])
        with torch.no_grad():
            p = 1 / (1 + np.exp(-model(images)[:, 0].double().numpy()))
            found = model.losses(images, labels)["total"].item()
        expected = -np.log([1 - p[0], p[1], p[2], 1 - p[3]]).mean()
        assert found == pytest.approx(expected, rel=1e-5)

    def test_faces_are_scaled_and_other_networks_refused(self):
        model = detectors.build("f3-net", **SLIM).eval()
        flat = torch.rand(1, 3, 1, 1)
        with torch.no_grad():
            small = model(flat.expand(1, 3, 32, 32))
            large = model(flat.expand(1, 3, 100, 80))
        torch.testing.assert_close(small, large, atol=1e-3, rtol=1e-3)
        with pytest.raises(ValueError, match=r"must be an Xception.*not 'resnet18'"):
            detectors.build("f3-net", backbone="resnet18")


def test_bands_are_half_open_or_closed():
    np.testing.assert_array_equal(band(3, 1, 2), [[0, 1, 0], [1, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(band(3, 1, 2, closed=True), [[0, 1, 1], [1, 1, 0], [1, 0, 0]])

"""DCL: its losses against loops over pairs, its memory against a plain list, its two views."""

from __future__ import annotations

import copy
import math
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn
from torchvision import tv_tensors
from torchvision.transforms import v2

from mcxlib import detectors
from mcxlib.detectors import dcl_views
from mcxlib.detectors.dcl_losses import cells, inter_loss, intra_loss, on_grid
from mcxlib.detectors.dcl_views import shuffle_patches, srm_residual, two_views

SLIM = {"backbone": "slim_efficientnet", "side": 0, "grid": 4, "queue": 7, "hard": 2}


def unit(*shape, seed=0):
    rows = np.random.default_rng(seed).normal(size=shape)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


class TestInterInstance:
    def test_cross_entropy_of_the_whole_matrix(self):
        queries, keys, queues = unit(6, 9), unit(6, 9, seed=1), unit(2, 11, 9, seed=2)
        fake = np.array([0, 1, 1, 0, 0, 1], dtype=bool)
        expected = []
        for query, key, is_fake in zip(queries, keys, fake, strict=True):
            others = queues[0 if is_fake else 1]
            shares = np.exp(np.array([query @ key, *(others @ query)]) / 0.07)
            expected.append(-math.log(shares[0] / shares.sum()))
        found = inter_loss(*map(torch.tensor, (queries, keys, fake, queues)), 0.07)
        assert found.item() == pytest.approx(np.mean(expected), rel=1e-10)

    def test_by_hand(self):
        """Its own key at cosine 1, three of the other class at 0, at temperature 1: e of e + 3."""
        rows = torch.eye(4)
        queues = torch.stack([rows[1:], rows[:1].expand(3, -1)])
        fake = torch.tensor([True])
        found = inter_loss(rows[:1], rows[:1], fake, queues, 1.0)
        assert found.item() == pytest.approx(math.log((math.e + 3) / math.e))


def by_pairs(maps, forged, untouched, fake, temperature):
    """Means over the fakes and over the real faces that have a term, pair by pair."""
    of_fakes, of_real = [], []
    for rows, bad, good, is_fake in zip(maps, forged, untouched, fake, strict=True):
        rows = rows.reshape(len(rows), -1).T
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        good, bad = np.flatnonzero(good), np.flatnonzero(bad)
        known = [*good, *bad]

        def total(first, second, rows=rows):
            return sum(math.exp(rows[i] @ rows[j] / temperature) for i in first for j in second)

        if is_fake and len(good) and len(bad):
            of_fakes.append(-math.log(total(good, good) / (total(good, good) + total(bad, good))))
        if not is_fake and known:
            mean = total(known, known) / len(known) ** 2
            of_real.append(-math.log(mean / math.exp(1 / temperature)))
    return (np.mean(x) if x else 0.0 for x in (of_fakes, of_real))


def some_masks():
    """Eight faces on a 4 x 4 grid of 3 x 3 pixels: forged, part of a cell, unknown, whole, ..."""
    masks = np.zeros((8, 1, 12, 12))
    masks[0, 0, :6, :6] = 1
    masks[1, 0, 3:9] = 0.4
    masks[1, 0, 0, 0] = np.nan
    masks[2] = 1
    masks[3, 0, 5, 5] = 0.05  # of nine pixels: 0.0056 of a cell, neither forged nor untouched
    masks[4] = np.nan
    masks[6, 0, 6:] = np.nan
    masks[7] = np.nan
    return masks, np.array([1, 1, 1, 1, 1, 0, 0, 0], dtype=bool)


class TestIntraInstance:
    def test_which_cells_are_what(self):
        masks, _ = some_masks()
        forged, untouched = cells(torch.tensor(masks), 4)
        pixels = masks.reshape(8, 4, 3, 4, 3).transpose(0, 1, 3, 2, 4).reshape(8, 16, 9)
        mean = pixels.mean(2)  # NaN where a pixel is
        np.testing.assert_array_equal(forged, mean > 0.01)
        np.testing.assert_array_equal(untouched, mean == 0)
        assert (~forged & ~untouched)[3].sum() == 1
        assert not (forged | untouched)[4].any()

    @pytest.mark.parametrize("temperature", [0.07, 1.0])
    def test_pair_by_pair(self, temperature):
        masks, fake = some_masks()
        maps = np.random.default_rng(3).normal(size=(8, 5, 4, 4))
        forged, untouched = (x.numpy() for x in cells(torch.tensor(masks), 4))
        expected = [*by_pairs(maps, forged, untouched, fake, temperature)]
        found = intra_loss(torch.tensor(maps), torch.tensor(masks), torch.tensor(fake), temperature)
        # Similarities are taken in 32 bits.
        np.testing.assert_allclose([x.item() for x in found], expected, rtol=1e-5)
        assert min(expected) > 0.01

    def test_cells_outside_a_mask_are_left_out_and_not_set_to_zero(self):
        """Two untouched cells alike, two forged at right angles: 4 pairs of cosine 1 and 4 of 0.
        Multiplied by a mask of zeros, every other pair would enter with exp(0)."""
        maps = torch.tensor([[1.0, 1, 0, 0], [0, 0, 1, 1]]).view(1, 2, 2, 2)
        masks = torch.tensor([0.0, 0, 1, 1]).view(1, 1, 2, 2)
        found, _ = intra_loss(maps, masks, torch.tensor([True]), 1.0)
        e = math.e
        assert found.item() == pytest.approx(math.log((4 * e + 4) / (4 * e)), rel=1e-6)
        port = -math.log((4 * e + 12) / (4 * e + 12 + 16))
        assert abs(found.item() - port) > 0.1

    def test_real_faces_never_fall_below_zero_and_have_the_gradient_of_the_plain_sum(self):
        fake, masks = torch.tensor([False]), torch.zeros(1, 1, 3, 3)
        assert intra_loss(torch.ones(1, 4, 3, 3), masks, fake, 0.07)[1].item() == pytest.approx(
            0, abs=1e-4
        )
        maps = torch.randn(1, 4, 3, 3, requires_grad=True)
        (found,) = torch.autograd.grad(intra_loss(maps, masks, fake, 0.5)[1], maps)
        rows = nn.functional.normalize(maps.flatten(2)[0].T, dim=1)
        (expected,) = torch.autograd.grad(-(rows @ rows.T / 0.5).exp().sum().log(), maps)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)

    @pytest.mark.parametrize(
        ("fake", "mask"),
        [(True, torch.nan), (True, 0.0), (True, 1.0), (False, torch.nan)],
    )
    def test_nothing_to_compare_is_zero_with_finite_gradients(self, fake, mask):
        maps = torch.randn(3, 4, 2, 2, requires_grad=True)
        masks, labels = torch.full((3, 1, 8, 8), mask), torch.full((3,), fake)
        found = intra_loss(maps, masks, labels, 0.07)
        assert [x.item() for x in found] == [0, 0]
        sum(found).backward()
        assert maps.grad.eq(0).all()


class TestMemory:
    def filled(self):
        torch.manual_seed(0)
        return detectors.build("dcl", **SLIM, prototype_momentum=0.8)

    def test_queues_go_round_and_hold_the_hardest(self):
        """Against plain lists, over a queue of 7 that 2 do not divide; classes of 0 to 4."""
        model = self.filled()
        start, prototypes = (
            model.memory.queues.double().numpy(),
            model.memory.prototypes.double().numpy(),
        )
        rings, at = [[*start[0]], [*start[1]]], [0, 0]
        counts = [(4, 3), (1, 4), (0, 2), (3, 0), (4, 4), (2, 1), (3, 3), (4, 2)]
        for step, (real, fakes) in enumerate(counts):
            keys = unit(real + fakes, 16, seed=step).astype(np.float32)
            fake = np.arange(real + fakes) >= real
            model.memory.remember(torch.tensor(keys), torch.tensor(fake))
            for kind in (0, 1):
                own = keys[fake == kind].astype(np.float64)
                if len(own):
                    prototypes[kind] = 0.8 * prototypes[kind] + 0.2 * own.mean(0)
            for kind in (0, 1):
                own = keys[fake == kind]
                hardest = own[np.argsort(-(own @ prototypes[1 - kind]))[:2]]
                for row in hardest:
                    rings[kind][at[kind] % 7] = row
                    at[kind] += 1
            np.testing.assert_allclose(model.memory.queues, rings, atol=1e-6)
            np.testing.assert_allclose(model.memory.prototypes, prototypes, atol=1e-6)
            assert model.memory.pointers.tolist() == [at[0] % 7, at[1] % 7]
        assert min(at) > 7, "both went round"

    def test_keys_that_are_no_numbers_are_not_kept(self):
        model = self.filled()
        keys = torch.tensor(unit(4, 16), dtype=torch.float32)
        keys[1] = torch.nan
        other = copy.deepcopy(model)
        model.memory.remember(keys, torch.tensor([0, 0, 0, 1]).bool())
        other.memory.remember(keys[[0, 2, 3]], torch.tensor([0, 0, 1]).bool())
        for name in ("queues", "prototypes", "pointers"):
            assert torch.equal(getattr(model.memory, name), getattr(other.memory, name))

    def test_evaluation_keeps_nothing(self):
        model = self.filled().eval()
        before = copy.deepcopy(model.state_dict())
        model.losses(torch.rand(6, 3, 32, 32), torch.arange(6) % 3)
        assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


class TestSecondEncoder:
    def test_its_weights_are_an_exact_moving_average(self):
        model = detectors.build("dcl", **SLIM, key_momentum=0.9)
        mine = {k: v.detach().double().numpy() for k, v in model.encoder.named_parameters()}
        expected = {k: v.copy() for k, v in mine.items()}
        rng = np.random.default_rng(0)
        for _ in range(3):
            with torch.no_grad():
                for name, value in model.encoder.named_parameters():
                    mine[name] = rng.normal(size=value.shape)
                    value.copy_(torch.tensor(mine[name]))
            model.after_step()
            expected = {k: 0.9 * v + 0.1 * mine[k] for k, v in expected.items()}
        state = model.state_dict()
        for name, value in expected.items():
            found = state[f"key.{name.replace('.', '__')}"]
            np.testing.assert_allclose(found, value, rtol=1e-5, atol=1e-6)

    def test_it_is_stored_and_no_parameter(self):
        model = detectors.build("dcl", **SLIM)
        stored = [k for k in model.state_dict() if k.startswith("key.")]
        assert len(stored) == len(model.encoder.state_dict())
        assert not any(name.startswith("key") for name, _ in model.named_parameters())

    def test_it_starts_as_the_first_and_has_statistics_of_its_own(self):
        model = detectors.build("dcl", **SLIM).eval()
        planes = torch.randn(4, 3, 32, 32)
        with torch.no_grad():
            _, expected = model.encoder(planes)
        own, together = model.key(model.encoder, planes)
        torch.testing.assert_close(own, expected)
        assert torch.equal(own, together)
        np.testing.assert_allclose(own.norm(dim=1), 1, atol=1e-5)
        model.train()
        before = copy.deepcopy(model.state_dict())
        model.key(model.encoder, planes)
        after = model.state_dict()
        changed = {k for k in after if not torch.equal(after[k], before[k])}
        assert {k.split("__")[-1] for k in changed} == {
            "running_mean",
            "running_var",
            "num_batches_tracked",
        }
        assert all(k.startswith("key.") for k in changed)

    def test_gradients_stay_in_the_first(self):
        model = detectors.build("dcl", **SLIM, warmup_share=0.0).train()
        model.losses(torch.rand(6, 3, 32, 32), torch.arange(6) % 3)["total"].backward()
        assert all(p.grad is not None for p in model.parameters())
        assert not any(b.requires_grad for b in model.buffers())


class TestViews:
    def test_patches_by_numpy(self):
        """Nine tiles by slices; of 17 x 16 pixels the last two rows and the last column stay."""
        image = torch.rand(2, 17, 16)
        order = [4, 0, 8, 1, 2, 3, 7, 5, 6]
        found = shuffle_patches(image, torch.tensor(order)).numpy()
        plain, expected = image.numpy(), image.numpy().copy()
        for to, at in enumerate(order):
            y, x, v, u = to // 3 * 5, to % 3 * 5, at // 3 * 5, at % 3 * 5
            expected[:, y : y + 5, x : x + 5] = plain[:, v : v + 5, u : u + 5]
        np.testing.assert_array_equal(found, expected)
        assert torch.equal(shuffle_patches(image, torch.arange(9)), image)

    def test_noise_residuals(self):
        """Second differences by SciPy; of the 5 x 5 kernel its polynomial, and that no plane of
        constant slope leaves anything."""
        image = torch.rand(3, 12, 14)
        found, grey = srm_residual(image).numpy(), image.double().sum(0).numpy()
        d2 = np.array([1.0, -2, 1])
        mid = slice(2, -2)
        across = ndimage.correlate1d(grey, d2, axis=1)
        both = ndimage.correlate1d(across, d2, axis=0)
        np.testing.assert_allclose(found[0][mid, mid], across[mid, mid] / 2, atol=1e-5)
        np.testing.assert_allclose(found[1][mid, mid], -both[mid, mid] / 4, atol=1e-5)
        dot = torch.zeros(3, 9, 9)
        dot[1, 4, 4] = 12
        kernel = srm_residual(dot)[2, 2:7, 2:7]
        assert kernel.diag().tolist() == [-1, -6, -12, -6, -1]
        assert kernel[0].tolist() == kernel[:, 4].tolist() == [-1, 2, -2, 2, -1]
        assert kernel[2].tolist() == [-2, 8, -12, 8, -2]
        ramp = torch.arange(9.0) + torch.arange(9.0)[:, None]
        assert srm_residual(ramp.expand(3, 9, 9))[:, mid, mid].abs().max() < 1e-4

    def test_the_mask_goes_where_the_first_view_s_pixels_go(self, monkeypatch):
        """A face that is its own mask, 1 where forged and 0.5 where unknown: turned, cut, flipped,
        scaled and shuffled, the two still agree but for edges, the cut-out and residuals."""
        monkeypatch.setattr(dcl_views, "_recolour", nn.Identity)
        face = torch.zeros(1, 48, 60)
        face[:, :22, :25] = 1
        face[:, 30:, 30:] = 0.5
        mask = face.masked_fill(face == 0.5, torch.nan)
        torch.manual_seed(0)
        first, _, moved = two_views(
            face.expand(40, 3, -1, -1), mask.expand(40, 1, -1, -1), [54, 54]
        )
        seen, moved = first[:, 0].numpy(), moved[:, 0].numpy()
        told = np.where(np.isnan(moved), 0.5, moved)
        assert set(np.unique(told)) == {0, 0.5, 1}
        assert (np.abs(seen - told) < 0.2).mean(axis=(1, 2)).min() > 0.85
        plain = nn.functional.interpolate(face[None], (54, 54))[0, 0].numpy()
        unmoved = (np.abs(seen - plain) < 0.2).mean(axis=(1, 2))
        assert np.median(unmoved) < 0.7, "the test could not fail otherwise"

    def test_places_are_torchvision_s(self):
        """Its pipeline on one image and mask after the other, without the cut-outs: the same
        numbers are drawn, masks are equal and images agree to rounding."""
        generator = torch.Generator().manual_seed(0)
        images = torch.rand(30, 3, 50, 40, generator=generator)
        masks = torch.rand(30, 1, 50, 40, generator=generator)
        bilinear = v2.InterpolationMode.BILINEAR
        turn = v2.Compose(
            [
                v2.Pad(8, padding_mode="reflect"),
                v2.RandomRotation(30, interpolation=bilinear),
                v2.CenterCrop([50, 40]),
            ]
        )
        first = v2.RandomApply([turn], p=0.5)
        crop = v2.RandomApply([v2.RandomResizedCrop([36, 44], scale=(0.5, 1.0))], p=0.5)
        then = v2.Compose([crop, v2.Resize([36, 44]), v2.RandomHorizontalFlip(0.5)])
        move = dcl_views._Move(50, 40, [36, 44])
        found, expected = [], []
        torch.manual_seed(5)
        for image in images:
            found.append(move.draw(image))
        torch.manual_seed(5)
        for image, mask, own in zip(images, masks, found, strict=True):
            both = first(tv_tensors.Image(image), tv_tensors.Mask(mask))
            hole = None
            if torch.rand(()) < 0.1:  # a side of 3 px: 40 of 299 times 25
                hole = int(torch.randint(0, 48, ())), int(torch.randint(0, 38, ()))
            assert own.hole == hole
            expected.append(then(*both))
        shown = [own._replace(hole=None) for own in found]
        views, moved = move.views(images.clone(), shown), move.masks(masks.clone(), shown)
        wanted, wanted_masks = (torch.stack(parts) for parts in zip(*expected, strict=True))
        torch.testing.assert_close(views, wanted.as_subclass(torch.Tensor), atol=3e-5, rtol=0)
        assert torch.equal(moved, wanted_masks.as_subclass(torch.Tensor))

    def test_three_in_four_are_shuffled_and_every_second_has_residuals(self, monkeypatch):
        monkeypatch.setattr(dcl_views, "_recolour", nn.Identity)
        monkeypatch.setattr(dcl_views._Move, "views", lambda _, images, found: images)
        monkeypatch.setattr(dcl_views._Move, "masks", lambda _, masks, found: masks)
        image = torch.rand(1, 3, 9, 9).expand(400, -1, -1, -1)
        torch.manual_seed(0)
        first, second, _ = two_views(image, torch.zeros(400, 1, 9, 9), [9, 9])
        same, added = (first == second).flatten(1).all(1), (second != image).flatten(1).any(1)
        assert same.double().mean().item() == pytest.approx(0.25, abs=0.06)
        assert added.double().mean().item() == pytest.approx(0.5, abs=0.08)
        torch.testing.assert_close(second[added][0], image[0] + srm_residual(image[0]))
        np.testing.assert_allclose(
            first.flatten(2).sort(2).values, second.flatten(2).sort(2).values, atol=1e-6
        )
        first, second, _ = two_views(image, torch.zeros(400, 1, 9, 9), [9, 9], 0.0, 0.0)
        assert torch.equal(first, image)
        assert torch.equal(second, image)

    def test_views_are_two_and_come_from_the_seed(self):
        images, masks = torch.rand(4, 3, 40, 40), torch.zeros(4, 1, 5, 5)
        kept = images.clone()
        torch.manual_seed(1)
        first = two_views(images, masks, [32, 32])
        torch.manual_seed(1)
        again = two_views(images, masks, [32, 32])
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
        assert [tuple(x.shape) for x in first] == [(4, 3, 32, 32), (4, 3, 32, 32), (4, 1, 32, 32)]
        assert not torch.equal(first[0], two_views(images, masks, [32, 32])[0])
        assert torch.equal(images, kept)

    @pytest.mark.parametrize(
        ("masks", "message"),
        [
            (torch.zeros(6, 8, 8), r"shape \(6, 1, h, w\)"),
            (torch.zeros(5, 1, 8, 8), r"shape \(6, 1, h, w\)"),
            (torch.zeros(6, 1, 8, 8, dtype=torch.long), "floating point"),
            (torch.full((6, 1, 8, 8), 255.0), r"in \[0, 1\]"),
        ],
    )
    def test_wrong_masks_are_refused(self, masks, message):
        model = detectors.build("dcl", **SLIM)
        with pytest.raises(ValueError, match=f"dcl: masks.*{message}"):
            model.losses(torch.rand(6, 3, 32, 32), torch.arange(6), masks)


class TestTotal:
    def test_warm_up_and_weights(self):
        model = detectors.build("dcl", **SLIM).train()
        images, labels = torch.rand(9, 3, 32, 32), torch.arange(9) % 3
        masks = torch.zeros(9, 1, 32, 32)
        masks[labels > 0, :, :20, :14] = 1
        queues = model.memory.queues.clone()
        model.before_step(0.0999)
        losses = model.losses(images, labels, masks)
        assert losses["total"] == losses["cross_entropy"]
        assert not torch.equal(model.memory.queues, queues), "queues fill before they are used"
        model.before_step(0.1)
        losses = {k: v.item() for k, v in model.losses(images, labels, masks).items()}
        assert min(losses["inter"], losses["intra"]) > 0
        contrast = losses["inter"] + 0.1 * losses["intra"]
        expected = 0.5 * losses["cross_entropy"] + 0.5 * contrast
        assert losses["total"] == pytest.approx(expected, rel=1e-5)

    @pytest.mark.parametrize("kind", [0, 2])
    @pytest.mark.parametrize("given", [False, True])
    def test_one_class_alone_is_finite(self, kind, given):
        model = detectors.build("dcl", **SLIM, warmup_share=0.0).train()
        masks = torch.full((5, 1, 8, 8), float(kind > 0)) if given else None
        before = copy.deepcopy(model.memory.state_dict())
        losses = model.losses(torch.rand(5, 3, 32, 32), torch.full((5,), kind), masks)
        losses["total"].backward()
        assert all(p.grad.isfinite().all() for p in model.parameters())
        assert (losses["intra"] > 0) == (given and kind == 0)
        absent = int(kind == 0)
        for name in ("queues", "prototypes", "pointers"):
            assert torch.equal(model.memory.state_dict()[name][absent], before[name][absent])

    def test_masks_reach_the_fakes(self):
        model = detectors.build("dcl", **SLIM).train()
        images, labels = torch.rand(4, 3, 32, 32), torch.tensor([0, 1, 1, 2])
        masks = torch.full((4, 1, 32, 32), torch.nan)
        assert model.losses(images, labels, masks)["intra"] == 0
        masks[1] = 0
        masks[1, :, :16] = 1
        assert model.losses(images, labels, masks)["intra"] > 0


def test_any_size_and_the_published_one():
    """At 299 px the map has the grid's size, and an embedding is the map's plane itself."""
    torch.manual_seed(0)
    model = detectors.build("dcl", queue=8, outputs="classes").eval()
    assert sum(p.numel() for p in model.parameters()) == 17_548_616 + 1_793 + 1_792 * 5 + 5
    with torch.no_grad():
        maps, found = model.encoder(torch.rand(1, 3, 299, 299) * 2 - 1)
        state = model.encoder.squeeze.state_dict()
    assert maps.shape == (1, 1792, 10, 10)
    plane = np.tensordot(state["weight"][0, :, 0, 0].double(), maps[0].double(), 1)
    plane = (plane + state["bias"].item()).ravel()
    np.testing.assert_allclose(found[0], plane / np.linalg.norm(plane), rtol=1e-3, atol=1e-5)
    assert on_grid(maps, 10) is maps
    slim = detectors.build("dcl", **SLIM)
    for size in (33, 47, 64):
        assert slim.encoder(torch.rand(2, 3, size, size))[1].shape == (2, 16)


TWO = """
    import sys
    import torch
    import torch.distributed as dist
    from mcxlib import detectors
    from mcxlib.detectors import dcl

    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    torch.manual_seed(0)
    model = detectors.build("dcl", **eval(sys.argv[3]), warmup_share=0.0).train()
    model.encoder.eval()
    model.drop.eval()
    dcl.two_views = lambda images, masks, *more: (images, images.flip(3), masks)
    images, labels = torch.load(sys.argv[1])
    own = slice(6 * rank, 6 * rank + 6)
    for _ in range(2):
        model.losses(images[own], labels[own])["total"].backward()
    grads = {n: p.grad for n, p in model.named_parameters()}
    kept = {n: getattr(model.memory, n) for n in ("queues", "prototypes", "pointers")}
    torch.save((grads, kept), sys.argv[2] + str(rank))
    dist.destroy_process_group()
"""


def test_two_processes_share_one_memory_and_one_gradient(tmp_path, monkeypatch):
    """Against all faces in one process, statistics standing still: queues, and the mean of the
    gradients, which is what DDP makes of them."""
    script, batch = tmp_path / "two.py", tmp_path / "batch.pt"
    script.write_text(textwrap.dedent(TWO), encoding="utf-8")
    torch.manual_seed(1)
    images, labels = torch.rand(12, 3, 32, 32), torch.tensor([0, 0, 1, 2, 3, 0, 4, 0, 1, 1, 0, 2])
    torch.save((images, labels), batch)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*launch, str(script), str(batch), str(tmp_path / "found"), repr(SLIM)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (first, memory), (second, other) = (torch.load(tmp_path / f"found{rank}") for rank in (0, 1))
    monkeypatch.setattr(
        "mcxlib.detectors.dcl.two_views", lambda x, masks, *more: (x, x.flip(3), masks)
    )
    torch.manual_seed(0)
    model = detectors.build("dcl", **SLIM, warmup_share=0.0).train()
    model.encoder.eval()
    model.drop.eval()
    for _ in range(2):
        model.losses(images, labels)["total"].backward()
    for name, value in memory.items():
        assert torch.equal(value, other[name])
        torch.testing.assert_close(value, getattr(model.memory, name), rtol=1e-4, atol=1e-5)
    for name, parameter in model.named_parameters():
        mean = (first[name] + second[name]) / 2
        torch.testing.assert_close(mean, parameter.grad, rtol=1e-3, atol=1e-4)

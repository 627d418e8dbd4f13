"""Changes computed for many images at once, against torchvision's of one after the other."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.transforms import v2

from mcxlib.detectors import augment
from mcxlib.detectors.seferbekov_views import TRAINING, black_out, changed, to_square
from mcxlib.detectors.supcon import crop_and_flip, recolour
from mcxlib.detectors.together import applied, drawn, sampled, turned

BILINEAR = v2.InterpolationMode.BILINEAR
CHANGES = {
    "crop, smaller": crop_and_flip([24, 20], 0.2),
    "crop, larger": crop_and_flip([50, 64], 0.5),
    "colours": recolour(),
    "one colour": v2.RandomApply([augment.one_colour()], p=0.7),
    "noise": v2.RandomApply([augment.noise()], p=0.5),
    "blur": v2.RandomApply([augment.blur()], p=0.5),
    "moved": v2.RandomAffine(10, translate=(0.1, 0.1), scale=(0.8, 1.2), interpolation=BILINEAR),
    "compressed": v2.RandomApply([augment.Jpeg(60, 100)], p=0.5),
    "nothing": nn.Identity(),
}


@pytest.fixture(scope="module")
def images():
    """Of one colour, black, with equal largest channels, and at random; 40 x 36 px."""
    made = torch.rand(24, 3, 40, 36, generator=torch.Generator().manual_seed(0))
    made[0], made[1] = 0.5, 0.0
    made[2, 0] = made[2, 1]
    made[3] = torch.tensor([0.9, 0.2, 0.9])[:, None, None]
    return made


@pytest.mark.parametrize("name", CHANGES)
def test_as_one_image_after_the_other(name, images):
    """The same numbers are drawn, and the images agree to rounding."""
    change, kept = CHANGES[name], images.clone()
    torch.manual_seed(1)
    expected = torch.stack([change(image) for image in images])
    after = torch.rand(2)
    torch.manual_seed(1)
    numbers = [drawn(change, image) for image in images]
    assert torch.equal(torch.rand(2), after)
    torch.testing.assert_close(
        applied(change, images.clone(), numbers), expected, atol=3e-5, rtol=0
    )
    assert torch.equal(images, kept)
    if name != "nothing":
        same = expected.shape == images.shape and torch.allclose(expected, images)
        assert not same, "the test could not fail otherwise"


@pytest.mark.parametrize("side", [0, 30, 48])
def test_seferbekov_s_changes_in_their_order(side, images, monkeypatch):
    """Without noise, whose numbers depend on how an image lies in memory."""
    monkeypatch.setattr(augment, "noise", nn.Identity)
    before = [
        v2.RandomApply([v2.Lambda(black_out)], p=0.3),
        v2.RandomApply([augment.Jpeg(60, 100)], p=0.5),
        v2.RandomApply([nn.Identity()], p=0.1),
        v2.RandomApply([augment.blur()], p=0.05),
        v2.RandomHorizontalFlip(0.5),
    ]
    after = [
        v2.RandomApply([augment.one_colour()], p=0.7),
        v2.RandomGrayscale(p=0.2),
        v2.RandomApply([CHANGES["moved"]], p=0.5),
    ]
    torch.manual_seed(2)
    expected = []
    for image in images:
        resizing = TRAINING[int(torch.randint(3, ()))]
        expected.append(v2.Compose(after)(to_square(v2.Compose(before)(image), side, resizing)))
    torch.manual_seed(2)
    found = changed(images, side, 0.3)
    torch.testing.assert_close(found, torch.stack(expected), atol=3e-5, rtol=0)


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_turning_as_torchvision(mode):
    image = torch.rand(2, 1, 30, 40, generator=torch.Generator().manual_seed(0))
    places = torch.tensor([turned(-17.0), turned(25.0)])
    found = sampled(image, places, (10, 12), mode)
    for one, own, angle in zip(image, found, (17.0, -25.0), strict=True):
        whole = v2.functional.rotate(one, angle, v2.InterpolationMode(mode))
        torch.testing.assert_close(own, whole[:, 10:20, 14:26], atol=1e-5, rtol=0)


def test_an_unknown_change_is_refused():
    with pytest.raises(TypeError, match="no way is known to apply RandomPosterize"):
        drawn(v2.RandomPosterize(2), torch.rand(3, 4, 4))

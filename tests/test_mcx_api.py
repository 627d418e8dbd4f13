"""model: equations 1 and 2 against float64, normalisation, freezing, state, dtypes."""

import numpy as np
import pytest
import torch

from mcxlib import CLASSES, detectors
from mcxlib.detectors import backbones
from mcxlib.detectors.mcx_api import MCXAPI
from mcxlib.method import colorspace
from mcxlib.settings.matrix import COLORSPACES

ALL_SPECS = [*COLORSPACES, "rgb+hsv+lab+ycbcr"]


def build(spec: str, backbone: str, **options) -> MCXAPI:
    return detectors.build("mcx-api", colorspace=spec, backbone=backbone, **options)


def slim(spec: str = "rgb", **options) -> MCXAPI:
    torch.manual_seed(0)
    return build(spec, "slim_xception", **options)


@pytest.fixture(scope="module")
def evaluated() -> MCXAPI:
    return slim("rgb+hsv").eval()


def test_interaction_equals_the_equations(evaluated):
    rng = np.random.default_rng(0)
    x1, x2 = rng.normal(size=(2, 7, 256))
    weight = {k: v.double().numpy() for k, v in evaluated.state_dict().items()}
    model = slim("rgb+hsv").eval().double()
    got = model.interact(torch.tensor(x1), torch.tensor(x2))
    for row in range(7):
        hidden = weight["map1.weight"] @ np.r_[x1[row], x2[row]] + weight["map1.bias"]
        mutual = weight["map2.weight"] @ hidden + weight["map2.bias"]
        gate1 = 1 / (1 + np.exp(-mutual * x1[row]))
        gate2 = 1 / (1 + np.exp(-mutual * x2[row]))
        expected = {
            "first_self": x1[row] + x1[row] * gate1,
            "first_other": x1[row] + x1[row] * gate2,
            "second_self": x2[row] + x2[row] * gate2,
            "second_other": x2[row] + x2[row] * gate1,
        }
        for name, value in expected.items():
            np.testing.assert_allclose(getattr(got, name)[row].numpy(force=True), value, rtol=1e-10)


def test_classifier_is_one_linear_layer(evaluated):
    features = torch.randn(4, 256)
    weight = evaluated.state_dict()
    expected = features.double() @ weight["classifier.weight"].double().T
    expected += weight["classifier.bias"].double()
    torch.testing.assert_close(evaluated.classify(features).double(), expected, atol=1e-5, rtol=0)


def test_embedding_is_backbone_of_normalised_planes(evaluated):
    images = torch.rand(3, 3, 64, 64)
    planes = colorspace.stack(images, "rgb+hsv").double()
    mean = torch.tensor([0.485, 0.456, 0.406] * 2, dtype=torch.float64).view(1, 6, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225] * 2, dtype=torch.float64).view(1, 6, 1, 1)
    expected = slim("rgb+hsv").eval().backbone.double()((planes - mean) / std)
    got = evaluated.embed(images).double()
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-3)


def test_forward_is_classify_of_embed_and_keeps_no_state(evaluated):
    images = torch.rand(4, 3, 64, 64)
    with torch.no_grad():
        logits = evaluated(images)
        assert logits.shape == (4, len(CLASSES))
        assert torch.equal(logits, evaluated.classify(evaluated.embed(images)))
        evaluated(torch.rand(2, 3, 96, 64))
        assert torch.equal(evaluated(images), logits)
        alone = torch.cat([evaluated(image[None]) for image in images])
    torch.testing.assert_close(alone, logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("spec", ALL_SPECS)
def test_every_colour_space_set_reaches_the_first_convolution(spec):
    model = slim(spec).eval()
    assert model.backbone.stem[0].conv.in_channels == 3 * len(spec.split("+"))
    assert model(torch.rand(1, 3, 32, 32)).shape == (1, 5)


def test_the_papers_model_has_the_released_shapes():
    model = detectors.build("mcx-api")
    shapes = {k: tuple(v.shape) for k, v in model.state_dict().items() if "backbone" not in k}
    assert shapes == {
        "map1.weight": (512, 4096),
        "map1.bias": (512,),
        "map2.weight": (2048, 512),
        "map2.bias": (2048,),
        "classifier.weight": (5, 2048),
        "classifier.bias": (5,),
    }
    assert model.drop.p == 0.5


def test_dropout_acts_in_training_only():
    model = slim()
    first, second = torch.randn(2, 3, 256)
    assert not torch.equal(model.classify(first), model.classify(first))
    pair = (first, second)
    assert not torch.equal(model.interact(*pair).first_self, model.interact(*pair).first_self)
    model.eval()
    assert torch.equal(model.classify(first), model.classify(first))
    assert torch.equal(model.interact(*pair).first_self, model.interact(*pair).first_self)
    undropped = slim(dropout=0.0)
    assert torch.equal(undropped.classify(first), undropped.classify(first))


def test_swapping_the_pair_swaps_nothing_but_the_mutual_vector():
    model = slim().eval()
    x = torch.randn(3, 256)
    same = model.interact(x, x)
    assert torch.equal(same.first_self, same.second_self)
    assert torch.equal(same.first_self, same.first_other)


def test_parameter_groups_cover_everything_once():
    model = slim()
    ids = [id(p) for p in (*model.groups()[0], *model.groups()[1])]
    assert len(set(ids)) == len(ids)
    assert set(ids) == {id(p) for p in model.parameters()}
    assert len(model.groups()[1]) == 6


def test_a_frozen_backbone_does_not_change_even_its_statistics():
    model = slim()
    model.freeze(True)
    model.train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1)
    model(torch.rand(4, 3, 32, 32)).square().sum().backward()
    optimiser.step()
    after = model.state_dict()
    changed = {k for k in before if not torch.equal(before[k], after[k])}
    assert changed == {"classifier.weight", "classifier.bias"}
    assert model.drop.training


def test_releasing_the_backbone_trains_it_again():
    model = slim()
    model.freeze(True)
    model.freeze(False)
    assert model.backbone.training
    model(torch.rand(4, 3, 32, 32)).square().sum().backward()
    assert all(p.grad is not None for p in model.groups()[0])
    assert model.backbone.stem[0].bn.num_batches_tracked == 1
    model.eval()
    model.freeze(True)
    model.freeze(False)
    assert not model.backbone.training  # evaluation is not undone by releasing


def test_constants_follow_the_device_but_are_not_weights():
    model = slim("rgb+lab")
    assert not {"mean", "std"} & set(model.state_dict())
    assert model.mean.shape == (1, 6, 1, 1)
    assert model.to("meta").mean.device.type == "meta"
    assert slim().double().mean.dtype == torch.float64


def test_half_precision_weights_and_images():
    model = slim("rgb+lab").eval()
    images = torch.rand(2, 3, 64, 64)
    exact = model(images)
    logits = model.to(torch.bfloat16)(images.to(torch.bfloat16))
    assert logits.dtype == torch.bfloat16
    torch.testing.assert_close(logits.float(), exact, atol=0.05, rtol=0.1)


def test_autocast_keeps_colours_in_float32():
    model = slim("lab").eval()
    images = torch.rand(2, 3, 64, 64)
    seen = []
    model.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    exact = model(images)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        model(images)
    assert seen[1].dtype == torch.float32
    assert torch.equal(seen[0], seen[1])
    assert exact.dtype == torch.float32


def test_gradients_reach_the_images():
    model = slim("rgb+hsv").eval()
    images = torch.rand(1, 3, 32, 32, requires_grad=True)
    model(images)[0, 0].backward()
    assert images.grad is not None
    assert images.grad.isfinite().all()
    assert images.grad.abs().sum() > 0


def test_weights_round_trip():
    model, other = slim("rgb+hsv").eval(), build("rgb+hsv", "slim_xception").eval()
    other.load_state_dict(model.state_dict())
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(model(images), other(images))


def test_errors_name_the_thing(evaluated):
    with pytest.raises(ValueError, match="hsv, lab, rgb, ycbcr"):
        build("purple", "slim_xception")
    with pytest.raises(ValueError, match="did you mean"):
        build("rgb", "legacy_exception")
    with pytest.raises(ValueError, match=r"\(B, 3, H, W\)"):
        evaluated.embed(torch.rand(3, 64, 64))
    with pytest.raises(ValueError, match="divide 8-bit images by 255"):
        evaluated.embed(torch.rand(1, 3, 64, 64) * 255)
    with pytest.raises(ValueError, match="8-bit"):
        evaluated.embed(torch.ones(1, 3, 64, 64, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"\(P, 256\)"):
        evaluated.interact(torch.rand(2, 256), torch.rand(3, 256))
    with pytest.raises(ValueError, match=r"\(P, 256\)"):
        evaluated.interact(torch.rand(2, 255), torch.rand(2, 255))


def test_any_timm_backbone_serves_as_the_base_architecture():
    model = build("rgb", "resnet10t").eval()
    assert model.num_features == backbones.create("resnet10t", 3).num_features == 512
    assert model(torch.rand(2, 3, 64, 64)).shape == (2, 5)

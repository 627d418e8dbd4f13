"""backbones: shapes, channels, weights from a file, errors, the layer for activation maps."""

import pytest
import timm
import torch
from torch import nn

from mcxlib.detectors import backbones

SMALL = ("slim_xception", "resnet10t", "mobilenetv3_small_050")


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("channels", [3, 9])
def test_images_of_any_number_of_channels_give_pooled_features(name, channels):
    backbone = backbones.create(name, channels).eval()
    features = backbone(torch.rand(2, channels, 64, 64))
    assert features.shape == (2, backbone.num_features)


def test_the_papers_backbone_has_2048_features():
    backbone = backbones.create("legacy_xception", 6).eval()
    assert backbone.num_features == 2048
    with torch.no_grad():
        assert backbone(torch.rand(1, 6, 64, 64)).shape == (1, 2048)


def test_slim_xception_is_small():
    backbone = backbones.create("slim_xception", 3)
    assert backbone.num_features == 256
    assert 2e5 < sum(p.numel() for p in backbone.parameters()) < 1.2e6


@pytest.mark.parametrize("name", [*SMALL, "legacy_xception"])
def test_cam_layer_gives_the_map_that_is_pooled(name):
    torch.manual_seed(0)
    backbone = backbones.create(name, 3).eval()
    layer = backbones.cam_layer(backbone)
    maps = []
    handle = layer.register_forward_hook(lambda *arguments: maps.append(arguments[2]))
    with torch.no_grad():
        features = backbone(torch.rand(2, 3, 96, 96))
    handle.remove()
    (last,) = maps
    assert last.ndim == 4
    assert last.shape[2] > 1
    pooled = last.mean(dim=(2, 3))
    if name.startswith("mobilenet"):  # its pooled map passes one more layer
        pooled = backbone.act2(backbone.norm_head(backbone.conv_head(pooled[..., None, None])))
        pooled = pooled.flatten(1)
    torch.testing.assert_close(pooled, features)


def test_finding_the_cam_layer_leaves_no_trace():
    backbone = backbones.create("mobilenetv3_small_050", 3)
    backbone.blocks.eval()
    modes = [module.training for module in backbone.modules()]
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    backbones.cam_layer(backbone)
    assert [module.training for module in backbone.modules()] == modes
    assert not any(module._forward_hooks for module in backbone.modules())
    assert all(torch.equal(value, before[key]) for key, value in backbone.state_dict().items())


def test_cam_layer_of_a_transformer_is_refused():
    with pytest.raises(ValueError, match="convolutional backbone"):
        backbones.cam_layer(backbones.create("vit_tiny_patch16_224", 3))


def momenta(backbone: nn.Module) -> set[float]:
    return {m.momentum for m in backbone.modules() if isinstance(m, nn.BatchNorm2d)}


def test_batch_norm_momentum():
    assert momenta(backbones.create("slim_xception", 3)) == {0.2}
    assert momenta(backbones.create("slim_xception", 3, bn_momentum=0.05)) == {0.05}
    assert momenta(backbones.create("resnet10t", 3)) == {0.1}
    assert momenta(backbones.create("resnet10t", 3, bn_momentum=0.3)) == {0.3}


def test_pretrained_weights_from_a_file_are_adapted_to_more_channels(tmp_path):
    torch.manual_seed(0)
    donor = timm.create_model("resnet10t", pretrained=False)
    torch.save(donor.state_dict(), tmp_path / "weights.pth")
    backbone = backbones.create("resnet10t", 6, pretrained=tmp_path / "weights.pth")
    got, given = backbone.state_dict(), donor.state_dict()
    assert torch.equal(got["layer4.0.conv1.weight"], given["layer4.0.conv1.weight"])
    # timm repeats the RGB filters and halves them: six equal channels give what three gave.
    first = "conv1.0.weight"
    torch.testing.assert_close(got[first].sum(dim=1), given[first].sum(dim=1))


def test_pretrained_weights_that_cannot_be_had_say_what_to_do(tmp_path, monkeypatch):
    def offline(*arguments, **options):
        raise OSError("no route to host")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(RuntimeError, match=r"no route to host.*pretrained=False"):
        backbones.create("resnet18", 3, pretrained=True)
    with pytest.raises(RuntimeError, match=r"missing\.pth"):
        backbones.create("resnet18", 3, pretrained=tmp_path / "missing.pth")
    with pytest.raises(ValueError, match="no published weights"):
        backbones.create("slim_xception", 3, pretrained=True)


def test_errors_name_the_thing():
    with pytest.raises(ValueError, match=r"did you mean.*legacy_xception"):
        backbones.create("legacy_exception", 3)
    with pytest.raises(ValueError, match=r"did you mean.*slim_xception"):
        backbones.create("slimxception", 3)
    with pytest.raises(ValueError, match="'no such thing at all'"):
        backbones.create("no such thing at all", 3)
    with pytest.raises(ValueError, match="in_channels"):
        backbones.create("slim_xception", 0)

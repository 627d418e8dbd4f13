"""The drawings of the first page and of the method: what is drawn is what the network is."""

import numpy as np
import pytest
import timm
import torch

from mcxlib.figures import drawings


@pytest.fixture(scope="module")
def stages():
    return drawings.xception_stages()


def test_stages_are_timms_own_network(stages):
    """Against timm's count of weights, and a true pass of a smaller image through its features."""
    network = timm.create_model("legacy_xception", num_classes=0).eval()
    assert sum(s.parameters for s in stages) == sum(p.numel() for p in network.parameters())
    small = drawings.xception_stages(side=96)
    with torch.inference_mode():
        maps = network.forward_features(torch.zeros(1, 3, 96, 96))
    assert small[-2].shape == tuple(maps.shape[1:])
    assert small[-1].shape == (2048,)
    # Middle flow: eight blocks of one shape, drawn once.
    assert [s.name for s in stages if s.kind == "middle"] == ["blocks 4 to 11"]
    # The published widths (Chollet 2017, Fig. 5), and 448 px to 14 cells by five halvings.
    widths = [s.shape[0] for s in stages]
    assert widths == [32, 64, 128, 256, 728, 728, 1024, 1536, 2048, 2048]
    assert stages[-2].shape[1:] == (14, 14)


def test_more_planes_change_the_first_convolution_alone(stages):
    nine = drawings.xception_stages(channels=9)
    assert nine[0].parameters - stages[0].parameters == 6 * 32 * 3 * 3
    assert nine[1:] == stages[1:]


def test_the_drawing_says_what_it_shows(stages):
    plate = drawings.backbone(stages)
    drawn = {text.get_text() for text in plate.figure.axes[0].texts}
    assert {"blocks 4 to 11", "728 × 28 × 28", "D = 2048", "3 × 448 × 448"} <= drawn
    assert "20,806,952 weights in all" in plate.alt
    with pytest.raises(ValueError, match="no stages"):
        drawings.backbone([])


def test_a_strip_has_a_face_and_a_map_a_column():
    images, maps = np.random.default_rng(0).random((5, 3, 8, 8)), np.zeros((5, 8, 8))
    names = ("real", "DF", "F2F", "FS", "NT")
    plate = drawings.strip(images, names, maps, "synthetic demonstration data", "Grad-CAM")
    assert len(plate.figure.axes) == 10
    titles = [axis.get_title() for axis in plate.figure.axes[:5]]
    assert titles == ["real", "Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures"]
    assert "synthetic demonstration data" in plate.alt
    # Each face has a fifth of the width, but for narrow gaps: 200 of 1009 px on a small desktop.
    assert all(axis.get_position().width > 0.198 for axis in plate.figure.axes)


@pytest.mark.parametrize(
    ("images", "names", "maps"),
    [((0, 3, 8, 8), 0, (0, 8, 8)), ((2, 3, 8, 8), 3, (2, 8, 8)), ((2, 3, 8, 8), 2, (2, 8, 9))],
)
def test_what_does_not_fit_is_refused(images, names, maps):
    with pytest.raises(ValueError, match="for images of shape"):
        drawings.strip(np.zeros(images), ["real"] * names, np.zeros(maps))

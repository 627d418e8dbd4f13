"""The configuration promises: the paper's values by default, presets that only differ where they
say, and every bad value refused by name."""

import pytest

from mcxlib import config
from mcxlib.config import load


def test_paper_preset_is_section_4_1():
    c = load("paper")
    assert (c.crop_size, c.input_size) == (512, 448)
    assert (c.categories, c.per_category) == (3, 9)
    assert (c.rank_weight, c.margin) == (1.0, 0.05)
    assert (c.optimizer, c.lr, c.schedule) == ("sgd", 0.01, "cosine")
    assert (c.epochs, c.freeze_epochs) == (100, 8)
    assert (c.frame_rule, c.frame_count) == ("first", 30)
    assert c.backbone == "legacy_xception"
    assert load("paper", method="api-net").backbone == "resnet101"
    assert not c.is_synthetic


@pytest.mark.parametrize("preset", ["demo", "test"])
def test_small_presets_keep_the_method(preset):
    """What makes the method (pairs, losses, batches) is not what a small preset may change."""
    small, paper = load(preset), load("paper")
    for name in ("categories", "per_category", "margin", "rank_weight", "distance", "protocol"):
        assert getattr(small, name) == getattr(paper, name), name
    assert small.is_synthetic
    assert small.source == "synthetic demonstration data"


def test_a_preset_lists_only_differences():
    paper = load("paper")
    for name in ("demo",):
        for key, value in config.PRESETS[name].items():
            assert value != getattr(paper, key), f"{name}.{key} is the paper's own value"


def test_unknown_key_names_the_nearest():
    with pytest.raises(ValueError, match=r"colourspace.*did you mean 'colorspace'"):
        load("demo", colourspace="rgb")


def test_unknown_colorspace_lists_the_valid_ones():
    with pytest.raises(ValueError, match="purple") as error:
        load("demo", colorspace="purple")
    for name in ("rgb", "hsv", "lab", "ycbcr"):
        assert name in str(error.value)


def test_unknown_preset():
    with pytest.raises(ValueError, match="unknown preset 'papier'; valid: paper, demo, test"):
        load("papier")


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        ({"epochs": "many"}, "epochs"),
        ({"lr": -1.0}, "lr"),
        ({"input_size": 200, "crop_size": 112}, "input_size 200"),
        ({"freeze_epochs": 9, "epochs": 9}, "freeze_epochs 9"),
        ({"method": "api-net", "colorspace": "hsv"}, "api-net"),
    ],
)
def test_bad_values_are_named(overrides, named):
    with pytest.raises(ValueError, match=named):
        load("demo", **overrides)


def test_strings_of_papermill_become_values():
    assert load("demo", epochs="3", pretrained="false").pretrained is False
    assert load("demo", epochs="3").epochs == 3


def test_run_id_tells_settings_apart():
    assert load("demo", colorspace="rgb+hsv", seed=2).run_id == "mcx-api_rgb+hsv_seed2"
    other = load("demo", epochs=3).run_id
    assert other.startswith("mcx-api_rgb_seed0_")
    assert other != load("demo", epochs=4).run_id
    assert load("demo", epochs=config.PRESETS["demo"]["epochs"]).run_id == "mcx-api_rgb_seed0"


def test_frozen():
    with pytest.raises(ValueError, match="frozen"):
        load("demo").seed = 3

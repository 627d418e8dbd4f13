"""The configuration promises: the paper's values by default, presets that only differ where they
say, and every bad value refused by name."""

import json
from pathlib import Path

import pytest

from mcxlib import detectors
from mcxlib.config import from_stored, load, load_data
from mcxlib.presets import PRESETS


def test_paper_preset_is_section_4_1():
    c = load("paper")
    data, train, model = c.data, c.train, c.model
    assert (data.crop_size, train.input_size) == (512, 448)
    assert (train.categories, train.per_category) == (3, 9)
    assert (model.rank_weight, model.margin) == (1.0, 0.05)
    assert (train.optimizer, train.lr, train.schedule) == ("sgd", 0.01, "cosine")
    assert (train.epochs, train.freeze_epochs) == (100, 8)
    assert (data.frame_rule, data.frame_count) == ("first", 30)
    assert model.backbone == "legacy_xception"
    assert load("paper", detector="api-net").model.backbone == "resnet101"
    assert data.videos == "distributed"
    assert c.changed() == {}, "the defaults are the paper"


@pytest.mark.parametrize("preset", ["demo", "test"])
def test_small_presets_keep_the_method(preset):
    """What makes the method (pairs, losses, batches) is not what a small preset may change."""
    small, paper = load(preset).flat(), load("paper").flat()
    for name in ("categories", "per_category", "margin", "rank_weight", "distance", "protocol"):
        assert small[name] == paper[name], name
    assert small["videos"] == "rendered"


def test_a_preset_lists_only_differences():
    paper = load("paper")
    for name in ("demo",):
        for key, value in PRESETS[name].items():
            assert value != paper.flat()[key], f"{name}.{key} is the paper's own value"


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
    assert load("demo", epochs="3", pretrained="false").model.pretrained is False
    assert load("demo", epochs="3").train.epochs == 3


def test_run_id_tells_settings_apart():
    assert load("demo", colorspace="rgb+hsv", seed=2).run_id == "mcx-api_rgb+hsv_seed2"
    other = load("demo", epochs=3).run_id
    assert other.startswith("mcx-api_rgb_seed0_")
    assert other != load("demo", epochs=4).run_id
    assert load("demo", epochs=PRESETS["demo"]["epochs"]).run_id == "mcx-api_rgb_seed0"


def test_frozen():
    with pytest.raises(ValueError, match="frozen"):
        load("demo").train.seed = 3


def test_names_of_former_days_and_settings_by_who_reads_them():
    assert load("demo", method="api-net") == load("demo", detector="api-net")
    with pytest.raises(ValueError, match=r"unknown setting .margin.*dropout"):
        load("demo", detector="mesonet", margin=0.1)
    with pytest.raises(ValueError, match="unknown detector 'xceptoin'; did you mean 'xception'"):
        load("demo", detector="xceptoin")
    one = load("demo", colorspace="lab", epochs=3, crop_rule="authors")
    assert load("demo", colorspace="lab").but(epochs=3, crop_rule="authors") == one
    with pytest.raises(ValueError, match="a run of mcx-api: load a configuration of another"):
        one.but(detector="mesonet")
    assert one.but(detector="mcx-api") == one
    assert load_data("demo", crop_rule="authors") == one.data


@pytest.mark.parametrize("detector", list(detectors.modules()))
def test_what_is_stored_is_read_back(detector):
    config = load("demo", detector=detector, epochs=7, draw_seed=2)
    assert from_stored(json.loads(json.dumps(config.stored()))) == config
    with pytest.raises(ValueError, match="format 9"):
        from_stored(config.stored() | {"format": 9})


def test_a_configuration_of_the_first_format_is_read():
    file = Path(__file__).parent / "fixtures/format0/runs/mcx-api_rgb_seed0/config.json"
    config = from_stored(json.loads(file.read_text()))
    assert config == load("test")
    assert (config.data.videos, config.label) == ("rendered", "MCX-API(RGB)")

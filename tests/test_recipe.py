"""Recipes: words about the code do not count, what decides weights does."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mcxlib.settings import recipe

ROOT = Path(__file__).parents[1]
MODULE = "mcxlib.detectors.mcx_api"


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A copy of the package that a test may edit."""
    shutil.copytree(ROOT / "mcxlib", tmp_path / "mcxlib", ignore=shutil.ignore_patterns("*.pyc"))
    monkeypatch.setattr(recipe, "ROOT", tmp_path / "mcxlib")
    return tmp_path / "mcxlib"


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text, f"{path.name} has changed: {old!r} is no longer in it"
    path.write_text(text.replace(old, new, 1))
    recipe._read.cache_clear()


def made(**settings) -> dict:
    return recipe.recipe(MODULE, {"lr": 0.01, "margin": 0.05} | settings, "data")


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("method/losses.py", "    index = targets", "    # a word\n    index = targets"),
        ("method/losses.py", "Logits of compared pairs", "Something else"),
        ("method/losses.py", "no pairs: the logits have no rows", "there is no pair"),
        ("method/losses.py", "targets: Tensor,", "targets: 'Tensor',"),
        ("detectors/mcx_api.py", "sec. 4.1: epsilon of eq. 4", "the margin"),
        ("detectors/mcx_api.py", '"not stated"', '"unknown"'),
        (
            "detectors/mcx_api.py",
            '    distance: Literal["euclidean"',
            '    more: int = Field(3, description="new")\n    distance: Literal["euclidean"',
        ),
        ("engine/history.py", "self._waiting = [], [], 0", "self._waiting = [], [], 0"),
        ("figures/style.py", '"#0072B2"', '"#000000"'),
    ],
)  # fmt: skip
def test_what_does_not_count(tree, file, old, new):
    before = made()
    if old == new or "engine/" in file:
        (tree / file).touch()
        recipe._read.cache_clear()
    else:
        edit(tree / file, old, new)
    assert made() == before


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("method/losses.py", "excess + margin", "excess - margin", "method.losses"),
        ("method/interaction.py", "mutual * first)", "mutual + first)", "method.interaction"),
        ("method/sampler.py", "left[-self.per", "left[self.per", "method.sampler"),
        ("engine/schedule.py", "train.lr / 25", "train.lr / 20", "engine.schedule"),
        ("detectors/backbones.py", "(64, 128, 256)", "(64, 120, 256)", "detectors.backbones"),
    ],
)  # fmt: skip
def test_what_counts(tree, file, old, new, said):
    before = made()
    edit(tree / file, old, new)
    assert recipe.differences(before, made()) == [f"code of {said}"]


def test_an_equation_concerns_only_those_who_use_it(tree):
    mesonet = "mcxlib.detectors.mesonet"
    before = recipe.recipe(mesonet, {})
    edit(tree / "method/pairs.py", "repeat(2)", "repeat(3)")
    assert recipe.recipe(mesonet, {}) == before
    lab = ["mcxlib.method.colorspace.lab"]
    with_lab, without = recipe.recipe(MODULE, {}, also=lab), recipe.recipe(MODULE, {})
    edit(tree / "method/colorspace/lab.py", "1.16 * y", "1.17 * y")
    assert recipe.recipe(MODULE, {}) == without
    assert recipe.differences(with_lab, recipe.recipe(MODULE, {}, also=lab)) == [
        "code of method.colorspace.lab"
    ]


def test_settings_and_data():
    before = made()
    assert recipe.differences(before, made(lr=0.1)) == ["setting lr"]
    # A setting of later code counts where it is not its default.
    later = made(smoothing=0.0)
    assert recipe.differences(before, later, {"smoothing": 0.0}) == []
    assert recipe.differences(before, made(smoothing=0.1), {"smoothing": 0.0}) == [
        "setting smoothing"
    ]
    other = recipe.recipe(MODULE, before["settings"], "other data")
    assert recipe.differences(before, other) == ["data"]
    assert recipe.differences(before, recipe.recipe(MODULE, before["settings"])) == []
    assert recipe.differences(None, before) == ["a recipe that older code did not write down"]


def test_a_scheduler_is_woken_by_settings_too(tree):
    before = recipe.trigger_of_run("mcx-api", "rgb"), recipe.trigger_of_run("mesonet", "rgb")
    edit(tree / "detectors/mcx_api.py", "Field(0.05", "Field(0.06")
    assert recipe.trigger_of_run("mcx-api", "rgb") != before[0]
    assert recipe.trigger_of_run("mesonet", "rgb") == before[1]
    edit(tree / "detectors/mcx_api.py", "Field(0.06", "Field(0.05")
    (tree / "method/pairs.py").touch()
    recipe._read.cache_clear()
    assert recipe.trigger_of_run("mcx-api", "rgb") == before[0]

"""Room: a detector, a colour space and a data set each come in by one file, in a copy of the tree
that lies in a folder whose name has a space and an umlaut. And commands that answer at once."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pandas as pd
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from training import CLIPS, ONE_EPOCH

from mcxlib.synthetic import render_person
from mcxlib.synthetic.encode import write_video

ROOT = Path(__file__).parents[1]

DETECTOR = '''
"""A detector that looks at the mean colour alone."""

import torch
from torch import nn

from mcxlib.detectors.base import Detector, check_images


class Toy(Detector):
    name = "toy2"

    def __init__(self, settings, classes):
        super().__init__(settings, classes)
        self.layer = nn.Linear(3, len(classes))

    def features(self, images):
        check_images(images, self.name)
        return images.mean((2, 3))

    def forward(self, images):
        return self.layer(self.features(images))
'''

COLORSPACE = '''
"""The negative."""

LABEL = "Negative"


def convert(rgb):
    return 1 - rgb
'''

DATASET = '''
"""Clips named after their label."""

from mcxlib.data.datasets.base import GROUPED, Dataset, Part, Protocol


def _parts(_):
    person = r"(?P<target>p\\d+)"
    return Part("genuine", person, "real"), Part("altered", person + "_a", "altered")


DATASET = Dataset(name="Toys", parts=_parts, protocols={"toys": GROUPED})
'''

SETTINGS = CLIPS | ONE_EPOCH | {"crop_rule": "whole", "train_on": "Toys"}


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the package with three files more, and a data set of 18 small clips."""
    home = tmp_path_factory.mktemp("house") / "neues Häuschen"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "mcxlib", home / "mcxlib", ignore=ignore)
    (home / "mcxlib/detectors/toy2.py").write_text(DETECTOR.lstrip())
    (home / "mcxlib/method/colorspace/negative.py").write_text(COLORSPACE.lstrip())
    (home / "mcxlib/data/datasets/toys.py").write_text(DATASET.lstrip())
    clip = home / "clip.mp4"
    write_video(clip, render_person((2,), frames=2), 25, 18)
    for person in range(9):
        for name in (f"genuine/p{person}.mp4", f"altered/p{person}_a.mp4"):
            file = home / "datasets/Toys" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            tail = name.encode().ljust(24, b"_")  # other bytes, the same pictures
            file.write_bytes(clip.read_bytes() + (32).to_bytes(4, "big") + b"free" + tail)
    return home


def run(home, *arguments, check=True):
    environment = os.environ | {
        "PYTHONPATH": str(home),
        "MCX_HOME": str(home),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "mcxlib.cli", *arguments],
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
    )
    assert not check or done.returncode == 0, done.stderr[-3000:]
    return done


def options(detector, *more, **settings):
    words = [w for k, v in (SETTINGS | settings).items() for w in ("--set", f"{k}={v}")]
    return "--preset", "paper", "--detector", detector, *more, *words


def test_each_comes_in_by_one_file(copy):
    found = json.loads(run(copy, "detectors", "--json").stdout)
    toy = next(entry for entry in found if entry["name"] == "toy2")
    assert toy["parameters"] == 3 * 5 + 5
    said = run(copy, "manifest", "--preset", "paper", "--dataset", "Toys").stdout
    assert "Toys: 18 videos; protocol toys" in said
    folder = run(copy, "train", *options("toy2"), "--workers", "1").stdout.strip()
    assert "neues Häuschen/runs/paper/toy2_rgb_seed0" in folder
    said = run(copy, "score", *options("toy2"), "--dataset", "Toys").stdout
    assert "real and" in said
    assert "BOSC:" in said
    slim = {"backbone": "slim_xception"}
    spaces = ("--colorspace", "rgb+negative")
    said = run(copy, "score", *options("mcx-api", *spaces, **slim), "--dataset", "Toys").stdout
    assert "BOSC:" in said
    run(copy, "tables", "--preset", "paper")
    table = pd.read_csv(copy / "results/paper/tables/further.csv")
    assert set(table["dataset"]) == {"Toys"}
    assert set(table["label"]) == {"toy2", "MCX-API(RGB+Negative)"}
    assert table[["bosc", "auc"]].notna().all(axis=None)
    first = pd.read_csv(copy / "results/paper/tables/table1_cells.csv")
    assert set(first["status"]) == {"not run"}, "the toys are no rows of the paper"


def test_an_empty_commit_a_touched_or_commented_file_changes_no_status(copy):
    """What a run was made by is compared with the code without its words."""
    run(copy, "score", *options("toy2"), "--dataset", "Toys")
    file = copy / "mcxlib/detectors/toy2.py"
    file.write_text(file.read_text() + "\n# a word at the end\n")
    (copy / "mcxlib/method/sampler.py").touch()
    before = {p: p.stat().st_mtime_ns for p in (copy / "runs").rglob("*") if p.is_file()}
    run(copy, "score", *options("toy2"), "--dataset", "Toys", "--retrain", "changed")
    assert {p: p.stat().st_mtime_ns for p in before} == before
    file.write_text(file.read_text().replace("images.mean((2, 3))", "images.amax((2, 3))"))
    said = run(copy, "score", *options("toy2"), "--dataset", "Toys", "--retrain", "changed")
    assert "training anew (code of detectors.toy2)" in said.stderr
    names = sorted(p.name.partition("_seed0")[2][7:] for p in (copy / "runs/paper").glob("toy2*"))
    assert names == ["", ".old-1"]


HEAVY = ("torch", "timm", "torchvision", "lightning_fabric", "sklearn", "facenet_pytorch", "cv2")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("manifest", "--preset", "paper", "--dataset", "Toys"),
        ("tables", "--preset", "paper"),
        ("weights", "list"),
    ],
)
def test_commands_that_read_load_no_network_library(copy, arguments):
    """What makes them slow is counted, not timed: `benchmarks` has the seconds."""
    code = (
        "import sys\nfrom mcxlib.cli import app\n"
        f"try:\n    app({list(arguments)!r})\nexcept SystemExit:\n    pass\n"
        f"print('LOADED', [m for m in {HEAVY!r} if m in sys.modules])"
    )
    (copy / "runs/paper").mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"PYTHONPATH": str(copy), "MCX_HOME": str(copy)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, cwd=copy
    )
    assert "LOADED []" in done.stdout, done.stdout[-500:] + done.stderr[-2000:]


def test_a_plain_installation_has_all_that_the_commands_import():
    """Every package that a module imports, at its top or inside a function, is required without an
    extra; but for those of the extras "weights" and "app", inside the functions of their places."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    required = {canonicalize_name(Requirement(r).name) for r in project["dependencies"]}
    extras = project["optional-dependencies"]
    # Of gradio's page, what answers requests is gradio's own server, Starlette.
    places = {"weights": extras["weights"], "app.py": [*extras["app"], "starlette"]}
    imported: dict[str, str] = {}
    for file in (ROOT / "mcxlib").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            names = [name.split(".")[0] for name in names]
            if getattr(node, "col_offset", 0):
                extra = places.get(file.name) or places.get(file.parent.name, [])
                names = [name for name in names if name not in extra]
            imported |= {name: file.name for name in names}
    others = imported.keys() - sys.stdlib_module_names - {"mcxlib", "__future__"}
    assert {"torch", "papermill", "IPython"} <= others, "the walk finds imports inside functions"
    found = packages_distributions()
    missing = {
        name: imported[name]
        for name in others
        if not {canonicalize_name(d) for d in found.get(name, ())} & required
    }
    assert missing == {}


def test_every_module_of_its_own_that_is_imported_exists():
    """Also inside functions, where nothing but the command that needs it would tell."""
    missing = set()
    for file in (ROOT / "mcxlib").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mcxlib"):
                path = ROOT / node.module.replace(".", "/")
                if not path.with_suffix(".py").is_file() and not (path / "__init__.py").is_file():
                    missing.add((file.name, node.module))
    assert not missing

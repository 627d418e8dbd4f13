"""A book without a run behind it, for the tests of its pages: true pages, made-up numbers.

The notebooks are shown as committed, the tables come from random scores, the figures from random
pictures. What a page looks like and loads does not hang on what was measured.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import numpy as np
import test_tables as made

from mcxlib import CLASSES, claims, tables
from mcxlib.config import load
from mcxlib.explain import METHODS
from mcxlib.figures import cam_grid, drawings, save, tsne_panels
from mcxlib.scaling import page
from mcxlib.settings import matrix

ROOT = Path(__file__).parents[1]
SOURCE = "synthetic demonstration data"


def build(folder: Path) -> Path:
    """Build the book in an empty folder; returns the folder of its HTML.

    Raises:
        AssertionError: the builder failed; with the end of what it said.
    """
    for name in ("book", "benchmarks", "mcxlib", "tools"):
        ignore = shutil.ignore_patterns("__pycache__", "generated")
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    shutil.copy(ROOT / "_config.yml", folder)
    generated = folder / "book/generated"
    shutil.copytree(ROOT / "notebooks", generated / "notebooks")
    write_tables(folder / "runs", generated / "tables")
    page.write(generated / "scaling", tables.cost(folder / "runs"))
    # Nothing of another home is looked at: claims about features and maps say that there are none.
    with patch.dict(os.environ, {"MCX_HOME": str(folder)}):
        write_claims(folder / "runs", generated / "tables")
    write_figures(generated / "figures")
    command = [Path(sys.executable).with_name("jupyter-book"), "build", folder]
    command += ["--toc", folder / "book/_toc.yml", "--path-output", folder / "out"]
    done = subprocess.run(
        [*command, "-W", "-n", "--keep-going"], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return folder / "out/_build/html"


def write_tables(runs: Path, folder: Path) -> None:
    for number, row in enumerate(matrix.rows("demo")):
        method, space = row.key
        made.store(runs, made.random_scores(number), method=method, spec=space)
    tables.write(runs, folder, others=ROOT / "book/static")


def write_claims(runs: Path, folder: Path) -> None:
    found = tables.closed_set(runs), tables.cross_dataset(runs)
    claims.write(claims.Material(load("demo"), *found, ()), folder)


def write_figures(folder: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.random((5, 3, 32, 32))
    one = rng.random((5, 32, 32))
    maps = {output: dict.fromkeys(METHODS, one) for output in ("real", "fake")}
    points = rng.random((40, 2)), np.array(CLASSES * 8)
    stages = drawings.xception_stages()
    plates = {
        "preview": drawings.strip(images, CLASSES, one, SOURCE, "Grad-CAM of MCX-API(RGB)"),
        "xception": drawings.backbone(stages),
        "tsne": tsne_panels({"MCX-API(RGB)": points, "API-Net": points}, source=SOURCE),
        "layercam": cam_grid(images[:2], CLASSES[:2], {"fake": {"LayerCAM": one[:2]}}, SOURCE),
        "cam_mcx-api": cam_grid(images, CLASSES, maps, SOURCE),
        "cam_api-net": cam_grid(images, CLASSES, maps, SOURCE),
    }
    for name, plate in plates.items():
        save(plate, folder / f"{name}.png")

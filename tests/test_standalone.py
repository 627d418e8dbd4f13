"""Results stand alone: with run folders and nothing else, tables and result notebooks work."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mcxlib import CLASSES, pipeline, schemas
from mcxlib.config import load
from mcxlib.runs import RunFolder
from mcxlib.settings import matrix

ROOT = Path(__file__).parents[1]


def scores_of(dataset: str, seed: int) -> pd.DataFrame:
    """Two real and two fake videos of each class, three frames each."""
    rng = np.random.default_rng(seed)
    kinds = CLASSES if dataset == pipeline.ALL_DATASETS[0] else ("real", "made")
    rows = [
        {
            "dataset": dataset,
            "video_id": f"{kind}/{video}",
            "frame_index": frame,
            "split": "test",
            "is_fake": kind != "real",
            "manipulation": kind,
            "synthetic": True,
            "fake_score": rng.random(),
        }
        for kind in kinds
        for video in range(2)
        for frame in range(3)
    ]
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder that holds the runs of preset test as a co-author gets them: no weights, no data."""
    folder = tmp_path_factory.mktemp("co author")
    for number, row in enumerate(matrix.rows("test")):
        config = load("test", **row.settings)
        run = RunFolder(folder / "runs/test" / config.run_id)
        run.path.mkdir(parents=True)
        run.config.write_text(json.dumps(config.stored()))
        record = {"recipe": pipeline.run_recipe(config), "packages": {}, "processor": "another"}
        run.provenance.write_text(json.dumps(record))
        for dataset in pipeline.ALL_DATASETS:
            path = run.scores(dataset)
            schemas.write_scores(path, scores_of(dataset, number), "1 - p(real)")
            note = {"rows_sha256": "theirs", "weights_sha256": "theirs"}
            path.with_suffix(".json").write_text(json.dumps(note))
    (folder / "notebooks").mkdir()
    for name in ("03_closed_set", "04_cross_dataset"):
        shutil.copy(ROOT / f"notebooks/{name}.ipynb", folder / "notebooks")
    return folder


def run(home, *words):
    environment = os.environ | {"MCX_HOME": str(home), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "mcxlib.cli", *words],
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_tables_need_nothing_but_runs(home):
    run(home, "tables", "--preset", "test")
    table = pd.read_csv(home / "results/test/tables/table1_cells.csv")
    row = table.set_index(["label", "test_set"]).loc[("MCX-API(RGB)", "DF")]
    assert row["source"] == "synthetic demonstration data"
    assert "on another" in row["standing"]
    assert row["bosc_measured"] > 0


@pytest.mark.parametrize("name", ["03_closed_set", "04_cross_dataset"])
def test_result_notebooks_need_nothing_but_runs(home, name):
    before = sorted(p for p in (home / "runs").rglob("*") if not p.name.endswith(".lock"))
    run(home, "notebook", name, "--preset", "test", "--output", str(home / f"{name}.ipynb"))
    text = (home / f"{name}.ipynb").read_text()
    assert "synthetic demonstration data" in text
    assert "MesoNet" in text
    assert not (home / "data").exists(), "no video was looked for"
    after = sorted(p for p in (home / "runs").rglob("*") if not p.name.endswith(".lock"))
    assert after == before, "nothing was trained or scored"
